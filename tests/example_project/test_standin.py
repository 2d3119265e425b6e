"""The stand-in, compared with the recordings of the Flagsmith that it stands in for."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests
from standin.server import StandIn

from tests.support import recordings
from tests.support.cases import each_case
from tests.support.demo import EXAMPLE_PROJECT
from tests.support.processes import wait_until

SERVER_KEY = recordings.exchange("environment_document").request_headers["x-environment-key"]
NOW = {"date", "expires"}  # headers that say when the answer was made
EXCHANGES = [
    "environment_document",
    "environment_document_head",
    "environment_document_client_key_403",
    "environment_document_missing_header_403",
    "environment_document_wrong_server_key_403",
    "environment_document_no_trailing_slash",
    "flags_get",
    "flags_get_server_key",
    "flags_get_feature",
    "flags_get_feature_unknown_404",
    "flags_get_no_trailing_slash",
    "flags_missing_header_403",
    "flags_wrong_key_403",
]
PING = rb"27\r\n: ping - \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\r\n\r\n\r\n"
SECONDS = 5  # for an answer


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(state_path=tmp_path / "flags.json", server_key=SERVER_KEY) as standin:
        yield standin


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A stand-in for all tests that change nothing on it."""
    with StandIn(state_path=tmp_path_factory.mktemp("unchanged") / "flags.json", server_key=SERVER_KEY) as standin:
        yield standin


def address(standin: StandIn) -> tuple[str, int]:
    host, port = standin.url.removeprefix("http://").split(":")
    return host, int(port)


def ask(standin: StandIn, target: str, headers: dict[str, str], method: str = "GET") -> Any:
    """Return status, headers with names in lower case, and body of an answer."""
    connection = HTTPConnection(*address(standin), timeout=SECONDS)
    try:
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def document(standin: StandIn, **headers: str) -> Any:
    headers = {"X-Environment-Key": standin.server_key, **headers}
    return ask(standin, "/api/v1/environment-document/", headers)


def telling(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in {*NOW, *recordings.FRAMING_HEADERS}}


def comparable(body: bytes) -> Any:
    """Return a JSON body without what the stand-in makes up or has on: creation dates, real-time updates."""
    parsed = json.loads(body or "null")
    if isinstance(parsed, dict) and "project" in parsed:
        parsed["project"]["enable_realtime_updates"] = True
    for state in parsed if isinstance(parsed, list) else [parsed]:
        if isinstance(state, dict) and "feature" in state:
            state["feature"]["created_date"] = None
    return parsed


# The API


@each_case("name", EXCHANGES)
def test_it_answers_as_recorded(unchanged: StandIn, name: str) -> None:
    exchange = recordings.exchange(name)
    method = "HEAD" if name.endswith("_head") else "GET"
    status, headers, body = ask(unchanged, exchange.target, exchange.request_headers, method)
    assert status == exchange.status
    assert telling(headers) == telling(exchange.headers)
    assert comparable(body) == comparable(exchange.body)


def test_a_head_request_tells_the_length_of_the_body_it_leaves_out(unchanged: StandIn) -> None:
    key = {"X-Environment-Key": unchanged.server_key}
    _, headers, body = ask(unchanged, "/api/v1/environment-document/", key, "HEAD")
    assert body == b""
    assert int(headers["content-length"]) == len(document(unchanged)[2])


def test_gzip_is_sent_to_who_accepts_it(unchanged: StandIn) -> None:
    exchange = recordings.exchange("gzip_enabled_environment_document")
    _, headers, body = document(unchanged, **{"Accept-Encoding": "gzip"})
    assert headers["vary"] == exchange.headers["vary"]
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == document(unchanged)[2]
    assert len(body) < 2 * int(exchange.headers["content-length"])


@each_case("target", ["/api/v1/nothing/", "/nothing", "/../server.py", "/page/../server.py"])
def test_other_addresses_are_not_found(unchanged: StandIn, target: str) -> None:
    assert ask(unchanged, target, {})[0] == 404


def test_requests_for_the_document_are_counted_also_where_they_are_refused(standin: StandIn) -> None:
    document(standin)
    document(standin, **{"X-Environment-Key": "ser.wrong"})
    assert standin.counts.environment_document == 2


