"""HTTP as `sources` and `stream` need it: another thread can end it, and its errors say what to do.

urllib3 offers no way to end an exchange that another thread waits for. So our own classes of its connections, which a
pool takes as `ConnectionCls`, hand over each socket that they connect, and ending an exchange shuts that down.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timezone
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
CONNECT_SECONDS = 4.0  # Linux repeats a connection's first packet after 1 and 3 s: two lost ones are no outage
PROBE_SECONDS = 2.0  # a standby tries before it takes an offered lease; the offer is there for 5 s (OFFER_SECONDS)
MAX_RETRY_AFTER = 3600.0  # seconds: a date that is years away must not silence us, a day's maintenance may for an hour
# An idle stream sends a ping every 15 s. A host that is cut off need not wait for three of them (STREAM_TIMEOUT): its
# system probes after 4 s, three times in 2 s each, and ends the connection after 8 s.
KEEP_ALIVE = {"TCP_KEEPIDLE": 4, "TCP_KEEPALIVE": 4, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 2}  # seconds; the last, probes
SOCKET_OPTIONS = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in KEEP_ALIVE.items()
        if hasattr(socket, name)  # it depends on the system
    ),
]


class InterruptibleSession(requests.Session):
    """A session with one exchange at a time, which another thread can end, whatever it waits for."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.headers.update({"User-Agent": USER_AGENT, **headers})
        self._lock = Lock()
        self._is_ended = False  # the exchange under way, also on a socket that it connects later
        self._is_interrupted = False  # all exchanges
        self._socket: ReferenceType[socket.socket] | None = None  # that was connected last
        adapter = _Adapter(self._note_socket)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def interrupt(self) -> None:
        """End the exchange under way and all to come: a blocked read ends at once, with an error or an end."""
        self._end(for_good=True)

    @contextmanager
    def within(self, seconds: float) -> Iterator[Event]:
        """End the exchange inside if it takes longer; the event is set then."""
        passed = Event()

        def expire() -> None:
            passed.set()
            self._end()

        timer = Timer(seconds, expire)
        timer.daemon = True
        with self._lock:
            self._is_ended = self._is_interrupted
        timer.start()
        try:
            yield passed
        finally:
            timer.cancel()
            timer.join()  # or it could still end the next exchange

    def limit_wait(self, seconds: float) -> None:
        """Let each further read in the exchange under way wait for no longer than this."""
        if sock := self._socket and self._socket():
            with suppress(OSError):  # it may be closed already
                sock.settimeout(seconds)

    def _end(self, *, for_good: bool = False) -> None:
        with self._lock:
            self._is_ended = True
            self._is_interrupted |= for_good
            self._shut_down()

    def _note_socket(self, sock: Any) -> None:
        with self._lock:
            self._socket = ref(getattr(sock, "socket", sock))  # TLS through a TLS proxy wraps it
            if self._is_ended:
                self._shut_down()

    def _shut_down(self) -> None:
        if sock := self._socket and self._socket():
            with suppress(OSError):  # it may be closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, whose state the reader is using


class _Adapter(HTTPAdapter):
    """Keeps one connection; `on_connect` is called with each new socket."""

    def __init__(self, on_connect: Callable[[Any], None]) -> None:
        self._on_connect = on_connect
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, socket_options=SOCKET_OPTIONS)
        self._set_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return self._set_pools(super().proxy_manager_for(*args, **kwargs, socket_options=SOCKET_OPTIONS))

    def _set_pools(self, manager: PoolManager) -> PoolManager:
        on_connect = self._on_connect

        class Connection(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                on_connect(self.sock)

        class SecureConnection(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                on_connect(self.sock)

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = SecureConnection

        manager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}
        return manager


def can_connect(url: str) -> bool:
    """Return whether a URL's host, or the proxy on the way there, accepts a connection within two seconds."""
    try:
        _, host, port = origin(select_proxy(url, get_environ_proxies(url)) or url)
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL, as the client reads it; raise ValueError for anything else."""
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
            reason = getattr(cause, "reason", None) or "the connection broke"
            remedy = ""
            if isinstance(cause, ssl.SSLCertVerificationError):
                remedy = "; for an authority of your own, set the environment variable REQUESTS_CA_BUNDLE"
            return Unreachable(f"TLS with {host} failed: {reason}{remedy}.")
        if isinstance(cause, ConnectionRefusedError):
            return Unreachable(f"{host} refused the connection: is it running, and is {setting} right?")
        if isinstance(cause, NewConnectionError):
            return Unreachable(f"{host} can't be reached: check {setting} and the network.")
    if isinstance(error, ValueError):
        return UnexpectedAnswer(f"{host} sends invalid headers: is {setting} right?")
    return Unreachable(f"The connection to {host} broke.")


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


def check_status(response: requests.Response, remedy: str, key_remedy: str) -> None:
    """Raise the error for a status other than 200; `remedy` and `key_remedy` say which settings to check."""
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
        if value.strip().isdigit():
            seconds = float(value)
        else:
            moment = parsedate_to_datetime(value)
            in_utc = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)  # "-0000" comes without a zone
            seconds = in_utc.timestamp() - time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
