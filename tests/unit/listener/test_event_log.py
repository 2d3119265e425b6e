"""The log lines of the listener."""

from __future__ import annotations

import logging

import pytest

from django_flagsmith_realtime.exceptions import Refused, ServerError, StoreError
from django_flagsmith_realtime.listener import events
from django_flagsmith_realtime.listener.event_log import EventLog

BROKEN = events.StreamDisconnected(ServerError("The host failed (503)."), is_routine=False)
ROUTINE = events.StreamDisconnected(None, is_routine=True)
FETCHED = events.Fetched(0.1, realtime_enabled=True)
Lines = list[tuple[str, str]]


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def report(clock: Clock, caplog: pytest.LogCaptureFixture) -> EventLog:
    caplog.set_level(logging.DEBUG)
    return EventLog(clock=clock)


def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_an_outage_of_the_api_is_one_warning_and_one_end_with_its_length(
    report: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (ServerError("One."), ServerError("Two."), Refused("Three."), ServerError("Four.")):
        report.take(events.FetchFailed(error))
        clock.now += 10
    report.take(FETCHED)
    report.take(FETCHED)
    assert lines(caplog) == [
        ("WARNING", "Flagsmith: One. The flags stay as they are; trying again."),
        ("INFO", "Flagsmith: Three. The flags stay as they are; trying again."),
        ("INFO", "Flagsmith: answers again after 40 s"),
    ]


def test_the_next_outage_is_said_anew(report: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        report.take(events.StoreFailed(StoreError("No.")))
        report.take(events.StoreWorked())
    assert [level for level, _ in lines(caplog)] == ["WARNING", "INFO"] * 2


def test_a_stream_that_breaks_again_and_again_is_one_outage(
    report: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    report.take(events.StreamConnected())
    for _ in range(3):
        report.take(BROKEN)
        clock.now += 5
        report.take(events.StreamConnected())
        clock.now += 5
        report.take(events.Turned())
    clock.now += 5
    report.take(events.Turned())
    assert lines(caplog) == [
        ("INFO", "Stream: connected"),
        ("WARNING", "Stream: The host failed (503). Polling until it is back."),
        ("INFO", "Stream: connected again after 25 s"),
    ]


def test_routine_is_silent(report: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        report.take(events.StreamConnected())
        clock.now += 30
        report.take(ROUTINE)
        report.take(events.Turned())
    assert lines(caplog) == [("INFO", "Stream: connected")]


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        (events.Fetched(0.1, realtime_enabled=False), FETCHED, "real-time updates are on again after 30 s"),
        (events.StreamSilent(), events.EventTaken(is_new=True), "tells of changes again after 30 s"),
    ],
    ids=["off", "silent"],
)
def test_a_stream_that_tells_nothing_is_an_outage(
    begin: events.Event, end: events.Event, said: str, report: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    report.take(begin)
    report.take(begin)
    clock.now += 30
    report.take(end)
    (level, warning), recovery = lines(caplog)
    assert level == "WARNING"
    assert "Project Settings" in warning
    assert recovery == ("INFO", f"Stream: {said}")


def test_a_leader_says_why_it_polls(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    report = EventLog(poll_only="there is no stream", clock=clock)
    report.take(events.StoodBy("web-1:42"))
    report.take(events.BecameLeader())
    assert [line for _, line in lines(caplog)] == [
        "Standing by: web-1:42 leads",
        "Leading",
        "Polling: there is no stream",
    ]
