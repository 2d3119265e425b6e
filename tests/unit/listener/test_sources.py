"""Fetching the document: every recorded answer, and every way to fail."""

from __future__ import annotations

import gzip
import json
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import Any

import pytest

from django_flagsmith_realtime.environment.document import normalize
from django_flagsmith_realtime.exceptions import (
    FlagsmithError,
    HttpError,
    InvalidDocument,
    NotFound,
    RateLimited,
    RedirectRefused,
    Refused,
    ServerError,
    TimedOut,
    TooLarge,
    UnexpectedAnswer,
    Unreachable,
)
from django_flagsmith_realtime.listener import sources as source_module
from django_flagsmith_realtime.listener.sources import ApiSource
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.http_server import (
    DEADLINE,
    Answer,
    Drip,
    Raw,
    Redirect,
    Refuse,
    Reply,
    Reset,
    ScriptedServer,
    Silence,
    Truncated,
    head,
)
from tests.support.processes import free_port

KEY = "ser.a-very-secret-key"
PATH = "/api/v1/environment-document/"
DOCUMENT = recordings.document()
BODY = recordings.DOCUMENT.read_bytes()
SHORT = 0.05  # seconds, where a test waits for a timeout


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def make_source(url: str, timeout: float = DEADLINE, headers: Mapping[str, str] | None = None) -> ApiSource:
    return ApiSource(api_url=f"{url}/api/v1/", environment_key=KEY, timeout=timeout, headers=headers or {})


def fetch(url: str, timeout: float = DEADLINE) -> Any:
    source = make_source(url, timeout)
    try:
        return source.fetch()
    finally:
        source.close()


def failure(url: str, timeout: float = DEADLINE) -> FlagsmithError:
    """Return the error of a fetch, and see to it that nothing of it shows a key."""
    with pytest.raises(FlagsmithError) as caught:
        fetch(url, timeout)
    shown = str(caught.value) + repr(caught.value) + "".join(traceback.format_exception(caught.value))
    for secret in (KEY, "a-very-secret", DOCUMENT["api_key"]):
        assert secret not in shown
    assert caught.value.__cause__ is None  # it would hold the body, URLs and headers
    return caught.value


def failure_of(server: ScriptedServer, *replies: Reply, timeout: float = DEADLINE) -> FlagsmithError:
    server.script(PATH, *replies)
    return failure(server.url, timeout)


def replay(name: str) -> Answer:
    exchange = recordings.exchange(name)
    return Answer(exchange.status, exchange.content_headers, exchange.body)


# What Flagsmith was recorded to answer


def test_the_recorded_document_is_fetched_and_parsed(server: ScriptedServer) -> None:
    server.script(PATH, replay("environment_document"))
    document = fetch(server.url)
    assert document.environment.document == normalize(DOCUMENT)
    assert document.updated_at == 1_795_372_508_819_359
    assert document.realtime_enabled is False
    assert document.environment.api_key == "iAaKfvZfYHkgSzorPJFmbz"


def test_the_document_is_asked_for_with_the_key_gzip_and_no_condition(server: ScriptedServer) -> None:
    server.script(PATH, replay("environment_document"))
    source = make_source(server.url, headers={"X-Gateway": "inside"})
    for _ in range(2):  # a condition would come with the second request
        source.fetch()
    source.close()
    for request in server.requests:
        assert (request.method, request.target) == ("GET", PATH)
        assert request.headers["x-environment-key"] == KEY
        assert request.headers["accept-encoding"] == "gzip"
        assert request.headers["x-gateway"] == "inside"
        assert not [name for name in request.headers if name.startswith("if-")]


def test_the_recorded_gzip_answer_is_unpacked(server: ScriptedServer) -> None:
    exchange = recordings.exchange("gzip_enabled_environment_document")
    assert exchange.headers["content-encoding"] == "gzip"
    assert exchange.body == b"<2748 bytes gzip>"  # a placeholder: the recorded document goes in its place
    server.script(PATH, Answer(200, exchange.content_headers, DOCUMENT, gzip=True))
    assert fetch(server.url).environment.document == normalize(DOCUMENT)


@each_case(
    "name",
    [
        "environment_document_client_key_403",
        "environment_document_missing_header_403",
        "environment_document_wrong_server_key_403",
    ],
)
def test_a_recorded_403_says_which_setting_to_check_and_not_the_key(server: ScriptedServer, name: str) -> None:
    error = failure_of(server, replay(name))
    assert isinstance(error, Refused)
    assert "FLAGSMITH['ENVIRONMENT_KEY']" in str(error)
    assert "403" in str(error)
    assert '"ser."' in str(error)


