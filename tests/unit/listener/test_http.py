"""HTTP: what an error says, whose a URL is, when to come back, and ending an exchange from outside."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.exceptions import (
    HttpError,
    RedirectRefused,
    Refused,
    TimedOut,
    UnexpectedAnswer,
    Unreachable,
)
from django_flagsmith_realtime.listener.http import (
    MAX_RETRY_AFTER,
    TRANSPORT_ERRORS,
    HttpClient,
    can_connect,
    check_status,
    describe,
    origin,
    read_retry_after,
)
from tests.support.cases import each_case
from tests.support.http_server import Answer, Refuse, ScriptedServer, Silence
from tests.support.paths import ROOT
from tests.support.processes import free_port
from tests.support.socks_proxy import SocksProxy
from tests.support.strategies import texts

URL = "https://user:password@flagsmith.example:8000/api/v1/ser.secret/?key=secret"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.script("/silence/", Silence())
        server.script("/", Answer(body={}))
        yield server


# Origins


@each_case(
    ("url", "expected"),
    [
        ("https://flagsmith.example/api/", ("https", "flagsmith.example", 443)),
        ("http://flagsmith.example", ("http", "flagsmith.example", 80)),
        ("HTTP://Flagsmith.Example:80/", ("http", "flagsmith.example", 80)),
        ("https://user:password@flagsmith.example:8443/", ("https", "flagsmith.example", 8443)),
        ("http://[::1]:8000/", ("http", "[::1]", 8000)),
        (r"http://evil.example\@flagsmith.example/", ("http", "evil.example", 80)),
        (r"http://flagsmith.example\.evil.example/", ("http", "flagsmith.example", 80)),
        ("http://flagsmith.example#@evil.example/", ("http", "flagsmith.example", 80)),
        ("ftp://flagsmith.example/", ("ftp", "flagsmith.example", 0)),
        ("/api/", ("", "", 0)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: tuple[str, str, int]) -> None:
    assert origin(url) == expected


@each_case("url", ["http://[", "http://host:port/", "http://host:99999/"])
def test_an_address_that_is_none_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError):
        origin(url)


@given(st.text("ab.@\\/:#?%[]", max_size=12))
def test_an_origin_is_where_the_client_would_go(rest: str) -> None:
    url = f"http://{rest}"
    try:
        scheme, host, port = origin(url)
        went_to = requests.Request("GET", url).prepare().url or ""
    except (ValueError, requests.RequestException):
        return
    assert origin(went_to) == (scheme, host, port)


# Errors


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@each_case(
    ("error", "kind", "words"),
    [
        (requests.ConnectTimeout(), TimedOut, "did not answer in time"),
        (requests.ReadTimeout(), TimedOut, "did not answer in time"),
        (TimeoutError(), TimedOut, "did not answer in time"),
        (caused(requests.ConnectionError(), TimeoutError()), TimedOut, "did not answer in time"),
        (caused(requests.ConnectionError(), socket.gaierror(-2, "no name")), Unreachable, "could not be resolved"),
        (caused(requests.ConnectionError(), ConnectionRefusedError()), Unreachable, "refused the connection"),
        (caused(requests.ConnectionError(), ConnectionResetError()), Unreachable, "broke"),
        (
            caused(requests.exceptions.SSLError(), ssl.SSLCertVerificationError("bad certificate")),
            Unreachable,
            "REQUESTS_CA_BUNDLE",
        ),
        (requests.exceptions.InvalidHeader("secret"), UnexpectedAnswer, "invalid headers"),
        (caused(requests.ConnectionError(), ValueError("secret")), Unreachable, "broke"),
        (requests.ConnectionError(URL), Unreachable, "broke"),
        (OSError(URL), Unreachable, "broke"),
    ],
)
def test_an_error_names_the_host_and_neither_path_nor_secrets(
    error: BaseException, kind: type[HttpError], words: str
) -> None:
    described = describe(error, URL, "FLAGSMITH['API_URL']")
    assert type(described) is kind
    assert words in str(described)
    assert "flagsmith.example:8000" in str(described)
    for secret in ("secret", "password", "user", "api/"):
        assert secret not in str(described)


def test_errors_that_cause_each_other_end() -> None:
    first, second = ValueError(), OSError()
    first.__context__, second.__context__ = second, first
    assert describe(second, URL, "FLAGSMITH['API_URL']")


# Retry-After


@each_case(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("86400", MAX_RETRY_AFTER),
        ("9" * 400, MAX_RETRY_AFTER),
        ("9" * 5_000, None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 06 Nov 9999 08:49:37 GMT", MAX_RETRY_AFTER),
        ("Sun, 99 Nov 1994 08:49:37 GMT", 0),
    ],
)
def test_retry_after_is_bounded_seconds_or_nothing(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value) == seconds


@each_case("zone", ["GMT", "-0000", "+0000"])
def test_retry_after_as_a_date_is_in_utc(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        date = formatdate(time.time() + 100, usegmt=True).replace("GMT", zone)
        assert read_retry_after(date) == pytest.approx(100, abs=2)
    finally:
        monkeypatch.undo()
        time.tzset()


@given(texts())
def test_any_retry_after_is_bounded_seconds_or_nothing(value: str) -> None:
    seconds = read_retry_after(value)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


# Ending an exchange


def make_client(**headers: str) -> HttpClient:
    return HttpClient(headers, setting="FLAGSMITH['API_URL']")


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = make_client()
    yield client
    client.close()


def test_a_client_names_the_package_as_its_user_agent(server: ScriptedServer, client: HttpClient) -> None:
    client.get(f"{server.url}/", timeout=5)
    assert server.requests[0].headers["user-agent"] == "django-flagsmith-realtime"


def test_close_ends_what_another_thread_waits_for(server: ScriptedServer, client: HttpClient) -> None:
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            client.get(f"{server.url}/silence/", timeout=60)
        except TRANSPORT_ERRORS as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    server.wait_for(lambda: server.requests)
    client.close()
    thread.join(1)
    assert len(errors) == 1


def test_close_raises_nothing_and_is_for_good(server: ScriptedServer, client: HttpClient) -> None:
    make_client().close()
    client.get(f"{server.url}/", timeout=5).close()
    client.close()
    client.close()
    with pytest.raises(TRANSPORT_ERRORS):
        client.get(f"{server.url}/", timeout=5)
    with pytest.raises(TRANSPORT_ERRORS), client.within(5):
        client.get(f"{server.url}/", timeout=5)


def test_within_ends_what_takes_too_long_or_comes_too_late_and_only_that(
    server: ScriptedServer, client: HttpClient
) -> None:
    with pytest.raises(TimedOut, match=r"within 0\.05 s \(A_SETTING\)\.$"), client.within(0.05, " (A_SETTING)"):
        client.get(f"{server.url}/silence/", timeout=60)
    with client.within(5):
        assert client.get(f"{server.url}/", timeout=60).json() == {}
    with pytest.raises(TimedOut), client.within(0.01):
        time.sleep(0.05)
        client.get(f"{server.url}/silence/", timeout=60)


def test_within_leaves_no_thread_behind(client: HttpClient) -> None:
    with client.within(60):
        pass
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


# What others put into the environment, or below us


def test_a_header_of_the_settings_goes_before_netrc(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for headers in ({}, {"authorization": "Bearer ours"}):
        client = make_client(**headers)
        client.get(f"{server.url}/", timeout=5).close()
        client.close()
    assert [request.headers["authorization"] for request in server.requests] == [
        "Basic c29tZW9uZTplbHNl",
        "Bearer ours",
    ]


WITH_REQUESTS_CACHE = """
import requests_cache
requests_cache.install_cache(backend="memory")
import django; django.setup()
from django_flagsmith_realtime.listener.http import HttpClient
client = HttpClient({}, setting="")
for _ in range(2):
    assert client.get("%s/", timeout=5).raw.read1(64) == b"{}"
