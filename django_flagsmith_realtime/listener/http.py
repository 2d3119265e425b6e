"""HTTP as `sources` and `stream` need it: another thread can end it, and its errors say what to do."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies, get_netrc_auth, select_proxy
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import InvalidHeader, NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.util import Retry, parse_url

from ..exceptions import (
    FlagsmithError,
    HttpError,
    NotFound,
    RateLimited,
    RedirectRefused,
    Refused,
    ServerError,
    TimedOut,
    UnexpectedAnswer,
    Unreachable,
)

USER_AGENT = "django-flagsmith-realtime"
TRANSPORT_ERRORS = (requests.RequestException, Urllib3Error, OSError, ValueError)
CONNECT_SECONDS = 4.0  # Linux repeats a connection's first packet after 1 and 3 s: two lost ones are no outage
MAX_REDIRECTS = 5  # a gateway needs one or two: to a path of its own, to one with a slash at its end
PROBE_SECONDS = 2.0  # a standby tries before it takes an offered lease; the offer is there for 5 s (OFFER_SECONDS)
MAX_RETRY_AFTER = 3600.0  # seconds: a date that is years away must not silence us, a day's maintenance may for an hour
DEFAULT_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
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


class HttpClient(HTTPAdapter):
    """Sends one request at a time, which another thread can end, whatever it waits for.

    It is no `requests.Session`: a project may have replaced that, as `requests_cache.install_cache` does. From the
    environment it takes what a session takes: proxies, authorities for TLS, and netrc unless `headers` authorizes.
    """

    def __init__(self, headers: Mapping[str, str], *, setting: str) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1)
        # No connection is kept for the next request, minutes later: a server may end it just when it is used again.
        self._headers = CaseInsensitiveDict({"User-Agent": USER_AGENT, "Connection": "close", **headers})
        self._setting = setting  # that names the URLs
        self._socket: Any = None  # that was connected last
        self._is_ended = False  # the exchange under way, also on a socket that it connects later
        self._is_closed = False  # and all to come

    def close(self) -> None:
        """End the exchange under way and all to come: a blocked read ends at once, with an error or an end."""
        self._is_closed = True
        self._end()
        super().close()

    def get(self, url: str, *, timeout: float) -> requests.Response:
        """Return the answer, its body unread; `timeout` seconds bound each wait for some of it.

        Redirects are followed within the origin: no key may go to another.
        """
        for _ in range(MAX_REDIRECTS):
            response = self._request("GET", url, timeout)
            if not response.is_redirect:
                return response
            with response:
                url = self.resolve(url, response.headers["Location"])
        raise RedirectRefused(f"{_host(url)} redirects in a circle: check {self._setting}.")

    def post(self, url: str, body: str, *, timeout: float) -> requests.Response:
        """Return the answer, its body unread; a redirect is an answer, too: to follow one would make a GET of it."""
        return self._request("POST", url, timeout, body.encode())

    def resolve(self, url: str, location: str) -> str:
        """Return where a redirect or a link leads; raise `RedirectRefused` for another origin."""
        try:
            target = urljoin(url, location)
            scheme, host, port = origin(target)
        except ValueError as error:
            raise RedirectRefused(f"{_host(url)} redirects to an address that is none.") from error
        if (scheme, host, port) == origin(url):
            return target
        if differ_by_slash(url, target):  # behind TLS, a server takes its own scheme and name for the public ones
            there = urlsplit(target)
            return urlsplit(url)._replace(path=there.path, query=there.query).geturl()
        remedy = f"If that is right, set {self._setting} to it."
        if scheme == "http" != origin(url)[0]:
            remedy = "A server behind TLS must know that it is: pass the header X-Forwarded-Proto on to it."
        raise RedirectRefused(f"{_host(url)} redirects to {scheme}://{host}:{port}, where no key must follow. {remedy}")

    @contextmanager
    def within(self, seconds: float, limit: str = "", *, server: str = "Flagsmith") -> Iterator[None]:
        """Raise `TimedOut` if what is inside takes longer, and end its exchange; `limit` names the setting."""
        timer = Timer(seconds, self._end)
        timer.daemon = True
        self._is_ended = False
        began = time.monotonic()
        timer.start()
        try:
            yield
        except (FlagsmithError, *TRANSPORT_ERRORS):
            if (self._is_ended and not self._is_closed) or time.monotonic() - began >= seconds:
                raise TimedOut(f"{server} did not answer within {seconds:g} s{limit}.") from None
            raise
        finally:
            timer.cancel()
            timer.join()  # or it could still end the next exchange

    def limit_wait(self, seconds: float) -> None:
        """Let each further read in the exchange under way wait for no longer than this."""
        with suppress(OSError):  # it may be closed already
            self._socket.settimeout(seconds)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return a pool that notes each new socket: urllib3 offers no way to end an exchange."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        direct_or_socks: Any = type(pool).ConnectionCls
        note_socket = self._note_socket

        class Connection(direct_or_socks):  # type: ignore[misc]
            def connect(self) -> None:
                super().connect()
                note_socket(self.sock)

        pool.ConnectionCls = Connection
        pool.conn_kw["socket_options"] = SOCKET_OPTIONS
        return pool

    def _request(self, method: str, url: str, timeout: float, body: bytes | None = None) -> requests.Response:
        keep = (lambda request: request) if "Authorization" in self._headers else None
        auth = keep or get_netrc_auth(url)
        return self.send(
            requests.Request(method, url, self._headers, data=body, auth=auth).prepare(),
            stream=True,
            timeout=(min(timeout, CONNECT_SECONDS), timeout),
            verify=os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True,
            proxies=get_environ_proxies(url),
        )

    def _note_socket(self, sock: Any) -> None:
        self._socket = getattr(sock, "socket", sock)  # TLS through a TLS proxy wraps it
        if self._is_ended or self._is_closed:  # after the line above: `_end` sets them before it reads `_socket`
            self._end()

    def _end(self) -> None:
        self._is_ended = True
        if self._socket:
            with suppress(OSError):  # it may be closed already
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # below TLS, whose state the reader is using


def can_connect(url: str) -> bool:
    """Return whether a URL's host, or the proxy on the way there, accepts a connection within two seconds."""
    try:
        _, host, port = origin(_proxy(url) or url)
        socket.create_connection((host.strip("[]"), port), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL, as the client reads it; raise ValueError for anything else."""
    parts = parse_url(url)  # not `urlsplit`: where the two disagree, a key would follow
    scheme = parts.scheme or ""
    return scheme, parts.host or "", parts.port or DEFAULT_PORTS.get(scheme, 0)


def differ_by_slash(url: str, other: str) -> bool:
    """Return whether the paths of two URLs are the same but for a slash at the end, which one has."""
    path, other_path = urlsplit(url).path, urlsplit(other).path
    return path != other_path and path.rstrip("/") == other_path.rstrip("/")


def describe(error: BaseException, url: str, setting: str) -> HttpError:
    """Turn an error of the HTTP client into one of ours.

    Its text names the host, or the proxy on the way there, and the setting of it; never the path or a key.
    """
    causes = [error]
    while (cause := causes[0].__context__ or causes[0].__cause__) and cause not in causes:
        causes.insert(0, cause)
    host = peer = _host(url)
    if proxy := _proxy(url):
        proxy_setting = _proxy_setting(url)
        if isinstance(error, requests.exceptions.InvalidURL):
            return Unreachable(f"The address of the proxy can't be used: check {proxy_setting}.")
        if isinstance(error, requests.exceptions.InvalidSchema):
            return Unreachable(f"The proxy {_host(proxy)} needs PySocks: pip install 'requests[socks]'.")
        for cause in causes:
            if str(cause).startswith("Tunnel connection failed: 407"):
                return _refused_by_proxy(url)
            if str(cause).startswith("Tunnel connection failed") or type(cause).__module__ == "socks":
                return Unreachable(
                    f"The proxy {_host(proxy)} didn't connect to {host}: {cause}. Check {proxy_setting} and {setting}."
                )
        if isinstance(error, requests.exceptions.ProxyError) or proxy.startswith(("socks4a:", "socks5h:")):
            peer, setting = _host(proxy), proxy_setting  # which was not reached, or resolves names
    for cause in causes:
        if isinstance(cause, (TimeoutError, requests.Timeout, ReadTimeoutError)):
            return TimedOut(f"{peer} did not answer in time.")
        if isinstance(cause, (NameResolutionError, socket.gaierror)):
            return Unreachable(f"The host name {peer!r} could not be resolved: check {setting} and DNS.")
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "reason", None) or "the connection broke"
            remedy = ""
            if isinstance(cause, ssl.SSLCertVerificationError):
                remedy = "; for an authority of your own, set the environment variable REQUESTS_CA_BUNDLE"
            return Unreachable(f"TLS with {peer} failed: {reason}{remedy}.")
        if isinstance(cause, ConnectionRefusedError):
            return Unreachable(f"{peer} refused the connection: is it running, and is {setting} right?")
        if isinstance(cause, NewConnectionError):
            return Unreachable(f"{peer} can't be reached: check {setting} and the network.")
    if isinstance(error, ValueError):
        return UnexpectedAnswer(f"{host} sends invalid headers: is {setting} right?")
    return Unreachable(f"The connection to {host} broke.")


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _proxy(url: str) -> str | None:
    proxy = select_proxy(url, get_environ_proxies(url))
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _proxy_setting(url: str) -> str:
    scheme = urlsplit(url).scheme
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    found = next((name for name in names if os.environ.get(name)), None)
    return f"the environment variable {found}" if found else "the proxy settings of this machine"


def _refused_by_proxy(url: str) -> Refused:
    host, setting = _host(_proxy(url) or ""), _proxy_setting(url)
    return Refused(
        f"The proxy {host} wants a name and a password (407), and refuses those that it got, if any: "
        f"write http://NAME:PASSWORD@{host} into {setting}."
    )


def check_status(response: requests.Response, remedy: str, key_remedy: str) -> None:
    """Raise the error for a status other than 200; `remedy` and `key_remedy` say which settings to check."""
    status, host = response.status_code, _host(response.url)
    if status == 200:
        return
    if status == 407 and _proxy(response.url):
        raise _refused_by_proxy(response.url)
    kind: type[HttpError] = UnexpectedAnswer
    text = f"{host} answered with status {status}: check {remedy}."
    if status in (401, 403, 407):
        kind, text = Refused, f"{host} refused the request ({status}): {key_remedy}"
    elif status in (404, 410):
        kind, text = NotFound, f"{host} has no such endpoint ({status}): check {remedy}."
    elif status == 429:
        kind, text = RateLimited, f"{host} asks for fewer requests (429)."
    elif status >= 500:
        kind, text = ServerError, f"{host} failed ({status})."
    raise kind(text, retry_after=read_retry_after(response.headers.get("Retry-After")))


def read_retry_after(value: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header, given in seconds or as a date (RFC 9110, 10.2.3)."""
    try:
        return None if value is None else min(Retry().parse_retry_after(value), MAX_RETRY_AFTER)
    except (InvalidHeader, ValueError, OverflowError):
        return None
