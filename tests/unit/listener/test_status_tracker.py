"""From what happens to a listener to its status."""

from __future__ import annotations

import os
from typing import Any

import pytest

from django_flagsmith_realtime.environment.diff import Update
from django_flagsmith_realtime.exceptions import ServerError, StoreError
from django_flagsmith_realtime.listener import events
from django_flagsmith_realtime.listener.status_tracker import MAX_TEXT, StatusTracker
from django_flagsmith_realtime.listener.stream_health import MISSED_CHANGE, REALTIME_OFF
from django_flagsmith_realtime.storage.status import DAY, Errors, Status
from tests.support.cases import each_case
from tests.support.clock import Clock
from tests.support.documents import publish

START = 1_800_000_000.0


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


def make_tracker(clock: Clock) -> StatusTracker:
    return StatusTracker(clock=clock, secrets=["ser.secret", None, ""])


@pytest.fixture
def status_tracker(clock: Clock) -> StatusTracker:
    return make_tracker(clock)


def status(status_tracker: StatusTracker) -> Status:
    return status_tracker.status(None, None)


def fetched(took: float = 0.1) -> events.Fetched:
    return events.Fetched(took)


def broke(text: str = "It broke.", *, routine: bool = False) -> events.StreamDisconnected:
    return events.StreamDisconnected(None if routine else ServerError(text), is_routine=routine, delay=1.0)


def test_the_leader_is_this_process_since_it_leads(status_tracker: StatusTracker, clock: Clock) -> None:
    clock.now += 60
    status_tracker(events.BecameLeader())
    found = status(status_tracker)
    assert (found.leader.pid, found.leader.since, found.stream.since) == (os.getpid(), clock.now, clock.now)
    assert found.stream.state == "connecting"


def test_the_stream_is_connected_since_it_first_was_whatever_the_routine(
    status_tracker: StatusTracker, clock: Clock
) -> None:
    status_tracker(events.StreamConnected())
    for _ in range(3):
        clock.now += 30
        status_tracker(broke(routine=True))
        status_tracker(events.StreamConnected())
    assert (status(status_tracker).stream.state, status(status_tracker).stream.since) == ("connected", START)


def test_a_stream_that_broke_backs_off_since_then_for_the_latest_reason(
    status_tracker: StatusTracker, clock: Clock
) -> None:
    status_tracker(events.StreamConnected())
    clock.now += 5
    status_tracker(broke("First."))
    clock.now += 5
    status_tracker(broke("Second."))
    stream = status(status_tracker).stream
    assert (stream.state, stream.since, stream.reason) == ("backing off", START + 5, "Second.")
    status_tracker(events.StreamConnected())
    stream = status(status_tracker).stream
    assert (stream.state, stream.since, stream.reason) == ("connected", clock.now, None)


def test_a_stream_that_ends_too_soon_says_so(status_tracker: StatusTracker) -> None:
    status_tracker(events.StreamDisconnected(None, is_routine=False, delay=1.0))
    assert status(status_tracker).stream.reason == "It ended too soon."
    assert status(status_tracker).failure is None


def test_without_a_stream_the_reason_is_the_one_given(clock: Clock) -> None:
    stream = status(StatusTracker(poll_only="REALTIME_URL is None.", clock=clock)).stream
    assert (stream.state, stream.reason) == ("poll only", "REALTIME_URL is None.")


def test_poll_only_lasts_while_flagsmith_says_that_real_time_is_off(
    status_tracker: StatusTracker, clock: Clock
) -> None:
    status_tracker(events.StreamConnected())
    clock.now += 5
    status_tracker(events.Tick(REALTIME_OFF))
    clock.now += 5
    status_tracker(events.Tick(REALTIME_OFF))
    stream = status(status_tracker).stream
    assert (stream.state, stream.since, stream.reason) == ("poll only", START + 5, REALTIME_OFF)
    status_tracker(events.Tick())
    assert status(status_tracker).stream.state == "connected"


def test_poll_only_lasts_until_a_silent_stream_announces_something(status_tracker: StatusTracker) -> None:
    status_tracker(events.StreamConnected())
    status_tracker(events.Tick(MISSED_CHANGE))
    assert status(status_tracker).stream.reason == MISSED_CHANGE
    status_tracker(events.ChangeAnnounced("stream", is_new=True))
    status_tracker(events.Tick())
    assert status(status_tracker).stream.state == "connected"
    assert status(status_tracker).stream.event_at == START


def test_a_time_that_the_stream_says_again_is_an_event_but_no_change(
    status_tracker: StatusTracker, clock: Clock
) -> None:
    for is_new in (True, False, False):
        status_tracker(events.ChangeAnnounced("stream", is_new=is_new))
        clock.now += 30
    found = status(status_tracker)
    assert (found.suppressed.within(DAY, clock.now), found.stream.event_at) == (2, START + 60)
    [source] = found.sources
    assert (source.at, source.announced.within(DAY, clock.now)) == (START, 1)