@each_case("name", ["environment_document_if_modified_since_304", "environment_document_after_change_stale_304"])
def test_a_304_is_an_unexpected_answer_as_nothing_conditional_was_asked(server: ScriptedServer, name: str) -> None:
    error = failure_of(server, replay(name))
    assert isinstance(error, UnexpectedAnswer)
    assert "304" in str(error)
    assert not [name for name in server.requests[0].headers if name.startswith("if-")]


def test_the_recorded_redirect_to_the_trailing_slash_is_followed_with_the_key(server: ScriptedServer) -> None:
    exchange = recordings.exchange("environment_document_no_trailing_slash")
    server.script(PATH, Answer(301, {"Location": "/slash/"}))
    server.script("/slash/", Answer(301, exchange.content_headers, framing="chunked"), replay("environment_document"))
    server.script(PATH, Answer(301, {**exchange.content_headers, "location": "/slash/"}, framing="chunked"))
    server.script("/slash/", replay("environment_document"))
    assert exchange.headers["location"] == PATH
    assert fetch(server.url).environment.name == DOCUMENT["name"]
    assert server.requests_to("/slash/")[0].headers["x-environment-key"] == KEY


def test_the_notes_on_caching_show_that_only_content_tells_a_change() -> None:
    folder = recordings.FOLDER / "api"
    assert ": 304" not in (folder / "document_cache_20s_and_no_env_cache.txt").read_text()
    assert (
        "20 s later, same conditional GET: (304" in (folder / "last_modified_one_second_resolution_304.txt").read_text()
    )
    assert "-> (304" in (folder / "stale_header_and_304_after_change.txt").read_text()
    assert "queue-change POSTs since: 0" in (folder / "v2_scheduled_version_goes_live_without_bump_304.txt").read_text()


# Refusals and broken connections


@each_case(
    ("status", "kind", "words"),
    [
        (400, UnexpectedAnswer, "FLAGSMITH['API_URL']"),
        (401, Refused, "FLAGSMITH['ENVIRONMENT_KEY']"),
        (403, Refused, "FLAGSMITH['ENVIRONMENT_KEY']"),
        (404, NotFound, "FLAGSMITH['API_URL']"),
        (407, Refused, "407"),
        (410, NotFound, "FLAGSMITH['API_URL']"),
        (429, RateLimited, "fewer requests"),
        (500, ServerError, "500"),
        (502, ServerError, "502"),
        (503, ServerError, "503"),
        (204, UnexpectedAnswer, "204"),
        (206, UnexpectedAnswer, "206"),
    ],
)
def test_a_status_other_than_200_has_a_type_and_a_remedy(
    server: ScriptedServer, status: int, kind: type[HttpError], words: str
) -> None:
    error = failure_of(server, Answer(status, framing="length"))
    assert type(error) is kind
    assert words in str(error)
    assert error.retry_after is None


@each_case("status", [429, 503, 403])
def test_retry_after_is_reported_in_seconds_or_as_a_date(server: ScriptedServer, status: int) -> None:
    error = failure_of(server, Refuse(status, retry_after=7))
    assert isinstance(error, HttpError)
    assert error.retry_after == 7
    error = failure_of(server, Refuse(status, retry_after=formatdate(time.time() + 60, usegmt=True)))
    assert isinstance(error, HttpError)
    assert error.retry_after is not None
    assert 57 < error.retry_after <= 60


@each_case(
    "reply",
    [
        Reset(),
        Raw([]),
        Raw([head(200, {**recordings.exchange("environment_document_head").headers, "connection": "close"})]),
        Raw([head(200, {"Content-Length": str(len(BODY))}), BODY[:500]], end="reset"),
        Truncated(BODY, "length"),
        Truncated(BODY, "chunk"),
        Truncated(BODY, "last chunk"),
    ],
)
def test_a_connection_that_breaks_before_the_end_of_an_answer_is_unreachable(
    server: ScriptedServer, reply: Reply
) -> None:
    assert isinstance(failure_of(server, reply), Unreachable)


