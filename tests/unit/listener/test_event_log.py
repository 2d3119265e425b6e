"""The log lines of the listener."""

from __future__ import annotations

import logging

import pytest

from django_flagsmith_realtime.exceptions import Refused, ServerError, StoreError
from django_flagsmith_realtime.listener import events
from django_flagsmith_realtime.listener.event_log import EventLog, count
from django_flagsmith_realtime.listener.stream_health import MISSED_CHANGE, REALTIME_OFF
from tests.support.cases import each_case
from tests.support.clock import Clock

BROKEN = events.StreamDisconnected(ServerError("The host failed (503)."), is_routine=False, delay=1.0)
ROUTINE = events.StreamDisconnected(None, is_routine=True, delay=1.0)
FETCHED = events.Fetched(0.1)
Lines = list[tuple[str, str]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def event_log(clock: Clock, caplog: pytest.LogCaptureFixture) -> EventLog:
    caplog.set_level(logging.DEBUG)
    return EventLog(clock=clock)


def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_an_outage_of_the_api_is_one_warning_and_one_end_with_its_length(
    event_log: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (ServerError("One."), ServerError("Two."), Refused("Three."), ServerError("Four.")):
        event_log(events.FetchFailed(error))
        clock.now += 10
    event_log(FETCHED)
    event_log(FETCHED)
    assert lines(caplog) == [
        ("WARNING", "Flagsmith fetch: One. The flags stay as they are; trying again."),
        ("INFO", "Flagsmith fetch: Three. The flags stay as they are; trying again."),
        ("INFO", "Flagsmith fetch: works again after 40 s"),
    ]


def test_the_next_outage_is_logged_anew(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        event_log(events.StoreFailed(StoreError("No.")))
        event_log(events.StoreWorked())
    assert [level for level, _ in lines(caplog)] == ["WARNING", "INFO"] * 2


def test_a_stream_that_breaks_again_and_again_is_one_outage(
    event_log: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    event_log(events.StreamConnected())
    for _ in range(3):
        event_log(BROKEN)
        clock.now += 5
        event_log(events.StreamConnected())
        clock.now += 5
        event_log(events.Tick())
    clock.now += 5
    event_log(events.Tick())
    assert lines(caplog) == [
        ("INFO", "Flagsmith stream: connected"),
        ("WARNING", "Flagsmith stream: The host failed (503). Polling until it is back."),
        ("INFO", "Flagsmith stream: connected again after 25 s"),
    ]


def test_routine_is_silent(event_log: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        event_log(events.StreamConnected())
        clock.now += 30
        event_log(ROUTINE)
        event_log(events.Tick())
    assert lines(caplog) == [("INFO", "Flagsmith stream: connected")]


def test_a_warning_of_the_document_is_logged_once_as_long_as_it_holds(
    event_log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    for warnings in (("One.",), ("One.", "Two."), ("One.",), ("One.", "Two.")):
        event_log(events.Fetched(0.1, warnings))
    assert lines(caplog) == [("WARNING", f"Flagsmith environment: {text}") for text in ("One.", "Two.", "Two.")]


@each_case("doubt", [REALTIME_OFF, MISSED_CHANGE])
def test_a_stream_that_announces_nothing_is_an_outage(
    doubt: str, event_log: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    event_log(events.Tick(doubt))
    event_log(events.Tick(doubt))
    clock.now += 30
    event_log(events.Tick())
    (level, warning), recovery = lines(caplog)
    assert level == "WARNING"
    assert doubt in warning
    assert "Project Settings" in warning
    assert recovery == ("INFO", "Flagsmith stream: announces changes again after 30 s")


def test_one_flag_is_not_flags() -> None:
    assert [count(range(number)) for number in range(3)] == ["0 flags", "1 flag", "2 flags"]


def test_a_leader_says_why_it_polls(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    event_log = EventLog(poll_only="there is no stream", clock=clock)
    event_log(events.BecameStandby("web-1:42"))
    event_log(events.BecameLeader())
    assert [line for _, line in lines(caplog)] == [
        "Flagsmith listener stands by: web-1:42 leads",
        "Flagsmith listener leads",
        "Flagsmith listener polls: there is no stream",
    ]