# The stream


@contextmanager
def streaming(standin: StandIn, key: str | None = None) -> Iterator[socket.socket]:
    """Open a stream, to the end of its headers."""
    with socket.create_connection(address(standin), timeout=SECONDS) as connection:
        target = f"/sse/environments/{key or standin.client_key}/stream"
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
        assert headers_of(receive(connection, b"\r\n\r\n")) == recorded_stream_headers()
        yield connection


def receive(connection: socket.socket, end: bytes) -> bytes:
    """Return what comes up to some bytes."""
    data = b""
    while not data.endswith(end):
        part = connection.recv(1)
        assert part, f"the stream ended after {data!r}"
        data += part
    return data


def headers_of(head: bytes) -> list[str]:
    """Return the lines of an answer's head in one order, without the time."""
    lines = (line.lower() for line in head.decode().splitlines() if line)
    return sorted(line for line in lines if not line.startswith(("date:", "connection:")))


def recorded_stream_headers() -> list[str]:
    return headers_of(recordings.stream("stream_known_environment").partition(b"\r\n\r\n")[0])


def recorded_chunk(name: str, marker: bytes) -> bytes:
    """Return the first recorded piece that begins with something, chunk sizes included."""
    return next(piece for _, piece in recordings.stream_pieces(name) if piece.split(b"\r\n", 1)[-1].startswith(marker))


def without_time(chunk: bytes) -> bytes:
    """Return a chunk without its size and its digits."""
    return re.sub(rb"[\d.]+", b"0", chunk.split(b"\r\n", 1)[1])


def event_time(standin: StandIn) -> bytes:
    return str(datetime.fromisoformat(standin.document["updated_at"]).timestamp()).encode()


def test_a_change_is_announced_in_the_recorded_bytes(standin: StandIn) -> None:
    with streaming(standin) as connection:
        standin.set_flag("new_checkout", enabled=True)
        chunk = receive(connection, b"\r\n\r\n\r\n")
    assert without_time(chunk) == without_time(recorded_chunk("e2e_stream_real_environment", b"event:"))
    assert b'data: {"updated_at": %s}' % event_time(standin) in chunk
    size, _, data = chunk.partition(b"\r\n")
    assert int(size, 16) == len(data) - 2


def test_a_new_stream_begins_with_the_latest_change(standin: StandIn) -> None:
    standin.set_flag("new_checkout", enabled=True)
    standin.set_flag("new_checkout", enabled=False)
    with streaming(standin) as connection:
        assert event_time(standin) in receive(connection, b"\r\n\r\n\r\n")


def test_an_idle_stream_pings_and_ends_as_recorded(tmp_path: Path) -> None:
    with (
        StandIn(state_path=tmp_path / "flags.json", ping_seconds=0.05, stream_seconds=0.12) as standin,
        streaming(standin) as connection,
    ):
        rest = receive(connection, b"\r\n0\r\n\r\n")
    assert re.fullmatch(rb"(%s)+0\r\n\r\n" % PING, rest)
    assert re.fullmatch(PING, recorded_chunk("e2e_stream_real_environment", b": ping"))


def test_any_key_opens_a_stream_but_only_the_right_one_hears_of_changes(tmp_path: Path) -> None:
    with (
        StandIn(state_path=tmp_path / "flags.json", ping_seconds=0.05) as standin,
        streaming(standin, "unknown") as connection,
    ):
        standin.set_flag("new_checkout", enabled=True)
        assert b": ping" in receive(connection, b"\r\n\r\n\r\n")


def test_a_client_that_leaves_is_not_counted_as_listening(standin: StandIn) -> None:
    with streaming(standin):
        assert (standin.counts.stream, standin.counts.open_streams) == (1, 1)
    wait_until(lambda: standin.counts.open_streams == 0)
    assert standin.counts.stream == 1


# The state


def test_the_flags_are_kept_in_the_file_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "flags.json"
    with StandIn(state_path=path) as standin:
        assert standin.set_flag("banner_text", value="Grüße 🚀")
        before = standin.document
    with StandIn(state_path=path) as standin:
        assert standin.document == before
    assert list(path.parent.iterdir()) == [path]