"""


@pytest.mark.slow
def test_requests_cache_keeps_no_document_back(server: ScriptedServer) -> None:
    pytest.importorskip("requests_cache")
    subprocess.run([sys.executable, "-c", WITH_REQUESTS_CACHE % server.url], check=True, cwd=ROOT, timeout=30)
    assert len(server.requests) == 2


TARGET = "http://flagsmith.invalid/api/"


def failure(url: str) -> HttpError:
    client = make_client()
    try:
        with client.get(url, timeout=5) as response:
            check_status(response, "", "")
    except HttpError as error:
        return error
    except TRANSPORT_ERRORS as error:
        return describe(error, url, "FLAGSMITH['API_URL']")
    finally:
        client.close()
    raise AssertionError("it came")


class TestProxy:
    """Where a proxy is in the way, an error says so, and names the variable that names the proxy."""

    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    @each_case(
        ("url", "status", "kind", "words"),
        [
            (TARGET, 407, Refused, "wants a name and a password (407)"),
            (TARGET.replace("http:", "https:"), 407, Refused, "wants a name and a password (407)"),
            (TARGET.replace("http:", "https:"), 403, Unreachable, "didn't connect to flagsmith.invalid: "),
        ],
    )
    def test_what_a_proxy_answers(
        self,
        server: ScriptedServer,
        monkeypatch: pytest.MonkeyPatch,
        url: str,
        status: int,
        kind: type[HttpError],
        words: str,
    ) -> None:
        for target in (TARGET, "flagsmith.invalid:443"):
            server.script(target, Refuse(status))
        name = f"{url.partition(':')[0]}_proxy"
        monkeypatch.setenv(name, f"http://someone:secret@127.0.0.1:{server.port}")
        error = failure(url)
        assert type(error) is kind
        for part in (words, f"The proxy 127.0.0.1:{server.port}", f"the environment variable {name}"):
            assert part in str(error)
        assert "secret" not in str(error)

    @each_case(
        ("proxy", "words"),
        [
            ("http://someone:secret@proxy.invalid:3128", "The host name 'proxy.invalid:3128' could not be resolved"),
            ("socks5h://someone:secret@proxy.invalid", "The host name 'proxy.invalid' could not be resolved"),
            ("http://127.0.0.1:{closed}", "127.0.0.1:{closed} refused the connection"),
            ("socks5://127.0.0.1:{closed}", "The proxy 127.0.0.1:{closed} didn't connect to flagsmith.invalid"),
            ("http://", "The address of the proxy can't be used"),
            ("http://secret:port", "The address of the proxy can't be used"),
            ("gopher://secret", "The address of the proxy can't be used"),
        ],
    )
    @each_case("name", ["HTTP_PROXY", "all_proxy"])
    def test_a_proxy_that_is_not_reached(
        self, monkeypatch: pytest.MonkeyPatch, proxy: str, words: str, name: str
    ) -> None:
        closed = free_port()
        with monkeypatch.context() as patch:
            patch.setenv(name, proxy.format(closed=closed))
            error = failure(TARGET)
        assert type(error) is Unreachable
        assert words.format(closed=closed) in str(error)
        assert f"the environment variable {name}" in str(error)
        assert "secret" not in str(error)

    def test_a_proxy_that_speaks_socks_is_used(
        self, server: ScriptedServer, client: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with SocksProxy(server.port) as proxy:
            monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{proxy.port}")
            assert client.get("http://flagsmith.invalid/", timeout=5).json() == {}
            client.close()
        assert proxy.asked_for == [b"flagsmith.invalid"]

    def test_a_proxy_that_speaks_socks_needs_pysocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def without_pysocks(*args: Any, **kwargs: Any) -> Any:  # as in requests.adapters
            raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

        monkeypatch.setattr("requests.adapters.SOCKSProxyManager", without_pysocks)
        monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")
        assert "The proxy 127.0.0.1:1080 needs PySocks: pip install 'requests[socks]'" in str(failure(TARGET))


class TestCanConnect:
    def test_it_tells_whether_anybody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            assert can_connect(url)
        for nobody in (url, "", "http://", "no url", "http://127.0.0.1:99999/"):
            assert not can_connect(nobody)

    def test_a_host_that_does_not_answer_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("django_flagsmith_realtime.listener.http.PROBE_SECONDS", 0.02)
        with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
            address = server.getsockname()
            with socket.create_connection(address):  # all that fits; Linux drops what comes after it
                began = time.monotonic()
                assert not can_connect(f"http://127.0.0.1:{address[1]}/")
                assert time.monotonic() - began < 2

    def test_an_address_may_be_one_of_ipv6(self) -> None:
        try:
            server = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError:
            pytest.skip("this machine has no IPv6")
        with server:
            assert can_connect(f"http://[::1]:{server.getsockname()[1]}/")

    @each_case("scheme", ["http://", "socks5h://", ""])
    def test_with_a_proxy_it_is_the_proxy_that_counts(self, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            monkeypatch.setenv("HTTP_PROXY", f"{scheme}127.0.0.1:{server.getsockname()[1]}")
            monkeypatch.setenv("NO_PROXY", "")
            assert can_connect("http://flagsmith.invalid/")


# Redirects


@each_case(
    ("location", "expected"),
    [
        ("/api/", "https://flagsmith.example/api/"),
        ("https://FLAGSMITH.example:443/api/", "https://FLAGSMITH.example:443/api/"),
        ("http://flagsmith.example/document", "https://flagsmith.example/document"),
        ("http://inside:8000/document?page_id=2", "https://flagsmith.example/document?page_id=2"),
        ("http://evil.example\\@inside/document", "https://flagsmith.example/document"),
        ("https://evil.example//document", None),
        ("http://flagsmith.example/document/", None),
        ("https://flagsmith.example:8443/api/", None),
        ("http://[", None),
    ],
)
def test_a_redirect_is_followed_within_the_origin_alone(
    client: HttpClient, location: str, expected: str | None
) -> None:
    if expected:
        assert client.resolve("https://flagsmith.example/document/", location) == expected
    else:
        with pytest.raises(RedirectRefused):
            client.resolve("https://flagsmith.example/document/", location)


@each_case(
    ("url", "words"),
    [
        ("https://flagsmith.example/", "X-Forwarded-Proto"),
        ("http://other.example/", "set FLAGSMITH['API_URL'] to it"),
    ],
)
def test_a_redirect_away_from_tls_is_no_advice(client: HttpClient, url: str, words: str) -> None:
    with pytest.raises(RedirectRefused) as caught:
        client.resolve(url, "http://flagsmith.example/")
    assert words in str(caught.value)
