"""HTTP as `source` and `stream` need it: interruptible, and with errors that a person can act on."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from threading import Event, Lock, Timer
from time import time
from typing import Any
from urllib.parse import urlsplit
from weakref import ReferenceType, ref

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.util import parse_url

from ..exceptions import (
    HttpError,
    NotFound,
    RateLimited,
    Refused,
    ServerError,
    TimedOut,
    UnexpectedAnswer,
    Unreachable,
)

USER_AGENT = "django-flagsmith-realtime"
TRANSPORT_ERRORS = (requests.RequestException, Urllib3Error, OSError, ValueError)
CONNECT_SECONDS = 4.0  # for a connection to come about: its first packet and two repeats of it
PROBE_SECONDS = 2.0  # for a connection that is only tried
MAX_RETRY_AFTER = 3600.0  # seconds
# A host that is cut off finds out within eight seconds, where the system's keep-alive can be told so.
KEEP_ALIVE = {"TCP_KEEPIDLE": 4, "TCP_KEEPALIVE": 4, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 2}  # seconds; the last, probes
SOCKET_OPTIONS = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in KEEP_ALIVE.items()
        if hasattr(socket, name)
    ),
]


class InterruptibleSession(requests.Session):
    """A session whose exchange under way another thread can end, whatever it waits for."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.headers.update({"User-Agent": USER_AGENT, **headers})
        self._gate = _Gate()
        self._interrupted = Event()
        adapter = _GatedAdapter(self._gate)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def interrupt(self) -> None:
        """End the exchange under way and all to come: a blocked read ends at once, with an error or an end."""
        self._interrupted.set()
        self._gate.close()

    def limit_wait(self, seconds: float) -> None:
        """Let the reads to come in the exchange under way wait for no longer than this."""
        self._gate.limit_wait(seconds)

    @contextmanager
    def within(self, seconds: float) -> Iterator[Event]:
        """End what is still going on after some seconds; the event tells that it did."""
        passed = Event()

        def expire() -> None:
            passed.set()
            self._gate.close()

        timer = Timer(seconds, expire)
        timer.daemon = True
        self._gate.open()
        if self._interrupted.is_set():
            self._gate.close()
        timer.start()
        try:
            yield passed
        finally:
            timer.cancel()
            timer.join()  # or it could still end the next exchange


class _Gate:
    """What the bytes of one exchange after the other go through; closed, it also ends what connects later."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_open = True
        self._latest: ReferenceType[socket.socket] | None = None

    def enter(self, sock: Any) -> None:
        with self._lock:
            self._latest = ref(getattr(sock, "socket", sock))  # TLS through a TLS proxy wraps it
            if not self._is_open:
                self._shut()

    def open(self) -> None:
        with self._lock:
            self._is_open = True

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            self._shut()

    def limit_wait(self, seconds: float) -> None:
        if sock := self._latest and self._latest():
            with suppress(OSError):  # it may be closed already
                sock.settimeout(seconds)

    def _shut(self) -> None:
        if sock := self._latest and self._latest():
            with suppress(OSError):  # it may be closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, whose state the reader is using


class _GatedAdapter(HTTPAdapter):
    """Keeps one connection, and leads it through the gate."""

    def __init__(self, gate: _Gate) -> None:
        self._gate = gate
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, socket_options=SOCKET_OPTIONS)
        self._track(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return self._track(super().proxy_manager_for(*args, **kwargs, socket_options=SOCKET_OPTIONS))

    def _track(self, manager: PoolManager) -> PoolManager:
        manager.pool_classes_by_scheme = _gated_pools(self._gate)
        return manager


def _gated_pools(gate: _Gate) -> dict[str, type[HTTPConnectionPool]]:
    class GatedConnection(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            gate.enter(self.sock)

    class GatedSecureConnection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            gate.enter(self.sock)

    class GatedPool(HTTPConnectionPool):
        ConnectionCls = GatedConnection

    class GatedSecurePool(HTTPSConnectionPool):
        ConnectionCls = GatedSecureConnection

    return {"http": GatedPool, "https": GatedSecurePool}


def can_connect(url: str) -> bool:
    """Tell whether a connection to a URL's host, or to the proxy on the way there, comes about within two seconds."""
    try:
        _, host, port = origin(select_proxy(url, get_environ_proxies(url)) or url)
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL, as the client reads it; raise ValueError for none."""
    parts = parse_url(url)  # not `urlsplit`: where the two disagree, a key would follow
    scheme = parts.scheme or ""
    return scheme, parts.host or "", parts.port or {"http": 80, "https": 443}.get(scheme, 0)


def describe(error: BaseException, url: str, setting: str) -> HttpError:
    """Turn an error of the HTTP client into one of ours; its text names the host, never the path or a key."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    for cause in _causes(error):
        if isinstance(cause, (TimeoutError, requests.Timeout, ReadTimeoutError)):
            return TimedOut(f"{host} did not answer in time.")
        if isinstance(cause, (NameResolutionError, socket.gaierror)):
            return Unreachable(f"The host name {host!r} could not be resolved: check {setting} and DNS.")
        if isinstance(cause, ssl.SSLError):
            return Unreachable(f"TLS with {host} failed: {_tls_reason(cause)}.")
        if isinstance(cause, ConnectionRefusedError):
            return Unreachable(f"{host} refused the connection: is it running, and is {setting} right?")
        if isinstance(cause, NewConnectionError):
            return Unreachable(f"{host} can't be reached: check {setting} and the network.")
    if isinstance(error, ValueError):
        return UnexpectedAnswer(f"{host} sends headers that make no sense: is {setting} right?")
    return Unreachable(f"The connection to {host} broke.")


def _tls_reason(error: ssl.SSLError) -> str:
    reason = getattr(error, "reason", None) or "the connection broke"
    remedy = "; for an authority of your own, set the environment variable REQUESTS_CA_BUNDLE"
    return f"{reason}{remedy if isinstance(error, ssl.SSLCertVerificationError) else ''}"


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error with all that it was made from, the innermost first."""
    found: list[BaseException] = []
    pending: list[Any] = [error]
    while pending:
        candidate = pending.pop()
        if isinstance(candidate, BaseException) and candidate not in found:
            found.append(candidate)
            pending += [candidate.__cause__, candidate.__context__, getattr(candidate, "reason", None), *candidate.args]
    return found[::-1]


def refuse_status(response: requests.Response, remedy: str, key_remedy: str) -> None:
    """Raise the error for a status other than 200; the remedies say which settings to check."""
    status = response.status_code
    if status == 200:
        return
    host = urlsplit(response.url).netloc.rpartition("@")[2]
    retry_after = read_retry_after(response.headers.get("Retry-After"))
    if status in (401, 403, 407):
        raise Refused(f"{host} refused the request ({status}): {key_remedy}", retry_after=retry_after)
    if status in (404, 410):
        raise NotFound(f"{host} has no such endpoint ({status}): check {remedy}.", retry_after=retry_after)
    if status == 429:
        raise RateLimited(f"{host} asks for fewer requests (429).", retry_after=retry_after)
    if status >= 500:
        raise ServerError(f"{host} failed ({status}).", retry_after=retry_after)
    raise UnexpectedAnswer(f"{host} answered with status {status}: check {remedy}.", retry_after=retry_after)


def read_retry_after(value: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header, given in seconds or as a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isdigit() else _seconds_until(parsedate_to_datetime(value))
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(moment: datetime) -> float:
    in_utc = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)  # "-0000" comes without a zone
    return in_utc.timestamp() - time()