def test_a_host_that_is_not_reached_is_named_with_what_failed(server: ScriptedServer) -> None:
    closed = f"127.0.0.1:{free_port()}"
    for url, words in {
        f"http://{closed}": f"{closed} refused the connection",
        "http://nowhere.invalid": "'nowhere.invalid' could not be resolved",
        server.url.replace("http:", "https:"): "TLS with 127.0.0.1",
    }.items():
        error = failure(url)
        assert isinstance(error, Unreachable)
        assert words in str(error)


@pytest.mark.slow
@pytest.mark.parametrize(
    "reply",
    [
        Silence(),
        Drip(DOCUMENT, 2, what="headers"),
        Drip(DOCUMENT, 2, what="body"),
        Raw([head(200, {"Transfer-Encoding": "chunked"}), b"1\r\n{\r\n"], end="open"),
        Raw([head(200, {"Content-Encoding": "gzip"}), gzip.compress(BODY)[:10]], end="open"),
    ],
    ids=["silence", "dripping headers", "dripping body", "half a chunked body", "half a gzip body"],
)
def test_one_deadline_bounds_the_whole_request(server: ScriptedServer, reply: Reply) -> None:
    began = time.monotonic()
    error = failure_of(server, reply, timeout=SHORT)
    assert isinstance(error, TimedOut)
    assert SHORT * 0.9 <= time.monotonic() - began < SHORT + 1


def test_the_deadline_bounds_redirects_and_pages_together(server: ScriptedServer) -> None:
    server.script(PATH, Redirect("/elsewhere/"))
    server.script("/elsewhere/", Drip({**DOCUMENT, "more": 1}, 2))
    assert isinstance(failure(server.url, SHORT), TimedOut)


