"""The subscription: one connection's life, and the reader that renews it."""

from __future__ import annotations

import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest

from django_flagsmith_realtime.exceptions import (
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
from django_flagsmith_realtime.listener import stream as stream_module
from django_flagsmith_realtime.listener.backoff import STREAM, Backoff
from django_flagsmith_realtime.listener.events import StreamConnected, StreamDisconnected
from django_flagsmith_realtime.listener.stream import Message, Stream, StreamReader, next_wait
from django_flagsmith_realtime.storage.announcements import Announcement
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.http_server import (
    Answer,
    Drip,
    EventStream,
    Raw,
    Redirect,
    Refuse,
    Reply,
    Reset,
    ScriptedServer,
    Silence,
    head,
    take,
)
from tests.support.processes import free_port

KEY = "client-side-key"
PATH = f"/sse/environments/{KEY}/stream"
UPDATED = b'event: environment_updated\r\ndata: {"updated_at": 1795372800.000001}\r\nretry: 15000\r\n\r\n'
TIME = 1_795_372_800_000_001
PING = b": ping - 2026-11-22 18:47:58.289708\r\n\r\n"
SHORT = 0.05  # seconds, where a test waits for a timeout
SSE = {"Content-Type": "text/event-stream"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def make_stream(url: str, timeout: float = 5.0, key: str = KEY, **headers: str) -> Stream:
    return Stream(realtime_url=f"{url}/", key=key, timeout=timeout, headers=headers)


def heard(server: ScriptedServer, *replies: Reply, timeout: float = 5.0) -> list[Any]:
    """Return what a stream brings until it ends, its error at last."""
    server.script(PATH, *replies)
    found: list[Any] = []
    try:
        found.extend(make_stream(server.url, timeout).listen())  # keeps what came before an error
    except HttpError as error:
        assert KEY not in "".join(traceback.format_exception(error))
        found.append(error)
    return found


def times(messages: list[Any]) -> list[int | None]:
    return [message.time for message in messages if isinstance(message, Announcement)]


# A connection's life


@each_case("framing", ["chunked", "close"])
def test_a_stream_says_that_it_is_open_then_what_happens_then_ends_cleanly(
    server: ScriptedServer, framing: Any
) -> None:
    messages = heard(server, EventStream([UPDATED, PING, UPDATED], end="clean", framing=framing))
    assert messages == [StreamConnected(), Announcement(TIME), Announcement(TIME)]


@each_case("framing", ["chunked", "close"])
def test_a_stream_is_open_at_once_and_delivers_an_event_as_soon_as_it_came(
    server: ScriptedServer, framing: Any
) -> None:
    stream = EventStream(framing=framing)
    server.script(PATH, stream)
    listening = make_stream(server.url).listen()
    assert next(listening) == StreamConnected()
    for second in range(3):  # each shorter than 128 bytes, and the connection stays silent after it
        stream.send(b'data: {"updated_at": %d}\n\n' % (1_795_372_800 + second))
        assert next(listening) == Announcement((1_795_372_800 + second) * 1_000_000)
    listening.close()
    server.wait_for(lambda: server.open_connections == 0)


def test_the_request_carries_no_environment_key_and_asks_for_no_compression(server: ScriptedServer) -> None:
    server.script(PATH, EventStream(end="clean"))
    list(make_stream(server.url, **{"X-Gateway": "inside", "accept-encoding": "gzip"}).listen())
    (request,) = server.requests
    assert (request.method, request.target) == ("GET", PATH)
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["x-gateway"] == "inside"
    assert "x-environment-key" not in request.headers


def test_a_key_with_a_slash_stays_one_step_of_the_path(server: ScriptedServer) -> None:
    with pytest.raises(NotFound):
        list(make_stream(server.url, key="../a b/ü?").listen())
    assert server.requests[0].target == "/sse/environments/..%2Fa%20b%2F%C3%BC%3F/stream"


def test_only_finished_updates_and_unnamed_events_count(server: ScriptedServer) -> None:
    events = b'event: other\ndata: {}\n\nevent: environment_updated\ndata: {}\n\ndata: {"updated_at": 5}\n\n'
    assert times(heard(server, EventStream([events, UPDATED[:-2]], end="clean"))) == [None, 5_000_000]


@each_case("framing", ["chunked", "close"])
def test_a_reset_is_an_error(server: ScriptedServer, framing: Any) -> None:
    messages = heard(server, EventStream([UPDATED], end="reset", framing=framing))
    assert isinstance(messages[-1], Unreachable)


@each_case("end", [[], [b"5"], [b"55\r\nevent"]])
def test_a_chunked_stream_that_is_cut_off_is_a_broken_connection(server: ScriptedServer, end: list[bytes]) -> None:
    start = head(200, {**SSE, "Transfer-Encoding": "chunked"}) + b"%x\r\n%b\r\n" % (len(UPDATED), UPDATED)
    messages = heard(server, Raw([start, *end]))
    assert messages[:2] == [StreamConnected(), Announcement(TIME)]
    assert isinstance(messages[2], Unreachable)
    assert "broke" in str(messages[2])


@each_case("piece", [b"x" * 50_000, b"data: x\n"])
def test_what_has_no_end_closes_the_connection_at_the_bound(server: ScriptedServer, piece: bytes) -> None:
    *messages, error = heard(server, EventStream([UPDATED, b"data: ", *[piece] * 1_000], end="open"))
    assert messages == [StreamConnected(), Announcement(TIME)]
    assert isinstance(error, UnexpectedAnswer)
    assert "more than 64 KiB" in str(error)
    server.wait_for(lambda: server.open_connections == 0)


def numbered(count: int) -> bytes:
    return b"".join(b'data: {"updated_at": %d}\n\n' % (1_795_372_800 + number) for number in range(count))


def test_a_burst_of_events_passes(server: ScriptedServer) -> None:
    messages = heard(server, EventStream([numbered(50)], end="clean"))
    assert times(messages) == [(1_795_372_800 + number) * 1_000_000 for number in range(50)]


@each_case("flood", [numbered(20_000), b"\n" * 500_000, b": ping\n" * 100_000, b"event: x\n\n" * 50_000])
def test_a_flood_ends_the_stream_before_it_costs_anything(server: ScriptedServer, flood: bytes) -> None:
    messages = heard(server, EventStream([flood], end="clean"))
    assert len(messages) <= 102
    assert isinstance(messages[-1], UnexpectedAnswer)
    assert "more than 100 events within a second" in str(messages[-1])


# Refusals


@each_case(
    ("reply", "kind", "words"),
    [
        (Refuse(401), Refused, "FLAGSMITH['STREAM_KEY']"),
        (Refuse(403), Refused, "FLAGSMITH['STREAM_KEY']"),
        (Refuse(404), NotFound, "FLAGSMITH['REALTIME_URL']"),
        (Refuse(429), RateLimited, "429"),
        (Refuse(500), ServerError, "500"),
        (Refuse(503), ServerError, "503"),
        (Answer(204, SSE), UnexpectedAnswer, "204"),
        (Redirect("/elsewhere/"), NotFound, "404"),
        (Redirect(PATH), RedirectRefused, "in a circle"),
        (Answer(200, {"Content-Type": "text/html"}, b"<html>"), UnexpectedAnswer, "'text/html'"),
        (Answer(200, {"Content-Type": ""}, b"x"), UnexpectedAnswer, "no content type"),
        (Answer(200, {"Content-Type": "text/event-streams"}, b"x"), UnexpectedAnswer, "event stream"),
        (Raw([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n"]), UnexpectedAnswer, ""),
        (Raw([b"SSH-2.0-OpenSSH_9.2\r\n"]), Unreachable, "broke"),
        (Raw([b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"]), Unreachable, "broke"),
        (Reset(), Unreachable, "broke"),
        (Raw([]), Unreachable, "broke"),
    ],
)
def test_an_answer_that_is_no_stream_has_a_type_and_says_what_it_is(
    server: ScriptedServer, reply: Reply, kind: type[HttpError], words: str
) -> None:
    (error,) = heard(server, reply)
    assert type(error) is kind
    assert words in str(error)


@each_case("content_type", ["text/event-stream", "Text/Event-Stream ; charset=utf-8"])
def test_the_content_type_may_be_written_in_any_way(server: ScriptedServer, content_type: str) -> None:
    assert heard(server, EventStream(end="clean", headers={"Content-Type": content_type})) == [StreamConnected()]


def test_retry_after_is_reported(server: ScriptedServer) -> None:
    (error,) = heard(server, Refuse(503, retry_after=20))
    assert error.retry_after == 20


def test_a_redirect_is_followed_within_the_origin_alone(server: ScriptedServer) -> None:
    server.script("/moved/", EventStream([UPDATED], end="clean"))
    assert times(heard(server, Redirect("/moved/"))) == [TIME]
    with ScriptedServer() as other:
        (error,) = heard(server, Redirect(f"{other.url}/"))
        assert isinstance(error, RedirectRefused)
        assert "FLAGSMITH['REALTIME_URL']" in str(error)
        assert other.accepted == 0


def test_a_refused_connection_says_so() -> None:
    with pytest.raises(Unreachable, match="refused the connection") as caught:
        list(make_stream(f"http://127.0.0.1:{free_port()}").listen())
    assert KEY not in "".join(traceback.format_exception(caught.value))


# Silence


def test_a_silent_stream_is_dead_after_the_timeout(server: ScriptedServer) -> None:
    messages = heard(server, EventStream([UPDATED]), timeout=0.15)  # in which a busy machine connects
    assert messages[:2] == [StreamConnected(), Announcement(TIME)]
    assert isinstance(messages[2], TimedOut)


def test_headers_that_do_not_come_or_not_soon_are_a_timeout(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (error,) = heard(server, Silence(), timeout=SHORT)
    assert isinstance(error, TimedOut)
    monkeypatch.setattr(stream_module, "ANSWER_SECONDS", SHORT)
    (error,) = heard(server, Drip({}, 60, what="headers"))
    assert isinstance(error, TimedOut)
    assert "within 0.05 s" in str(error)


@each_case("framing", ["chunked", "close"])
def test_a_byte_now_and_then_is_no_sign_of_life(server: ScriptedServer, framing: Any) -> None:
    began = time.monotonic()
    messages = heard(server, EventStream([PING, *[b"x", 0.01] * 1_000], framing=framing), timeout=SHORT)
    assert isinstance(messages[-1], TimedOut)
    assert time.monotonic() - began < 2


@pytest.mark.slow
def test_a_byte_shortly_before_the_timeout_does_not_start_it_anew(server: ScriptedServer) -> None:
    began = time.monotonic()
    messages = heard(server, EventStream([PING, 0.5, b"x"]), timeout=0.6)
    assert isinstance(messages[-1], TimedOut)
    assert time.monotonic() - began < 1


@pytest.mark.slow
def test_a_ping_is_a_sign_of_life(server: ScriptedServer) -> None:
    pieces: list[bytes | float] = [PING, 0.2] * 4  # longer than the timeout together
    assert times(heard(server, EventStream([*pieces, UPDATED], end="clean"), timeout=0.7)) == [TIME]


# `retry:`


@each_case(
    ("retry", "seconds"),
    [
        ("15000", 15),
        ("0", 0),
        ("1500", 1.5),
        ("999999", 999.999),
        ("1000000", 7),
        ("-1", 7),
        ("1e3", 7),
        ("1.5", 7),
        ("soon", 7),
        ("", 7),
        ("٣", 7),
        ("²", 7),
        ("9" * 5_000, 7),
    ],
)
def test_retry_is_noted_in_seconds_where_it_makes_sense(server: ScriptedServer, retry: str, seconds: float) -> None:
    server.script(PATH, EventStream([f"retry: 7000\ndata: 1\n\nretry: {retry}\ndata: 2\n\n".encode()], end="clean"))
    stream = make_stream(server.url)
    assert stream.retry == 0
    list(stream.listen())
    assert stream.retry == seconds


def test_retry_survives_the_connection(server: ScriptedServer) -> None:
    server.script(PATH, EventStream([UPDATED], end="clean"), EventStream(end="clean"))
    stream = make_stream(server.url)
    for _ in range(2):
        list(stream.listen())
        server.wait_for(lambda: not server.open_connections)  # else the next request may go to this one's end
    assert stream.retry == 15


# Interrupting


@contextmanager
def listening_thread(stream: Stream, heard: SimpleQueue[Any]) -> Iterator[threading.Thread]:
    def listen() -> None:
        try:
            for message in stream.listen():
                heard.put(message)
        except HttpError as error:
            heard.put(error)

    thread = threading.Thread(target=listen)
    thread.start()
    yield thread
    thread.join(1)
    assert not thread.is_alive()


@each_case("framing", ["chunked", "close"])
def test_interrupt_ends_a_blocked_read_at_once(server: ScriptedServer, framing: Any) -> None:
    server.script(PATH, EventStream(framing=framing))
    stream, heard = make_stream(server.url, timeout=60), SimpleQueue[Any]()
    with listening_thread(stream, heard):
        assert take(heard) == StreamConnected()
        stream.interrupt()


def test_interrupt_ends_the_wait_for_headers_at_once(server: ScriptedServer) -> None:
    server.script(PATH, Silence())
    stream, heard = make_stream(server.url, timeout=60), SimpleQueue[Any]()
    with listening_thread(stream, heard):
        server.wait_for(lambda: server.requests)
        stream.interrupt()
    assert isinstance(take(heard), Unreachable)


def test_interrupt_also_ends_a_connection_that_comes_later(server: ScriptedServer) -> None:
    server.script(PATH, Silence())
    stream, heard = make_stream(server.url, timeout=60), SimpleQueue[Any]()
    stream.interrupt()
    with listening_thread(stream, heard):
        assert isinstance(take(heard), Unreachable)


# Recordings


KNOWN = [
    1_795_372_795_048_220,
    1_795_372_800_000_001,
    1_795_372_799_500_000,
    1_795_372_860_000_000,
    1_795_372_860_250_000,
]


@each_case(
    ("name", "expected", "ends", "bytewise"),
    [
        ("e2e_stream_real_environment", [1_795_373_826_879_439, 1_795_373_833_152_998], True, True),
        ("stream_known_environment", KNOWN, True, False),
        ("stream_accept_gzip", KNOWN, True, False),
        ("stream_never_updated_environment", [], True, False),
        ("stream_last_event_id", KNOWN[:2], False, True),
        ("stream_with_origin_cors", KNOWN[:2], False, False),
    ],
)
def test_a_recorded_stream_is_read_as_it_came(
    server: ScriptedServer, name: str, expected: list[int], ends: bool, bytewise: bool
) -> None:
    raw = recordings.stream(name)
    pieces = (
        [raw[at : at + 1] for at in range(len(raw))]
        if bytewise
        else [piece for _, piece in recordings.stream_pieces(name)]
    )
    messages = heard(server, Raw(pieces))
    assert messages[0] == StreamConnected()
    assert times(messages) == expected
    assert isinstance(messages[-1], Unreachable) is not ends
    assert server.requests[-1].headers["accept-encoding"] == "identity"


# The reader


class Reading:
    """A reader at work, and what it reports."""

    def __init__(self, stream: Stream) -> None:
        self.reports: SimpleQueue[Message] = SimpleQueue()
        self.reader = StreamReader(stream, self.reports.put)

    def take(self) -> Message:
        message: Message = take(self.reports)
        return message

    def disconnected(self) -> StreamDisconnected:
        while not isinstance(message := self.take(), StreamDisconnected):
            pass
        return message

    def stop_within_a_second(self) -> None:
        self.reader.stop()
        self.reader.join(1)
        assert not self.reader.is_alive()


@pytest.fixture
def read() -> Iterator[Callable[[Stream], Reading]]:
    readings: list[Reading] = []

    def start(stream: Stream) -> Reading:
        reading = Reading(stream)
        readings.append(reading)
        reading.reader.start()
        return reading

    yield start
    for reading in readings:
        reading.stop_within_a_second()


# How long it waits


BROKEN = Unreachable("broken")


def waits(*ends: tuple[HttpError | None, float], retry: float = 0.0) -> list[float]:
    """Return the waits after streams that ended so, each with the error and the seconds it lived."""
    state, found = STREAM, []
    for error, lived in ends:
        delay, state = next_wait(state, error, lived, retry)
        found.append(delay)
    return found


def draw(monkeypatch: pytest.MonkeyPatch, jitter: float) -> None:
    monkeypatch.setattr(Backoff.next, "__kwdefaults__", {"floor": 0.0, "draw": lambda: jitter})


def test_streams_that_fail_or_end_soon_back_off_and_one_that_lived_is_renewed_promptly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short, lived, failed, broke = (None, 0.1), (None, 30.0), (BROKEN, 0.0), (BROKEN, 10.0)
    draw(monkeypatch, 1.0)  # the longest
    assert waits(lived, lived, lived, retry=15.0) == [0.5, 0.5, 0.5]
    assert waits(*[short] * 5) == [1, 2, 4, 8, 10]
    assert waits(*[failed] * 11) == [1, 2, 4, 8, 10, 10, 10, 10, 10, 60, 60]
    assert waits(lived, *[failed] * 4) == [0.5, 1, 2, 4, 8]
    assert waits(failed, failed, broke, failed) == [1, 2, 1, 2], "the error of a stream that lived begins anew"
    draw(monkeypatch, 0.25)
    assert waits(failed, short) == [0.25, 0.5]


def test_retry_and_retry_after_are_floors_after_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    draw(monkeypatch, 1.0)
    assert waits(*[(BROKEN, 0.0)] * 2, (BROKEN, 30.0), retry=15.0) == [15, 15, 15]
    busy = RateLimited("busy", retry_after=20.0)
    assert waits((busy, 0.0), (BROKEN, 0.0)) == [20, 2]
    assert waits((busy, 0.0), retry=30.0) == [30]


# The reader at work


def test_the_reader_reports_a_life_and_when_it_tries_again(
    server: ScriptedServer, read: Callable[[Stream], Reading]
) -> None:
    server.script(PATH, EventStream([UPDATED], end="clean"))
    reading = read(make_stream(server.url))
    assert [reading.take(), reading.take()] == [StreamConnected(), Announcement(TIME)]
    ended = reading.disconnected()
    assert ended.error is None
    assert not ended.is_routine
    assert ended.delay >= 15  # the stream's `retry:`


def test_the_reader_connects_again_when_the_wait_is_over(
    server: ScriptedServer, read: Callable[[Stream], Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module.backoff, "STREAM", Backoff(first=0.02, limit=0.02))
    server.script(PATH, EventStream(end="clean"), Refuse(500), Reset(), EventStream([b'data: {"updated_at": 5}\n\n']))
    reading = read(make_stream(server.url))
    errors = [type(reading.disconnected().error) for _ in range(3)]
    assert errors == [type(None), ServerError, Unreachable]
    assert [reading.take(), reading.take()] == [StreamConnected(), Announcement(5_000_000)]


@pytest.mark.slow
def test_the_reader_renews_a_stream_that_lived(
    server: ScriptedServer, read: Callable[[Stream], Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "LIVED_SECONDS", 0.0)
    server.script(PATH, EventStream([UPDATED], end="clean"))
    reading = read(make_stream(server.url))
    for _ in range(2):
        ended = reading.disconnected()
        assert ended.is_routine
        assert 0 <= ended.delay <= 0.5


def test_each_refusal_is_reported_with_its_wait(server: ScriptedServer, read: Callable[[Stream], Reading]) -> None:
    server.script(PATH, Refuse(429, retry_after=30))
    ended = read(make_stream(server.url)).disconnected()
    assert isinstance(ended.error, RateLimited)
    assert (ended.is_routine, ended.delay) == (False, 30.0)


def test_a_bug_does_not_end_the_subscription(
    server: ScriptedServer, read: Callable[[Stream], Reading], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Stream):
        def listen(self) -> Iterator[StreamConnected | Announcement]:
            raise KeyError(KEY)

    with caplog.at_level(logging.CRITICAL):
        reading = read(Broken(realtime_url=f"{server.url}/", key=KEY, timeout=1, headers={}))
        ended = reading.disconnected()
    assert str(ended.error) == "The stream failed: KeyError."
    assert reading.reader.is_alive()


def test_stop_ends_a_reader_that_reads(server: ScriptedServer, read: Callable[[Stream], Reading]) -> None:
    server.script(PATH, EventStream())
    reading = read(make_stream(server.url, timeout=60))
    assert reading.take() == StreamConnected()
    reading.stop_within_a_second()
    server.wait_for(lambda: server.open_connections == 0)


def test_stop_ends_a_reader_that_waits_for_headers(server: ScriptedServer, read: Callable[[Stream], Reading]) -> None:
    server.script(PATH, Silence())
    reading = read(make_stream(server.url, timeout=60))
    server.wait_for(lambda: server.requests)
    reading.stop_within_a_second()


def test_stop_ends_a_reader_whose_connection_is_about_to_open(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script(PATH, Silence())
    stream = make_stream(server.url, timeout=60)
    reading = Reading(stream)
    resolving, resolved = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    def slowly(*args: Any, **kwargs: Any) -> Any:
        resolving.set()
        resolved.wait(5)
        return resolve(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    reading.reader.start()
    resolving.wait(5)
    reading.reader.stop()
    resolved.set()
    reading.stop_within_a_second()


def test_stop_ends_a_reader_that_waits_before_the_next_try(
    server: ScriptedServer, read: Callable[[Stream], Reading]
) -> None:
    server.script(PATH, Refuse(503, retry_after=3_000))
    reading = read(make_stream(server.url))
    assert reading.disconnected().delay == 3_000
    reading.stop_within_a_second()


def test_stop_before_the_start_is_obeyed(server: ScriptedServer) -> None:
    reading = Reading(make_stream(server.url))
    reading.reader.stop()
    reading.reader.start()
    reading.stop_within_a_second()
    assert server.accepted == 0