@each_case(("is_billed", "requests"), [(True, 2), (False, 0)])
def test_requests_are_counted_whether_they_succeed_or_not_and_reads_of_a_file_are_none(
    clock: Clock, is_billed: bool, requests: int
) -> None:
    status_tracker = StatusTracker(clock=clock, is_billed=is_billed)
    status_tracker(fetched(0.25))
    status_tracker(events.FetchFailed(ServerError("No.")))
    found = status(status_tracker)
    assert found.requests.within(DAY, START) == requests
    assert found.fetch and found.fetch.took == 0.25
    assert found.failure and found.failure.text == "No."


def test_latency_is_that_of_the_last_hundred(status_tracker: StatusTracker) -> None:
    snapshot = publish()
    update = Update(snapshot, None, {})
    status_tracker(events.Published(update, None))
    assert status(status_tracker).latency is None
    for milliseconds in range(1, 201):
        status_tracker(events.Published(update, milliseconds / 1000))
    latency = status(status_tracker).latency
    assert latency
    assert (latency.last, latency.p50, latency.p99, latency.count) == (0.2, 0.15, 0.199, 100)


@each_case("error", [StoreError, ServerError])
def test_no_error_shows_a_secret_or_fills_the_screen(clock: Clock, error: type[Any]) -> None:
    status_tracker = make_tracker(clock)
    text = "redis://me:password@host refused\nser.secret " + "x " * 10_000
    status_tracker(events.StoreFailed(error(text)) if error is StoreError else events.FetchFailed(error(text)))
    status_tracker(broke(text))
    found = status(status_tracker)
    assert found.failure and found.stream.reason == found.failure.text
    assert found.failure.text.startswith("redis://…@host refused … x")
    assert len(found.failure.text) <= MAX_TEXT


def test_a_snapshot_is_known_since_it_was_last_current(status_tracker: StatusTracker, clock: Clock) -> None:
    snapshot = publish()
    assert known_at(status_tracker.status(snapshot, None)) is None
    assert known_at(status_tracker.status(snapshot, 0.0)) == START
    clock.now += 50
    assert known_at(status_tracker.status(snapshot, None)) == START
    assert known_at(status_tracker.status(snapshot, 20.0)) == START + 30
    assert known_at(status_tracker.status(snapshot, 40.0)) == START + 30, "what was known stays so"
    clock.now = START - 3_600
    assert known_at(status_tracker.status(snapshot, 40.0)) == clock.now, (
        "a clock that goes back makes nobody young for long"
    )
    clock.now += 100
    assert known_at(status_tracker.status(snapshot, None)) == clock.now - 100
    content = status_tracker.status(snapshot, None).content
    assert content and (content.version, content.flags) == (snapshot.version, 22)


def known_at(found: Status) -> float | None:
    assert found.content
    return found.content.known_at


def test_repairs_are_counted_and_errors_by_what_failed(status_tracker: StatusTracker) -> None:
    status_tracker(events.Repaired())
    assert status(status_tracker).repairs.within(DAY, START) == 1
    status_tracker(broke())
    status_tracker(broke(routine=True))
    for _ in range(2):
        status_tracker(events.FetchFailed(ServerError("No.")))
    for _ in range(3):
        status_tracker(events.StoreFailed(StoreError("No.")))
    assert status(status_tracker).errors == Errors(stream=1, fetch=2, cache=3)


def test_the_next_leader_counts_on(status_tracker: StatusTracker, clock: Clock) -> None:
    def work(tracker: StatusTracker, latency: float) -> None:
        tracker(fetched())
        tracker(broke())
        for is_new in (True, False):
            tracker(events.ChangeAnnounced("stream", is_new=is_new))
        tracker(events.Published(Update(snapshot, None, {}, "stream"), latency))

    snapshot = publish()
    status_tracker.continue_from(None)
    work(status_tracker, 0.125)
    before = status_tracker.status(snapshot, 0.0)
    clock.now += 50
    successor = StatusTracker(clock=clock)
    successor.continue_from(before)
    work(successor, 30.0)
    found = status(successor)
    assert (found.requests.total, found.requests.within(DAY, clock.now)) == (2, 2)
    assert (found.suppressed.total, found.errors.stream, found.leaders) == (2, 2, 2)
    assert [source.announced.total for source in found.sources] == [2]
    assert (sum(found.latencies.counts), found.latencies.sum) == (2, 30.125)
    assert found.content and found.content.known_at == START
    assert found.leader.since == clock.now
    successor.continue_from(None)
    assert status(successor).requests.total == 2


def test_a_fetch_without_a_listener_is_no_new_leader(clock: Clock) -> None:
    tracker = StatusTracker(clock=clock, listens=False)
    tracker.continue_from(None)
    assert status(tracker).leaders == 0


def test_the_warnings_are_those_of_the_last_document(status_tracker: StatusTracker) -> None:
    status_tracker(events.Fetched(0.1, ("One.",)))
    assert status(status_tracker).warnings == ("One.",)
    status_tracker(fetched())
    assert status(status_tracker).warnings == ()
