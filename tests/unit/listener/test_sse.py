"""Framing: any pieces of any bytes give the events of the whole."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sseclient import Event

from django_flagsmith_realtime.exceptions import UnexpectedAnswer
from django_flagsmith_realtime.listener.sse import MAX_EVENT_BYTES, MAX_EVENT_LINES, EventFramer
from tests.support import recordings
from tests.support.cases import each_case

BOM = b"\xef\xbb\xbf"
LINES = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"data",
        b"event: environment_updated",
        b"event:",
        b"retry: 15000",
        b": ping",
        b"id: 1",
        BOM,
        b"\xff",
        b"\xc3",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\r\n\n", b"\n\r\n", b""])
STREAMS = st.lists(st.one_of(LINES, ENDS, st.binary(max_size=8)), max_size=40).map(b"".join)


def texts(found: Iterable[Event | None]) -> list[tuple[str, str, str | None]]:
    return [(event.event, event.data, event.retry) for event in found if event]


def events_of(*pieces: bytes) -> list[tuple[str, str, str | None]]:
    framer = EventFramer()
    return texts(event for piece in pieces for event in framer.feed(piece))


def data_of(*pieces: bytes) -> list[str]:
    return [data for _, data, _ in events_of(*pieces)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def held_bytes(framer: EventFramer) -> int:
    return len(framer._line) + sum(map(len, framer._event))


# Properties


@given(STREAMS, st.lists(st.integers(0, 400), max_size=10))
@example(b"data: x\r\n\r\n", [8, 10])
@example(BOM + b"data: x\n\n", [1, 2])
def test_any_pieces_give_the_events_of_the_whole(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    assert events_of(*pieces) == events_of(stream) == events_of(*bytewise(stream))


@given(STREAMS)
def test_the_number_of_lines_does_not_depend_on_the_pieces(stream: bytes) -> None:
    whole, piecewise = EventFramer(), EventFramer()
    texts(whole.feed(stream))
    for piece in bytewise(stream):
        texts(piecewise.feed(piece))
    assert whole.lines == piecewise.lines


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_no_bytes_within_the_bounds_raise(pieces: list[bytes]) -> None:
    events_of(*pieces)


@given(STREAMS.map(lambda stream: stream.replace(b"\r", b"")))
def test_the_kind_of_line_end_does_not_matter(stream: bytes) -> None:
    assert events_of(stream) == events_of(stream.replace(b"\n", b"\r")) == events_of(stream.replace(b"\n", b"\r\n"))


@given(st.lists(st.sampled_from([b"a" * 30_000, b"data: ", b"\n", b"\r", b"\n\n", b": c", b"data: x\n"]), max_size=60))
def test_the_buffers_never_exceed_their_bound(pieces: list[bytes]) -> None:
    framer = EventFramer()
    for piece in pieces:
        with suppress(UnexpectedAnswer):
            texts(framer.feed(piece))
        assert held_bytes(framer) <= MAX_EVENT_BYTES
        assert len(framer._event) <= MAX_EVENT_LINES


# Lines and fields


@each_case("end", [b"\n", b"\r", b"\r\n"])
@each_case("blank", [b"\n", b"\r", b"\r\n"])
def test_line_ends_may_be_mixed(end: bytes, blank: bytes) -> None:
    if (end, blank) == (b"\r", b"\n"):  # together one line end
        blank = b"\n\n"
    assert data_of(b"data: 1" + end + blank + b"data: 2" + end + blank) == ["1", "2"]


def test_a_cr_at_the_end_of_a_piece_and_its_lf_in_a_later_one_are_one_line_end() -> None:
    assert data_of(b"data: 1\r", b"\ndata: 2\r", b"\n\r", b"\n") == ["1\n2"]
    assert data_of(b"data: 1\r", b"", b"\n", b"", b"\r\n") == ["1"]


def test_a_blank_line_that_ends_in_cr_delivers_at_once() -> None:
    framer = EventFramer()
    assert texts(framer.feed(b"data: 1\r\r")) == [("message", "1", None)]
    assert texts(framer.feed(b"\n")) == []


@each_case(
    ("pieces", "expected"),
    [
        ([BOM + b"data: 1\n\n"], ["1"]),
        ([b"\xef", b"\xbb", b"\xbfdata: 1\n\n"], ["1"]),
        ([BOM + b"\n" + b"data: 1\n\n"], ["1"]),
        ([BOM + BOM + b"data: 1\n\n", BOM + b"data: 2\n\n", b"data: 3\n\n"], ["3"]),
    ],
)
def test_a_byte_order_mark_is_skipped_at_the_very_beginning_alone(pieces: list[bytes], expected: list[str]) -> None:
    assert data_of(*pieces) == expected


def test_invalid_utf8_is_replaced_and_makes_a_field_name_an_unknown_one() -> None:
    assert data_of(b": \xff\xfe\ndata: 1\n\n") == ["1"]
    assert data_of(b"data: a\xffb\n\n") == ["a\N{REPLACEMENT CHARACTER}b"]
    assert data_of(b"dat\xff: 1\ndata: 2\n\n") == ["2"]


def test_a_character_may_be_cut_between_pieces() -> None:
    assert data_of("data: ü".encode()[:-1], "ü".encode()[-1:] + b"\n\n") == ["ü"]


@each_case("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_cr_and_lf_end_a_line(separator: str) -> None:
    assert data_of(f"data: a{separator}b\n\n".encode()) == [f"a{separator}b"]


def test_an_unfinished_event_at_the_end_is_not_delivered() -> None:
    assert data_of(b"data: 1\n\ndata: 2\n") == ["1"]


def test_several_data_lines_are_joined() -> None:
    assert data_of(b"data: 1\ndata\ndata:2\ndata:  3\n\n") == ["1\n\n2\n 3"]


def test_comments_between_the_lines_of_an_event_do_not_count() -> None:
    assert events_of(b"event: a\n: x\ndata: 1\n:\nretry: 5\n\n") == [("a", "1", "5")]


def test_a_comment_block_is_no_event_but_a_sign_of_life() -> None:
    framer = EventFramer()
    assert list(framer.feed(b": ping\r\n\r\n\n")) == [None, None, None]
    assert framer.lines == 3


def test_an_event_without_data_is_none() -> None:
    assert events_of(b"event: environment_updated\nretry: 5\n\ndata: 1\n\n") == [("message", "1", None)]


def test_an_unnamed_event_is_a_message_whatever_came_before_it() -> None:
    stream = b"data: 1\n\nevent:\ndata: 2\n\nevent: a\ndata: 3\n\ndata: 4\n\n"
    assert [event for event, _, _ in events_of(stream)] == ["message", "message", "a", "message"]


# Bounds


@each_case(
    "pieces",
    [
        [b"data: " + b"x" * 70_000 + b"\n\n"],
        [b"data: " + b"x" * 10_000 + b"\n"] * 7,
        [b"data: x\n" * (MAX_EVENT_LINES + 1)],
        [b"data: 1\n", *[b"x" * 10_000] * 7],
        [b": ", *[b"x" * 10_000] * 7],
        [b"data: x\n" * MAX_EVENT_LINES, b"data: x\n", b"\n"],
    ],
)
def test_what_goes_over_the_bounds_raises_before_it_ends(pieces: list[bytes]) -> None:
    with pytest.raises(UnexpectedAnswer, match="more than 64 KiB, or of more than 64 lines"):
        events_of(*pieces)


def test_what_came_before_is_yielded() -> None:
    feed = EventFramer().feed(b"data: 1\n\ndata: " + b"x" * 70_000)
    assert texts([next(feed)]) == [("message", "1", None)]
    with pytest.raises(UnexpectedAnswer):
        next(feed)


def test_an_event_at_the_bounds_is_delivered() -> None:
    line = b"data: " + b"x" * (MAX_EVENT_BYTES - 6)
    assert list(map(len, data_of(line + b"\n\n", line + b"\n\n"))) == [MAX_EVENT_BYTES - 6] * 2
    assert len(data_of(b"data: x\n" * MAX_EVENT_LINES + b"\n")) == 1


def test_any_number_of_comments_leaves_an_event_whole() -> None:
    assert data_of(b"data: 1\n", b": " + b"x" * 1_000 + b"\n", *[b": " + b"x" * 1_000 + b"\n"] * 100, b"\n") == ["1"]


@pytest.mark.slow
def test_events_are_decoded_when_they_are_asked_for() -> None:
    flood = EventFramer().feed(b"data:1\n\n" * 1_000_000)
    began = time.process_time()
    assert texts([next(flood) for _ in range(100)]) == [("message", "1", None)] * 100
    assert time.process_time() - began < 1


# Recordings

NAMES = sorted(path.stem for path in (recordings.FOLDER / "stream").glob("*.raw"))
TIMES = {
    "e2e_stream_real_environment": ["1795373826.879439", "1795373833.152998"],
    "stream_known_environment": [
        "1795372795.04822",
        "1795372800.000001",
        "1795372799.5",
        "1795372860.0",
        "1795372860.25",
    ],
    "stream_last_event_id": ["1795372795.04822", "1795372800.000001"],
    "stream_never_updated_environment": [],
    "stream_with_origin_cors": ["1795372795.04822", "1795372800.000001"],
}
PINGS = {"e2e_stream_real_environment": 2, "stream_known_environment": 2, "stream_never_updated_environment": 2}


def test_every_recorded_stream_is_read_by_a_test() -> None:
    assert set(NAMES) == {*TIMES, "stream_accept_gzip"}  # the gzip one is in test_stream.py


@each_case("name", TIMES)
def test_a_recorded_stream_gives_its_pings_and_each_event_with_the_piece_that_brought_it(name: str) -> None:
    body = recordings.dechunked(recordings.stream(name).partition(b"\r\n\r\n")[2])
    expected = [("environment_updated", f'{{"updated_at": {time}}}', "15000") for time in TIMES[name]]
    assert events_of(body) == events_of(*bytewise(body)) == expected
    framer = EventFramer()
    texts(framer.feed(body))
    assert framer.lines == 4 * len(expected) + 2 * PINGS.get(name, 0)
    assert body.count(b": ping") == PINGS.get(name, 0)
    framer = EventFramer()
    for _, piece in recordings.stream_pieces(name)[1:]:
        block = recordings.dechunked(piece)
        assert len(texts(framer.feed(block))) == block.count(b"data:")


@each_case("name", NAMES)
def test_the_recorded_pieces_are_the_recorded_bytes(name: str) -> None:
    assert b"".join(piece for _, piece in recordings.stream_pieces(name)) == recordings.stream(name)
