"""The stream fails in every way that a stream can; the next update arrives by itself."""

from __future__ import annotations

import logging
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from django_flagsmith_realtime.listener import listener as listener_module
from django_flagsmith_realtime.listener import stream as stream_module
from tests.faults.conftest import Healing
from tests.faults.flagsmith import (
    FIRST,
    FIRST_TIME,
    MICROSECONDS,
    STREAM_PATH,
    Hurry,
    ScriptedFlagsmith,
    deployed,
    event,
    recoveries,
    wait_for_recovery,
    warnings,
)
from tests.support.http_server import Answer, EventStream, Raw, Redirect, Refuse, Reply, Silence
from tests.support.processes import wait_until

SSE = {"Content-Type": "text/event-stream"}
HTML = Answer(200, {"Content-Type": "text/html"}, b"<!doctype html><title>Sign in</title>")
HALF_AN_EVENT = event(FIRST_TIME)[:30]
SHORT = 0.15  # seconds, where a test waits for a timeout
ELSEWHERE = "https://elsewhere.example/"


@pytest.fixture
def flagsmith() -> Iterator[ScriptedFlagsmith]:
    with ScriptedFlagsmith() as flagsmith:
        yield flagsmith


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Believe in a stream after a fifth of a second, so that no test waits long for the line that says so."""
    monkeypatch.setattr(stream_module, "LIVED_SECONDS", 0.2)
    monkeypatch.setattr(listener_module, "MAINTENANCE_SECONDS", 0.1)
    caplog.set_level(logging.INFO)


def wait_for_seconds(seconds: float) -> None:
    """Let time pass in which nothing, or not too much, may happen."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until)


def heal(flagsmith: ScriptedFlagsmith, healing: Healing, wait_for: Callable[[str], None]) -> None:
    """End the fault that was tried twice; what changed meanwhile arrives with one request."""
    flagsmith.realtime.wait_for(lambda: flagsmith.stream_requests >= 2, 10)
    flagsmith.change("Sale")
    before = flagsmith.document_requests
    flagsmith.script_stream()
    with healing():
        wait_for("Sale")
    healing.requests = flagsmith.document_requests - before
    assert healing.requests == 1


# It cannot be opened


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(Answer(204, SSE), "status 204", id="204 No Content"),
        *(
            pytest.param(Refuse(status), f"({status})", id=str(status))
            for status in (401, 403, 404, 410, 429, 500, 502, 503)
        ),
        pytest.param(Answer(200, {"Content-Type": "text/plain"}, event(FIRST_TIME)), "'text/plain'", id="plain text"),
        pytest.param(HTML, "'text/html'", id="HTML"),
        pytest.param(Redirect("/elsewhere/"), "(404)", id="a redirect within the origin to nothing"),
        pytest.param(Redirect(ELSEWHERE), "elsewhere.example:443", id="a redirect to another origin"),
        pytest.param(Raw([], end="reset"), "broke", id="a reset instead of an answer"),
        pytest.param(Raw([b"HTTP/1.1 200 OK\r\nContent-Ty"], end="reset"), "broke", id="a reset in the headers"),
        pytest.param(Raw([b"SSH-2.0-OpenSSH_9.2\r\n"]), "broke", id="another protocol"),
    ],
)
def test_stream_is_answered_with(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, reply: Reply, reason: str
) -> None:
    flagsmith.break_stream(reply)
    with deployed(flagsmith, connected=False) as deployment:
        heal(flagsmith, healing, deployment.wait_for)
        wait_for_recovery(caplog, "Flagsmith stream")
    assert deployment.seen == [FIRST, "Sale"]
    assert reason in warnings(caplog)[0]


@pytest.mark.parametrize("form", ["seconds", "a date"])
def test_stream_asks_to_be_left_alone_with_a_retry_after_in(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=3), usegmt=True)
    flagsmith.break_stream(Refuse(429, retry_after=2 if form == "seconds" else date))
    with deployed(flagsmith, connected=False) as deployment:
        heal(flagsmith, healing, deployment.wait_for)
        wait_for_recovery(caplog, "Flagsmith stream")
    first, second, *_ = flagsmith.realtime.requests_to(STREAM_PATH)
    assert second.at - first.at >= (2 if form == "seconds" else 1)  # a date knows no fractions


