"""HTTP: what an error says, whose a URL is, when to come back, and ending an exchange from outside."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.exceptions import HttpError, TimedOut, UnexpectedAnswer, Unreachable
from django_flagsmith_realtime.listener.http import (
    MAX_RETRY_AFTER,
    TRANSPORT_ERRORS,
    InterruptibleSession,
    can_connect,
    describe,
    origin,
    read_retry_after,
)
from tests.support.cases import each_case
from tests.support.http_server import Answer, ScriptedServer, Silence

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
            requests.exceptions.SSLError(ssl.SSLCertVerificationError("bad certificate")),
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
        ("9" * 5_000, MAX_RETRY_AFTER),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 06 Nov 9999 08:49:37 GMT", MAX_RETRY_AFTER),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
def test_retry_after_is_bounded_seconds_or_nothing(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value) == seconds


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000"])
def test_retry_after_as_a_date_is_in_utc(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        date = formatdate(time.time() + 100, usegmt=True).replace("GMT", zone)
        assert read_retry_after(date) == pytest.approx(100, abs=2)
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text())
def test_any_retry_after_is_bounded_seconds_or_nothing(value: str) -> None:
    seconds = read_retry_after(value)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


# Ending an exchange


def test_a_session_names_the_package_as_its_user_agent(server: ScriptedServer) -> None:
    with InterruptibleSession({}) as session:
        session.get(f"{server.url}/")
    assert server.requests[0].headers["user-agent"] == "django-flagsmith-realtime"


def test_interrupt_ends_what_another_thread_waits_for(server: ScriptedServer) -> None:
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            session.get(f"{server.url}/silence/")
        except TRANSPORT_ERRORS as error:
            errors.append(error)

    with InterruptibleSession({}) as session:
        thread = threading.Thread(target=wait)
        thread.start()
        server.wait_for(lambda: server.requests)
        session.interrupt()
        thread.join(1)
    assert len(errors) == 1


def test_interrupt_is_for_good(server: ScriptedServer) -> None:
    with InterruptibleSession({}) as session:
        session.get(f"{server.url}/")
        session.interrupt()
        with pytest.raises(TRANSPORT_ERRORS):
            session.get(f"{server.url}/")
        with session.within(5), pytest.raises(TRANSPORT_ERRORS):
            session.get(f"{server.url}/")


def test_within_ends_what_takes_too_long_and_only_that(server: ScriptedServer) -> None:
    with InterruptibleSession({}) as session:
        with session.within(0.05) as passed, pytest.raises(TRANSPORT_ERRORS):
            session.get(f"{server.url}/silence/")
        assert passed.is_set()
        with session.within(5) as passed:
            assert session.get(f"{server.url}/").json() == {}
        assert not passed.is_set()


def test_within_also_ends_a_connection_that_comes_too_late(server: ScriptedServer) -> None:
    with InterruptibleSession({}) as session, session.within(0.01) as passed:
        passed.wait(5)
        with pytest.raises(TRANSPORT_ERRORS):
            session.get(f"{server.url}/silence/")


def test_within_leaves_no_thread_behind() -> None:
    with InterruptibleSession({}) as session, session.within(60):
        pass
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_interrupting_an_idle_session_raises_nothing(server: ScriptedServer) -> None:
    with InterruptibleSession({}) as session:
        session.interrupt()
    with InterruptibleSession({}) as session:
        session.get(f"{server.url}/")
    session.interrupt()


class TestCanConnect:
    def test_it_tells_whether_anybody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            assert can_connect(url)
        assert not can_connect(url)

    @each_case("url", ["", "http://", "no url", "http://127.0.0.1:99999/"])
    def test_what_is_no_address_is_not_reached(self, url: str) -> None:
        assert not can_connect(url)

    def test_with_a_proxy_it_is_the_proxy_that_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.getsockname()[1]}")
            monkeypatch.setenv("NO_PROXY", "")
            assert can_connect("http://flagsmith.invalid/")