def test_a_fetch_that_times_out_names_its_setting_and_does_not_end_the_next(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script(PATH, Drip(DOCUMENT, 2))
    source = make_source(server.url, SHORT)
    with pytest.raises(TimedOut, match=r"within 0\.05 s \(FLAGSMITH\['REQUEST_TIMEOUT'\]\)"):
        source.fetch()
    server.script(PATH, Answer(body=DOCUMENT))
    monkeypatch.setattr(source, "_timeout", DEADLINE)
    assert source.fetch().environment.name == DOCUMENT["name"]
    source.close()


@each_case(
    ("reply", "kind"),
    [
        (Raw([head(200, {}), BODY[:5000]]), InvalidDocument),
        (Raw([head(200, {"Content-Encoding": "gzip"}), gzip.compress(BODY)[:1000]]), FlagsmithError),
        (Answer(200, {"Content-Encoding": "gzip"}, BODY), HttpError),
    ],
)
def test_a_body_that_was_cut_without_a_length_or_is_no_gzip_fails(
    server: ScriptedServer, reply: Reply, kind: type[FlagsmithError]
) -> None:
    assert isinstance(failure_of(server, reply), kind)


@each_case("framing", ["length", "chunked", "close"])
@each_case("packed", [True, False])
def test_a_document_is_read_however_it_is_framed(server: ScriptedServer, framing: Any, packed: bool) -> None:
    server.script(PATH, Answer(body=DOCUMENT, framing=framing, gzip=packed))
    assert fetch(server.url).environment.document == normalize(DOCUMENT)


# What is no document


@each_case(
    ("body", "words"),
    [
        (b"", "an empty body"),
        (b"  <!DOCTYPE html><html></html>", "HTML"),
        (b"{", "broken JSON"),
        (b"\xff\xfe\x00", "broken JSON"),
        (b"null", "JSON null"),
        (b"[]", "JSON list"),
        (b'"text"', "JSON str"),
        (b"12", "JSON int"),
        (b"{}", "project is missing"),
        (b"[" * 100_000, "broken JSON"),
        (b'{"a":' * 100_000, "broken JSON"),
        (b"9" * 5_000, "JSON"),
    ],
)
def test_a_body_that_is_no_document_is_refused_with_what_it_is(server: ScriptedServer, body: bytes, words: str) -> None:
    error = failure_of(server, Answer(body=body))
    assert type(error) is InvalidDocument
    assert words in str(error)


def test_rules_nested_without_end_are_refused(server: ScriptedServer) -> None:
    rule: dict[str, Any] = {"type": "ALL", "rules": [], "conditions": []}
    for _ in range(400):
        rule = {"type": "ALL", "rules": [rule], "conditions": []}
    body = recordings.document()
    body["project"]["segments"][0]["rules"] = [rule]
    error = failure_of(server, Answer(body=json.dumps(body).encode()))
    assert isinstance(error, InvalidDocument)
    assert "nested too deep" in str(error)


def test_a_document_over_the_bound_is_refused_before_it_is_read_whole(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "MAX_BYTES", 1_000)
    reply = Raw([head(200, {"Content-Length": "1000000000"}), b" " * 300_000], end="open")
    assert isinstance(failure_of(server, reply), TooLarge)


@pytest.mark.slow
def test_a_gzip_bomb_is_refused_by_its_unpacked_size(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "MAX_BYTES", 100_000)
    bomb = Answer(body=b" " * 20_000_000, gzip=True)
    assert len(bomb.render()[1]) < 100_000
    assert isinstance(failure_of(server, bomb), TooLarge)


# Pages


def page(*identifiers: str) -> dict[str, Any]:
    overrides = recordings.document()["identity_overrides"]
    return {**DOCUMENT, "identity_overrides": [{**overrides[0], "identifier": name} for name in identifiers]}


def next_link(url: str) -> dict[str, str]:
    return {"Link": f'<{url}>; rel="next"'}


def identifiers(document: Any) -> list[str]:
    return [override["identifier"] for override in document.environment.document["identity_overrides"]]


def test_pages_are_followed_and_their_identity_overrides_merged(server: ScriptedServer) -> None:
    server.script(
        PATH,
        Answer(200, next_link(f"{PATH}?page_id=2"), page("a", "b")),
        Answer(200, next_link(f"{server.url}{PATH}?page_id=3"), page("c")),
        Answer(200, {}, page("d")),
    )
    document = fetch(server.url)
    assert identifiers(document) == ["a", "b", "c", "d"]
    assert [request.target for request in server.requests] == [PATH, f"{PATH}?page_id=2", f"{PATH}?page_id=3"]
    assert {request.headers["x-environment-key"] for request in server.requests} == {KEY}
    assert document.environment.document["feature_states"] == normalize(DOCUMENT)["feature_states"]
    server.script(
        PATH,
        Answer(200, next_link("?page_id=2"), {**DOCUMENT, "identity_overrides": None}),
        Answer(200, next_link("?page_id=3"), page("a")),
        Answer(200, {}, page()),
    )
    assert identifiers(fetch(server.url)) == ["a"]


def test_overrides_that_are_no_list_are_refused(server: ScriptedServer) -> None:
    error = failure_of(server, Answer(body={**DOCUMENT, "identity_overrides": {}}))
    assert "identity_overrides isn't a list" in str(error)


def test_a_failing_page_fails_the_whole_document(server: ScriptedServer) -> None:
    assert isinstance(
        failure_of(server, Answer(200, next_link("?page_id=2"), DOCUMENT), Refuse(503)),
        ServerError,
    )


def test_a_page_elsewhere_never_gets_the_key(server: ScriptedServer) -> None:
    with ScriptedServer() as other:
        error = failure_of(server, Answer(200, next_link(f"{other.url}{PATH}?page_id=2"), DOCUMENT))
        assert isinstance(error, RedirectRefused)
        assert not other.requests


def test_pages_are_bounded_in_number_and_in_the_bytes_of_all_together(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "MAX_PAGES", 5)
    assert isinstance(failure_of(server, Answer(200, next_link("?page_id=2"), {})), TooLarge)
    assert len(server.requests) == 5
    server.requests.clear()
    monkeypatch.setattr(source_module, "MAX_BYTES", int(len(json.dumps(DOCUMENT)) * 2.5))
    assert isinstance(failure_of(server, Answer(200, next_link("?page_id=2"), DOCUMENT)), TooLarge)
    assert len(server.requests) == 3


# Redirects


@each_case(
    ("status", "target"),
    [
        (301, "/other/"),
        (302, "other/"),
        (303, "{url}/other/"),
        (307, "//127.0.0.1:{port}/other/"),
        (308, "/other/"),
    ],
)
def test_a_redirect_within_the_origin_is_followed(server: ScriptedServer, status: int, target: str) -> None:
    server.script(PATH, Redirect(target.format(url=server.url, port=server.port), status))
    for path in ("/other/", f"{PATH}other/"):
        server.script(path, Answer(body=DOCUMENT))
    assert fetch(server.url).environment.name == DOCUMENT["name"]
    assert server.requests[-1].method == "GET"


@each_case(
    ("status", "target"),
    [
        (301, "{other}/"),
        (302, "//127.0.0.1:{port}/"),
        (303, r"{other}\@127.0.0.1:{home}/"),
        (307, "{other}/"),
        (308, "{other}/"),
    ],
)
def test_a_redirect_to_another_origin_never_carries_the_key(server: ScriptedServer, status: int, target: str) -> None:
    with ScriptedServer() as other:
        other.script("/", Answer(body=DOCUMENT))
        location = target.format(other=other.url, port=other.port, home=server.port)
        error = failure_of(server, Redirect(location, status))
        assert isinstance(error, RedirectRefused)
        assert f"127.0.0.1:{other.port}" in str(error)
        assert "FLAGSMITH['API_URL']" in str(error)
        assert other.accepted == 0


@each_case("target", ["https://127.0.0.1:{port}/", "http://localhost:{port}/", "ftp://127.0.0.1:{port}/"])
def test_another_scheme_or_name_is_another_origin(server: ScriptedServer, target: str) -> None:
    server.requests.clear()
    error = failure_of(server, Redirect(target.format(port=server.port)))
    assert isinstance(error, RedirectRefused)
    assert len(server.requests) == 1


def test_a_redirect_without_a_location_or_to_nowhere_is_refused(server: ScriptedServer) -> None:
    assert isinstance(failure_of(server, Answer(302)), UnexpectedAnswer)
    for target in ("http://[", "http://127.0.0.1:99999/", "http://127.0.0.1:port/", "http://"):
        assert isinstance(failure_of(server, Redirect(target)), HttpError)


def test_a_circle_of_redirects_ends(server: ScriptedServer) -> None:
    error = failure_of(server, Redirect(PATH))
    assert isinstance(error, RedirectRefused)
    assert len(server.requests) == 5


def test_the_edge_proxy_is_asked_without_a_slash_once_and_then_always(server: ScriptedServer) -> None:
    inside = f"https://edge-proxy:8000{PATH}"  # its route has no slash, and its idea of its address is its own
    server.script(PATH, Redirect(inside[:-1]))
    server.script(PATH[:-1], Answer(body=DOCUMENT))
    source = make_source(server.url)
    for _ in range(3):
        assert source.fetch().environment.name == DOCUMENT["name"]
    assert [request.path for request in server.requests] == [PATH, PATH[:-1], PATH[:-1], PATH[:-1]]
    server.script(PATH[:-1], Redirect(inside))  # an API with a slash has taken its place
    server.script(PATH, Answer(body=DOCUMENT))
    for _ in range(2):
        source.fetch()
    assert [request.path for request in server.requests[4:]] == [PATH[:-1], PATH, PATH]
    source.close()


# Connections


def test_fetches_share_a_connection_that_close_drops_and_leave_no_thread_behind(server: ScriptedServer) -> None:
    server.script(PATH, Answer(body=DOCUMENT))
    source = make_source(server.url)
    for _ in range(2):
        source.fetch()
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert (server.accepted, server.open_connections) == (1, 1)
    source.close()
    server.wait_for(lambda: server.open_connections == 0)


def test_failures_leave_no_connection_open(server: ScriptedServer) -> None:
    server.script(
        PATH, Refuse(503), Redirect("http://elsewhere.invalid/"), Answer(body=b"<html>"), Answer(body=DOCUMENT)
    )
    source = make_source(server.url)
    for _ in range(3):
        with pytest.raises(FlagsmithError):
            source.fetch()
    source.fetch()
    server.wait_for(lambda: server.open_connections <= 1)
    source.close()


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(server: ScriptedServer) -> None:
    server.script(PATH, Raw([head(200, {"Content-Length": str(len(BODY))}), BODY]), Answer(body=DOCUMENT))
    source = make_source(server.url)
    source.fetch()
    server.wait_for(lambda: server.open_connections == 0)
    assert source.fetch().environment.name == DOCUMENT["name"]
    source.close()


def test_close_ends_a_fetch_that_waits(server: ScriptedServer) -> None:
    server.script(PATH, Silence())
    source = make_source(server.url)
    errors: list[FlagsmithError] = []

    def fetch() -> None:
        try:
            source.fetch()
        except FlagsmithError as error:
            errors.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    server.wait_for(lambda: server.requests)
    source.close()
    thread.join(1)
    assert not thread.is_alive()
    assert isinstance(errors[0], Unreachable)