@pytest.mark.parametrize("fault", ["refused", "reset at once"])
def test_stream_connections_are(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    with deployed(flagsmith) as deployment:
        down = flagsmith.realtime.refusing() if fault == "refused" else flagsmith.realtime.turning_away()
        with down:
            wait_until(lambda: warnings(caplog))
            flagsmith.change("Sale")
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
        wait_for_recovery(caplog, "Flagsmith stream")
    assert healing.requests == 1


def test_stream_host_is_unknown_to_dns(
    flagsmith: ScriptedFlagsmith,
    healing: Healing,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve, known = socket.getaddrinfo, set[str]()

    def resolve_known(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "realtime.test" and host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve("127.0.0.1" if host == "realtime.test" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_known)
    url = f"http://realtime.test:{flagsmith.realtime.port}"
    with deployed(flagsmith, connected=False, REALTIME_URL=url) as deployment:
        wait_until(
            lambda: any("'realtime.test" in line and "could not be resolved" in line for line in warnings(caplog))
        )
        flagsmith.change("Sale")
        known.add("realtime.test")
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
        wait_for_recovery(caplog, "Flagsmith stream")


def test_stream_port_does_not_speak_tls_so_the_update_is_polled(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"https://127.0.0.1:{flagsmith.realtime.port}"
    with deployed(flagsmith, connected=False, REALTIME_URL=url, FALLBACK_POLL_INTERVAL=1) as deployment:
        wait_until(lambda: flagsmith.realtime.accepted >= 2)
        before = flagsmith.document_requests
        flagsmith.change("Sale")
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - before
    assert healing.requests == 1
    (warning,) = warnings(caplog)
    assert "TLS with 127.0.0.1" in warning


# It breaks


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(EventStream([HALF_AN_EVENT], end="reset"), id="is reset in the middle of an event"),
        pytest.param(EventStream([event(FIRST_TIME)], end="reset"), id="is reset between events"),
        pytest.param(EventStream([event(FIRST_TIME)], end="cut"), id="is cut off without the last chunk"),
        pytest.param(EventStream([event(FIRST_TIME)], end="clean"), id="ends cleanly at once"),
        pytest.param(Silence(), id="never sends its headers"),
        pytest.param(Raw([b"HTTP/1.1 200 OK\r\nServer: ", *[b"x", 0.05] * 600]), id="drips its headers"),
        pytest.param(EventStream(), id="is open and silent"),
        pytest.param(EventStream([b"x", 0.02] * 500), id="sends a byte now and then"),
        pytest.param(EventStream([b"data: x", *[0.02, b"x"] * 500]), id="drips an event"),
    ],
)
def test_stream(
    healing: Healing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    monkeypatch.setattr(stream_module, "ANSWER_SECONDS", SHORT)
    with (
        ScriptedFlagsmith(ping=0.05, stream=reply) as flagsmith,
        deployed(flagsmith, connected=False, STREAM_TIMEOUT=SHORT) as deployment,
    ):
        flagsmith.realtime.wait_for(lambda: flagsmith.stream_requests >= 2, 10)
        flagsmith.change("Sale")
        flagsmith.script_stream()
        with healing():
            deployment.wait_for("Sale")
        wait_for_recovery(caplog, "Flagsmith stream")
    healing.requests = flagsmith.document_requests - 1
    assert healing.requests <= 4  # one for the update, and one for each gap
    assert deployment.seen == [FIRST, "Sale"]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(EventStream(end="clean"), id="ends cleanly at once"),
        pytest.param(EventStream([event(FIRST_TIME)], end="reset"), id="is reset after a replay"),
        pytest.param(Refuse(503), id="answers 503"),
    ],
)
def test_stream_always(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, reply: Reply
) -> None:
    flagsmith.break_stream(reply)
    with deployed(flagsmith, connected=False) as deployment:
        wait_for_seconds(3)
        assert flagsmith.stream_requests <= 12
        flagsmith.change("Sale")
        before = flagsmith.document_requests
        flagsmith.script_stream()
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - before
        wait_for_recovery(caplog, "Flagsmith stream")


def test_stream_ends_cleanly_after_a_while_as_it_always_does(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture
) -> None:
    with deployed(flagsmith) as deployment:
        wait_for_seconds(0.3)
        flagsmith.live.finish()
        flagsmith.change("Sale")
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
    assert healing.requests == 1
    assert warnings(caplog) == recoveries(caplog) == []


# It was away


def test_stream_was_away_and_replays_nothing(flagsmith: ScriptedFlagsmith, healing: Healing) -> None:
    flagsmith.replays = False
    with deployed(flagsmith) as deployment:
        flagsmith.live.finish("reset")
        flagsmith.change("Sale")
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
    assert healing.requests == 1


def test_stream_was_away_and_replays_a_new_time(flagsmith: ScriptedFlagsmith, healing: Healing) -> None:
    with deployed(flagsmith) as deployment:
        with flagsmith.realtime.refusing():
            flagsmith.change("Sale")
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
    assert healing.requests == 1


def test_stream_was_away_and_replays_the_time_of_before(flagsmith: ScriptedFlagsmith, healing: Healing) -> None:
    with deployed(flagsmith) as deployment:
        flagsmith.update("Sale")
        deployment.wait_for("Sale")
        before = flagsmith.document_requests
        for connections in (2, 3):
            flagsmith.live.finish("reset")
            wait_until(lambda connections=connections: flagsmith.stream_requests == connections and flagsmith.is_heard)
        wait_for_seconds(1.5)  # a gap without a replay would be fetched by now
        with healing():
            flagsmith.update("Summer")
            deployment.wait_for("Summer")
        healing.requests = flagsmith.document_requests - before
    assert healing.requests == 1, "a replay of what was seen costs no request"


# It says odd things


@pytest.mark.parametrize(
    ("odd", "requests"),
    [
        pytest.param(b": \xff\xfe\xc3\n\n", 0, id="invalid UTF-8 in a comment"),
        pytest.param(b"data: \xff\n\n", 1, id="invalid UTF-8 in an event"),
        pytest.param(b"event: other\ndata: {}\n\nevent: ping\ndata: {}\n\n", 0, id="events of unknown types"),
        pytest.param(b"event: environment_updated\ndata: {}\n\n", 1, id="an event without a time"),
        pytest.param(b'event: environment_updated\ndata: {"updated_at": [[}\n\n', 1, id="an event of broken JSON"),
        pytest.param(b"data: " + b"[" * 60_000 + b"\n\n", 1, id="an event of deep JSON"),
        pytest.param(b"retry: soon\nid: \x00\nevent\n: \n\n\n\n", 0, id="fields without sense"),
    ],
)
def test_stream_sends(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, odd: bytes, requests: int
) -> None:
    with deployed(flagsmith) as deployment:
        flagsmith.live.send(odd)
        wait_for_seconds(0.4)
        assert flagsmith.document_requests == 1 + requests
        with healing():
            flagsmith.update("Sale")
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
    assert healing.requests == requests + 1
    assert flagsmith.stream_requests == 1
    assert warnings(caplog) == []


def test_stream_begins_with_a_byte_order_mark(flagsmith: ScriptedFlagsmith, healing: Healing) -> None:
    with deployed(flagsmith) as deployment:
        with healing():
            seconds = flagsmith.change("Sale") // MICROSECONDS
            flagsmith.live.send(b'\xef\xbb\xbfdata: {"updated_at": %d}\n\n' % seconds)
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
    assert healing.requests == 1


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("blank", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_stream_ends_events_and_their_lines_with(
    flagsmith: ScriptedFlagsmith, healing: Healing, end: bytes, blank: bytes
) -> None:
    with deployed(flagsmith) as deployment:
        with healing():
            time = flagsmith.change("Sale")
            lines = event(time).split(b"\r\n")[:2]
            flagsmith.live.send(end.join([*lines, b""]) + (b"\r\n\n" if (end, blank) == (b"\r", b"\n") else blank))
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
    assert healing.requests == 1


@pytest.mark.parametrize(
    "how", ["compressed although it was asked not to be", "without chunks", "in chunks of one byte"]
)
def test_stream_comes(flagsmith: ScriptedFlagsmith, healing: Healing, how: str) -> None:
    compressor = zlib.compressobj(wbits=31)

    def encoded(data: bytes) -> bytes:
        return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)

    is_compressed = how.startswith("compressed")
    flagsmith.live = EventStream(
        framing="close" if how == "without chunks" else "chunked",
        headers={"Content-Encoding": "gzip"} if is_compressed else {},
    )
    flagsmith.script_stream()
    with deployed(flagsmith) as deployment:
        with healing():
            announcement = event(flagsmith.change("Sale"))
            pieces = [announcement]
            if is_compressed:
                pieces = [encoded(announcement)]
            elif how == "in chunks of one byte":
                pieces = [announcement[at : at + 1] for at in range(len(announcement))]
            for piece in pieces:
                flagsmith.live.send(piece)
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
    assert healing.requests == 1


def test_stream_ends_before_an_event_does(flagsmith: ScriptedFlagsmith, healing: Healing) -> None:
    with deployed(flagsmith) as deployment:
        flagsmith.live.send(event(FIRST_TIME + 5)[:-2])
        flagsmith.live.finish("clean")
        wait_until(lambda: flagsmith.stream_requests == 2 and flagsmith.is_heard)
        assert flagsmith.document_requests == 1, "what was not sent to its end does not count"
        with healing():
            flagsmith.update("Sale")
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
    assert healing.requests == 1


# It says too much


LARGE = b'{"updated_at": 1795376400, "padding": "' + b"x" * 5_000_000 + b'"}'


@pytest.mark.parametrize(
    "large",
    [
        pytest.param([b"data: " + LARGE + b"\n\n"], id="an event of 5 MB"),
        pytest.param([b"data: {\n", b"data:\n" * 10_000, b'data: "updated_at": 2e9}\n\n'], id="10,000 lines"),
        pytest.param([b"data: ", *[b"x" * 1_000_000] * 1_000], id="a line without end"),
        pytest.param([b"data: x\n" * 100_000] * 1_000, id="an event without end"),
    ],
)
def test_stream_is_closed_at(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, large: list[bytes]
) -> None:
    flagsmith.break_stream(EventStream(large))
    with deployed(flagsmith, connected=False) as deployment:
        cpu = time.process_time()
        heal(flagsmith, healing, deployment.wait_for)
        assert time.process_time() - cpu < 3, "all threads of the test together"
        wait_for_recovery(caplog, "Flagsmith stream")
    assert deployment.seen == [FIRST, "Sale"]
    assert "more than 64 KiB" in warnings(caplog)[0]


def test_stream_tells_fifty_updates_in_one_piece(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture
) -> None:
    with deployed(flagsmith) as deployment:
        with healing():
            burst = [event(flagsmith.change(f"Sale {number}", after=0.01)) for number in range(50)]
            flagsmith.live.send(b"".join(burst))
            deployment.wait_for("Sale 49")
        healing.requests = flagsmith.document_requests - 1
    assert healing.requests <= 2
    assert flagsmith.stream_requests == 1
    assert warnings(caplog) == []


def test_stream_tells_of_an_update_every_20_ms(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture
) -> None:
    with deployed(flagsmith) as deployment:
        began = time.monotonic()
        for number in range(100):
            flagsmith.update(f"Sale {number}", after=0.01)
            wait_for_seconds(0.02)
        with healing():
            deployment.wait_for("Sale 99")
        healing.requests = flagsmith.document_requests - 1
        assert healing.requests <= (time.monotonic() - began) / 0.25 + 2
    assert flagsmith.stream_requests == 1
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    "tiny",
    [
        pytest.param(b"".join(event(FIRST_TIME + number) for number in range(1, 1_000)), id="events of new times"),
        pytest.param(b"data:1\n\n" * 100_000, id="tiny events"),
        pytest.param(b"\n" * 500_000, id="blank lines"),
        pytest.param(b":\n" * 500_000, id="comments"),
    ],
)
def test_stream_is_a_flood_of(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, tiny: bytes
) -> None:
    flagsmith.break_stream(EventStream([tiny] * 100))
    with deployed(flagsmith, connected=False) as deployment:
        cpu = time.process_time()
        flagsmith.realtime.wait_for(lambda: flagsmith.stream_requests >= 3, 20)
        flagsmith.change("Sale")
        before = flagsmith.document_requests
        flagsmith.script_stream()
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - before
        assert before <= 12
        assert time.process_time() - cpu < 3, "all threads of the test together"
        wait_for_recovery(caplog, "Flagsmith stream")
    assert "more than 100 events within a second" in warnings(caplog)[0]


def test_stream_invents_a_new_time_every_other_moment(
    flagsmith: ScriptedFlagsmith, healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry = Hurry(monkeypatch, speed=60)
    invented = [piece for number in range(1, 151) for piece in (event(FIRST_TIME + number), 0.02)]  # 3 minutes for it
    flagsmith.break_stream(EventStream(invented))
    began = hurry.now()
    with deployed(flagsmith, connected=False) as deployment:
        flagsmith.realtime.wait_for(lambda: flagsmith.stream_requests == 1)
        wait_until(hurry.after(180))
        minutes = (hurry.now() - began) / 60
        assert flagsmith.document_requests <= 1 + 30 + 6 * minutes
        before = flagsmith.document_requests
        flagsmith.change("Sale")
        flagsmith.script_stream()
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - before
    assert deployment.seen == [FIRST, "Sale"]