def test_a_change_that_changes_nothing_is_neither_written_nor_announced(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    with StandIn(state_path=path) as standin:
        before = standin.document["updated_at"]
        assert not standin.set_flag("max_cart_items", value=25, enabled=True)
        assert standin.document["updated_at"] == before
        assert not path.exists()
        assert standin.set_flag("bool_value", value=1), "one is not true"


def test_its_end_closes_the_connections_that_clients_keep(tmp_path: Path) -> None:
    with requests.Session() as session:
        with StandIn(state_path=tmp_path / "flags.json") as standin:
            assert session.get(standin.url, timeout=SECONDS).ok
        with pytest.raises(requests.ConnectionError):
            session.get(standin.url, timeout=SECONDS)


# The page


@each_case(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/project/1/environment/k/features?feature=3", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
    ],
)
def test_the_page_is_served_with_its_files(unchanged: StandIn, path: str, kind: str) -> None:
    status, headers, body = ask(unchanged, path, {})
    assert (status, headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert body


def state(standin: StandIn) -> Any:
    return json.loads(ask(standin, "/standin/state", {})[2])


def test_the_page_tells_in_words_whom_segments_are_for_and_what_these_have_instead(unchanged: StandIn) -> None:
    shown = state(unchanged)
    assert {segment["name"]: segment["rule"] for segment in shown["segments"]} == {
        "gold_members": "plan is gold",
        "ten_percent": "10 % of identities",
        "staff_or_eu": r"(email matches ^.+@northwind\.example$ or country in DE,FR,NL,SE) and not (blocked is true) "
        "and age from 18 and age is set",
        "app_v2": "app_version from 2.0.0:semver or user_number modulo 2|0",
    }
    [row] = [row for row in shown["flags"] if row["name"] == "banner_text"]
    assert row["segments"] == [
        {"name": "gold_members", "enabled": True, "value": "Welcome back, gold member"},
        {"name": "ten_percent", "enabled": True, "value": "Lucky ten percent"},
    ]


def test_a_new_state_starts_as_the_document_that_is_named(tmp_path: Path) -> None:
    shop = EXAMPLE_PROJECT / "shop" / "environment.json"
    with StandIn(state_path=tmp_path / "flags.json", document_path=shop) as standin:
        assert standin.document == json.loads(shop.read_text())
        standin.set_flag("reviews", enabled=False)
    with StandIn(state_path=tmp_path / "flags.json", document_path=tmp_path / "gone") as standin:
        assert standin.document["name"] == "Production"


def change(standin: StandIn, name: str, body: Any) -> requests.Response:
    return requests.post(f"{standin.url}/standin/flags/{name}", json=body, timeout=SECONDS)


@each_case("value", ["x", 3, True, None])
def test_the_page_switches_a_flag_and_gives_it_a_value_of_any_type(standin: StandIn, value: Any) -> None:
    answer = change(standin, "banner_text", {"value": value})
    [row] = [row for row in answer.json()["flags"] if row["name"] == "banner_text"]
    assert (type(row["value"]), row["value"]) == (type(value), value)
    assert change(standin, "new_checkout", {"enabled": True}).ok
    assert comparable(document(standin)[2])["feature_states"][1]["enabled"] is True


@each_case(
    "body",
    [{}, {"value": 1.5}, {"enabled": "yes"}, {"x": 1}, [], "x", {"enabled": None}, {"value": [1]}],
)
def test_a_change_that_makes_no_sense_is_refused_with_the_reason(unchanged: StandIn, body: Any) -> None:
    answer = change(unchanged, "new_checkout", body)
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_a_change_that_is_no_json_or_of_an_unknown_flag_is_refused(unchanged: StandIn) -> None:
    url = f"{unchanged.url}/standin/flags/new_checkout"
    broken = requests.post(url, data="{", headers={"Content-Type": "application/json"}, timeout=SECONDS)
    form = requests.post(url, data={"enabled": "1"}, timeout=SECONDS)
    unknown = change(unchanged, "nothing", {"enabled": True})
    assert (broken.status_code, form.status_code, unknown.status_code) == (400, 415, 404)
