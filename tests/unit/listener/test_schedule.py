"""When to fetch, and what to accept: pure, with a clock that the tests turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from django_flagsmith_realtime.environment.snapshot import Document, Environment, Head, Snapshot
from django_flagsmith_realtime.listener.schedule import CHASE_SECONDS, Budget, Schedule
from django_flagsmith_realtime.listener.stream_health import MISSED_CHANGE, NEVER, REALTIME_OFF
from django_flagsmith_realtime.storage.announcements import QUEUE_CHANGE, WEBHOOK, Announcement
from tests.support.cases import each_case

SECOND = 1_000_000
T = 1_795_372_800 * SECOND


def environment(*names: str) -> Environment:
    states = [
        {
            "feature": {"id": index, "name": name},
            "enabled": True,
            "feature_state_value": None,
            "featurestate_uuid": "",
            "multivariate_feature_state_values": [],
        }
        for index, name in enumerate(names)
    ]
    return Environment(
        {
            "api_key": "key",
            "name": "Tests",
            "project": {"segments": [], "server_key_only_feature_ids": []},
            "feature_states": states,
            "identity_overrides": [],
        }
    )


def body(updated_at: int, *names: str, realtime: bool = True) -> Document:
    return Document(environment(*names or ("a",)), updated_at, realtime)


def published(updated_at: int, *names: str) -> Snapshot:
    made = environment(*names or ("a",))
    return Snapshot(Head(1, made.version, updated_at, 0, updated_at), made)


class Clockwork:
    """Plays a listener: begins what is due, answers it, and counts the requests."""

    def __init__(self, *, poll_interval: float = 300, fallback: float = 30) -> None:
        self.now = 1000.0
        self.schedule = Schedule(poll_interval=poll_interval, fallback_poll_interval=fallback, now=self.now)
        self.published: Snapshot | None = None
        self.requests: list[float] = []

    def advance_to_due(self) -> None:
        assert self.schedule.due() != NEVER
        self.now = max(self.now, self.schedule.due())
        self.schedule.begin_fetch(self.now)
        self.requests.append(self.now)

    def answer(self, document: Document) -> bool:
        accepted = self.schedule.accept(document, self.published, self.now)
        changed = accepted and (self.published is None or document.updated_at != self.published.head.updated_at)
        if accepted:
            head = Head(1, document.environment.version, document.updated_at, 0, document.updated_at)
            self.published = Snapshot(head, document.environment)
        if not changed:
            self.schedule.spend(self.now)
        return accepted

    def settle(self, updated_at: int = T) -> None:
        """Fetch once and open the stream: a healthy start."""
        self.advance_to_due()
        self.answer(body(updated_at))
        self.schedule.connect(self.now)


def settled() -> Clockwork:
    clockwork = Clockwork()
    clockwork.settle()
    return clockwork


@pytest.fixture
def clockwork() -> Clockwork:
    return settled()


def test_the_first_request_is_due_at_once_and_the_next_after_the_poll_interval() -> None:
    clockwork = Clockwork()
    assert clockwork.schedule.due() <= clockwork.now
    clockwork.settle()
    assert clockwork.schedule.due() == clockwork.now + 300


def test_an_interval_of_zero_never_polls_with_a_stream_and_without() -> None:
    clockwork = Clockwork(poll_interval=0)
    clockwork.settle()
    assert clockwork.schedule.due() == NEVER
    clockwork = Clockwork(poll_interval=0, fallback=0)
    clockwork.advance_to_due()
    clockwork.answer(body(T))
    assert clockwork.schedule.due() == NEVER


def test_a_stream_that_stays_away_is_replaced_by_the_fallback_poll(clockwork: Clockwork) -> None:
    clockwork.now += 100
    clockwork.schedule.disconnect(clockwork.now, clean=True)
    assert clockwork.schedule.due() == clockwork.now + 30
    clockwork.advance_to_due()
    clockwork.answer(body(T))
    assert clockwork.schedule.due() == clockwork.now + 30


def test_a_project_without_real_time_is_polled_at_the_fallback_interval(clockwork: Clockwork) -> None:
    clockwork.advance_to_due()
    clockwork.answer(body(T, realtime=False))
    assert clockwork.schedule.stream_doubt == REALTIME_OFF
    assert clockwork.schedule.due() == clockwork.now + 30


def test_a_stream_that_did_not_announce_a_change_is_doubted_until_it_announces_one(clockwork: Clockwork) -> None:
    clockwork.advance_to_due()
    clockwork.answer(body(T))  # from here on the stream was open
    clockwork.advance_to_due()
    clockwork.answer(body(T + SECOND))
    clockwork.schedule.note_published(has_changed=True)
    assert clockwork.schedule.stream_doubt == MISSED_CHANGE
    for _ in range(2):
        assert clockwork.schedule.due() == clockwork.now + 30
        clockwork.advance_to_due()
        clockwork.answer(body(T + SECOND))
        clockwork.schedule.note_published(has_changed=True)
    clockwork.schedule.announce(Announcement(T + SECOND), clockwork.now)
    assert clockwork.schedule.stream_doubt is None
    assert clockwork.schedule.due() == clockwork.now + 300


def test_what_changed_while_the_stream_was_away_is_no_reason_for_doubt() -> None:
    clockwork = Clockwork()
    clockwork.schedule.connect(clockwork.now)
    clockwork.advance_to_due()
    clockwork.answer(body(T))
    clockwork.schedule.note_published(has_changed=True)
    assert clockwork.schedule.stream_doubt is None
    clockwork.schedule.disconnect(clockwork.now, clean=True)
    clockwork.now += 20
    clockwork.schedule.connect(clockwork.now)
    clockwork.advance_to_due()
    clockwork.answer(body(T + SECOND))
    clockwork.schedule.note_published(has_changed=True)
    assert clockwork.schedule.stream_doubt is None


@each_case("time", [T + SECOND, None])
def test_an_event_is_fetched_at_once_and_once_even_without_a_time(time: int | None) -> None:
    clockwork = settled()
    clockwork.now += 5
    clockwork.schedule.announce(Announcement(time), clockwork.now)
    assert clockwork.schedule.due() <= clockwork.now
    clockwork.advance_to_due()
    clockwork.answer(body(time or T))
    assert clockwork.schedule.due() == clockwork.now + 300


def test_an_event_whose_time_is_known_costs_nothing(clockwork: Clockwork) -> None:
    assert clockwork.schedule.announce(Announcement(T + SECOND), clockwork.now)
    assert not clockwork.schedule.announce(Announcement(T + SECOND), clockwork.now)
    clockwork.advance_to_due()
    clockwork.answer(body(T + SECOND))
    for time in (T + SECOND, T):  # the second is what the first body said
        assert not clockwork.schedule.announce(Announcement(time), clockwork.now)
    assert clockwork.schedule.due() == clockwork.now + 300


def test_an_event_that_comes_while_a_request_is_under_way_is_not_forgotten(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + 1 * SECOND), clockwork.now)
    clockwork.advance_to_due()
    clockwork.schedule.announce(Announcement(T + 2 * SECOND), clockwork.now)
    clockwork.answer(body(T + 1 * SECOND))
    clockwork.advance_to_due()
    clockwork.answer(body(T + 2 * SECOND))
    assert clockwork.schedule.due() == clockwork.now + 300


def test_a_body_that_was_asked_for_before_an_event_is_no_sign_of_a_slow_api(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + 1 * SECOND), clockwork.now)
    clockwork.advance_to_due()
    clockwork.now += 0.001
    clockwork.schedule.announce(Announcement(T + 1 * SECOND + 4_000), clockwork.now)
    clockwork.now += 0.004
    clockwork.answer(body(T + 1 * SECOND))
    assert clockwork.schedule.due() == pytest.approx(clockwork.requests[-1] + 0.25)


def test_an_event_that_the_request_under_way_answers_costs_no_second_one(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + 1 * SECOND), clockwork.now)
    clockwork.advance_to_due()
    clockwork.schedule.announce(Announcement(T + 2 * SECOND), clockwork.now)
    clockwork.answer(body(T + 2 * SECOND))
    assert clockwork.schedule.due() == clockwork.now + 300


def test_a_burst_is_one_request_in_250_ms(clockwork: Clockwork) -> None:
    clockwork.now += 5
    started = clockwork.now
    for step in range(1, 41):  # 2 seconds of events
        clockwork.schedule.announce(Announcement(T + step * SECOND), clockwork.now)
        while clockwork.schedule.due() <= clockwork.now:
            clockwork.advance_to_due()
            clockwork.answer(body(T + step * SECOND))
        clockwork.now += 0.05
    made = [at for at in clockwork.requests if at >= started]
    assert made[0] == started
    assert len(made) <= 2 / 0.25 + 1
    assert min(later - earlier for earlier, later in pairwise(made)) >= 0.25


def test_a_stale_body_is_asked_for_again_until_it_is_new(clockwork: Clockwork) -> None:
    target = T + 60 * SECOND
    clockwork.schedule.announce(Announcement(target), clockwork.now)
    clockwork.advance_to_due()
    began = clockwork.now
    while clockwork.now - began < 60:
        assert clockwork.answer(body(T))
        clockwork.advance_to_due()
    clockwork.answer(body(target))
    waits = [later - earlier for earlier, later in pairwise(clockwork.requests[1:])]
    assert waits == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 10, 10, 10, 10, 10])
    assert clockwork.schedule.due() == clockwork.now + 300


def test_a_chase_ends_and_remembers_what_it_chased(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + 60 * SECOND), clockwork.now)
    clockwork.advance_to_due()
    began = clockwork.now
    clockwork.answer(body(T))
    while clockwork.schedule.due() < clockwork.now + 300:
        clockwork.advance_to_due()
        clockwork.answer(body(T))
    assert 80 < clockwork.now - began <= CHASE_SECONDS
    assert len(clockwork.requests) == 2 + 6 + 7  # the start and the event, then 0.25 … 8 s, then every 10 s
    clockwork.schedule.announce(Announcement(T + 60 * SECOND), clockwork.now)
    assert clockwork.schedule.due() == clockwork.now + 300


def test_a_near_miss_is_chased_with_few_requests(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + SECOND // 10), clockwork.now)
    clockwork.advance_to_due()
    for _ in range(4):
        clockwork.answer(body(T))
        clockwork.advance_to_due()
    clockwork.answer(body(T))
    waits = [later - earlier for earlier, later in pairwise(clockwork.requests[1:])]
    assert waits == pytest.approx([1, 5, 20, 65])
    assert clockwork.schedule.due() == clockwork.now + 300


def test_a_body_older_than_the_published_one_is_held_back_until_the_chase_ends(clockwork: Clockwork) -> None:
    yesterday = T - 86_400 * SECOND
    clockwork.advance_to_due()
    began = clockwork.now
    while not clockwork.answer(body(yesterday)):
        clockwork.advance_to_due()
    assert 60 < clockwork.now - began <= CHASE_SECONDS
    assert clockwork.published and clockwork.published.head.updated_at == yesterday


def test_an_older_body_whose_time_was_announced_last_is_accepted(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T - 60 * SECOND), clockwork.now)
    clockwork.advance_to_due()
    assert clockwork.answer(body(T - 60 * SECOND))


def test_a_document_without_features_is_held_back_where_there_were_some(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + SECOND), clockwork.now)
    clockwork.advance_to_due()
    emptied = replace(body(T + 2 * SECOND), environment=environment())
    assert not clockwork.answer(emptied)
    while not clockwork.answer(emptied):
        clockwork.advance_to_due()


def test_a_failed_request_is_tried_again_for_ever_and_later_each_time(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + SECOND), clockwork.now)
    waits = []
    for _ in range(40):
        clockwork.advance_to_due()
        clockwork.schedule.fail(clockwork.now)
        waits.append(clockwork.schedule.due() - clockwork.now)
    assert 0.125 <= waits[0] <= 0.25
    assert all(15 <= wait <= 30 for wait in waits[8:])
    clockwork.advance_to_due()
    clockwork.answer(body(T + SECOND))
    assert clockwork.schedule.due() == clockwork.now + 300


def test_events_do_not_hurry_a_failing_api(clockwork: Clockwork) -> None:
    clockwork.advance_to_due()
    clockwork.schedule.fail(clockwork.now, retry_after=60)
    clockwork.schedule.announce(Announcement(T + SECOND), clockwork.now)
    assert clockwork.schedule.due() >= clockwork.now + 60


def test_an_outage_longer_than_the_chase_does_not_end_it(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + 60 * SECOND), clockwork.now)
    for _ in range(20):
        clockwork.advance_to_due()
        clockwork.schedule.fail(clockwork.now)
    clockwork.advance_to_due()
    clockwork.answer(body(T))  # healed, and still stale
    assert clockwork.schedule.due() - clockwork.now == pytest.approx(0.25)


def be_away(clockwork: Clockwork) -> float:
    """Let the API fail for some minutes, and begin the request that succeeds; return the seconds."""
    clockwork.advance_to_due()
    began = clockwork.now
    for _ in range(20):
        clockwork.schedule.fail(clockwork.now)
        clockwork.advance_to_due()
    return clockwork.now - began


def lead_again(clockwork: Clockwork) -> None:
    """Let another process lead for some minutes."""
    clockwork.schedule.stand_by(clockwork.now)
    clockwork.now += 300
    clockwork.schedule.fetch_soon(clockwork.now)
    clockwork.advance_to_due()


@each_case("interrupt", [be_away, lead_again])
@each_case(("missing", "wait"), [(60 * SECOND, 0.25), (SECOND // 10, 1)])
def test_a_chase_that_is_interrupted_asks_often_again(
    missing: int, wait: float, interrupt: Callable[[Clockwork], object]
) -> None:
    clockwork = settled()
    clockwork.schedule.announce(Announcement(T + missing), clockwork.now)
    for _ in range(3):
        clockwork.advance_to_due()
        clockwork.answer(body(T))
    assert clockwork.schedule.due() - clockwork.now > wait
    interrupt(clockwork)
    clockwork.answer(body(T))
    assert clockwork.schedule.due() - clockwork.now == pytest.approx(wait)


def test_the_time_of_an_outage_is_not_part_of_the_chase(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + 60 * SECOND), clockwork.now)
    began = clockwork.schedule.due()
    for _ in range(9):
        clockwork.advance_to_due()
        clockwork.answer(body(T))
    away = be_away(clockwork)
    clockwork.answer(body(T))
    while clockwork.schedule.due() < clockwork.now + 300:
        clockwork.advance_to_due()
        clockwork.answer(body(T))
    assert 80 < clockwork.now - began - away <= CHASE_SECONDS


def test_a_routine_reconnect_costs_no_request(clockwork: Clockwork) -> None:
    for _ in range(9):
        clockwork.now += 30
        clockwork.schedule.disconnect(clockwork.now, clean=True)
        clockwork.now += 0.5
        clockwork.schedule.connect(clockwork.now)
        clockwork.schedule.announce(Announcement(T), clockwork.now)  # the replay
    assert len(clockwork.requests) == 1
    assert clockwork.schedule.due() == clockwork.requests[0] + 300


def test_an_idle_hour_costs_the_safety_polls_and_nothing_else(clockwork: Clockwork) -> None:
    began = clockwork.now
    while clockwork.now < began + 3600:
        connected_at = clockwork.now
        while clockwork.schedule.due() < connected_at + 30:
            clockwork.advance_to_due()
            clockwork.answer(body(T))
        clockwork.now = connected_at + 30
        clockwork.schedule.disconnect(clockwork.now, clean=True)
        clockwork.now += 0.5
        clockwork.schedule.connect(clockwork.now)
        clockwork.schedule.announce(Announcement(T), clockwork.now)  # the replay
    polls = clockwork.requests[1:]
    assert len(polls) == 3600 // 300
    assert all(later - earlier >= 300 for earlier, later in pairwise(clockwork.requests))


@each_case("cached", [20, 60])
def test_behind_a_document_cache_the_second_of_two_changes_arrives_with_few_requests(cached: float) -> None:
    clockwork = settled()
    began = clockwork.now
    clockwork.schedule.announce(Announcement(T + 1 * SECOND), began)
    clockwork.advance_to_due()
    clockwork.answer(body(T + 1 * SECOND))  # cached now, for so many seconds
    clockwork.now = began + 0.5
    clockwork.schedule.announce(Announcement(T + SECOND + SECOND // 2), clockwork.now)
    while not (clockwork.published and clockwork.published.head.updated_at == T + SECOND + SECOND // 2):
        clockwork.advance_to_due()
        is_cached = clockwork.now < began + cached
        clockwork.answer(body(T + 1 * SECOND if is_cached else T + SECOND + SECOND // 2))
    assert clockwork.now - began <= cached + 65
    assert len(clockwork.requests) <= 8


@each_case(("gap", "clean"), [(2.5, True), (0.5, False)])
def test_what_a_gap_may_have_hidden_is_fetched_once(gap: float, clean: bool) -> None:
    clockwork = settled()
    clockwork.now += 60
    clockwork.schedule.disconnect(clockwork.now, clean=clean)
    clockwork.now += gap
    clockwork.schedule.connect(clockwork.now)
    assert clockwork.schedule.due() == clockwork.now + 1
    clockwork.advance_to_due()
    clockwork.answer(body(T))
    assert clockwork.schedule.due() == clockwork.now + 300


def test_a_stream_that_opens_while_the_first_fetch_is_under_way_asks_for_no_second_one() -> None:
    clockwork = Clockwork()
    clockwork.now += 5  # the cache hung, say
    clockwork.advance_to_due()
    clockwork.now += 0.1
    clockwork.schedule.connect(clockwork.now)
    clockwork.answer(body(T))
    assert clockwork.schedule.due() > clockwork.now + 100


def test_a_replay_makes_the_fetch_after_a_gap_unnecessary(clockwork: Clockwork) -> None:
    clockwork.now += 60
    clockwork.schedule.disconnect(clockwork.now, clean=True)
    clockwork.now += 20
    clockwork.schedule.connect(clockwork.now)
    clockwork.schedule.announce(Announcement(T), clockwork.now)
    assert clockwork.schedule.due() == clockwork.requests[0] + 300


@pytest.mark.slow
def test_requests_that_change_nothing_are_bounded() -> None:
    clockwork = settled()
    began = clockwork.now
    for step in range(1, 20_000):  # an hour of a stream that invents times
        clockwork.now += 0.18
        clockwork.schedule.announce(Announcement(T - step), clockwork.now)
        if clockwork.schedule.due() <= clockwork.now:
            clockwork.advance_to_due()
            clockwork.answer(body(T))
    minutes = (clockwork.now - began) / 60
    assert len(clockwork.requests) <= 30 + 6 * minutes + 2


def test_requests_that_change_something_are_free() -> None:
    budget = Budget()
    for _ in range(30):
        budget = budget.spend(now=100.0)
    assert budget.ready_at() == pytest.approx(110.0)
    assert budget.spend(now=200.0).ready_at() == 200.0


def test_a_restored_database_is_accepted_although_a_request_fails_now_and_then(clockwork: Clockwork) -> None:
    yesterday = T - 86_400 * SECOND
    clockwork.advance_to_due()
    began = failed_at = clockwork.now
    while not clockwork.answer(body(yesterday)):
        clockwork.advance_to_due()
        if clockwork.now - failed_at > 30:
            failed_at = clockwork.now
            clockwork.schedule.fail(clockwork.now)
            clockwork.advance_to_due()
        assert clockwork.now - began < 2 * CHASE_SECONDS


def test_the_time_of_the_latest_event_is_no_excuse_once_a_newer_body_came(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + 1 * SECOND), clockwork.now)
    clockwork.advance_to_due()
    clockwork.answer(body(T + 1 * SECOND))
    clockwork.advance_to_due()  # a poll
    clockwork.answer(body(T + 2 * SECOND))
    clockwork.advance_to_due()
    assert not clockwork.answer(body(T + 1 * SECOND)), "a stale one"


def test_the_time_of_the_latest_event_is_no_excuse_once_another_led(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + 1 * SECOND), clockwork.now)
    clockwork.advance_to_due()
    clockwork.answer(body(T + 1 * SECOND))
    clockwork.schedule.stand_by(clockwork.now)
    clockwork.published = published(T + 2 * SECOND)
    clockwork.schedule.fetch_soon(clockwork.now)
    clockwork.advance_to_due()
    assert not clockwork.answer(body(T + 1 * SECOND)), "a stale one"


def test_a_chase_of_long_ago_is_no_excuse_once_another_led(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + 1 * SECOND), clockwork.now)
    clockwork.advance_to_due()
    clockwork.answer(body(T))
    clockwork.schedule.stand_by(clockwork.now)
    clockwork.published = published(T + 3 * SECOND)
    clockwork.now += 2 * CHASE_SECONDS
    clockwork.schedule.fetch_soon(clockwork.now)
    clockwork.advance_to_due()
    assert not clockwork.answer(body(T + 2 * SECOND)), "a stale one"


def test_what_is_chased_is_not_forgotten_by_standing_by(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(T + 1 * SECOND), clockwork.now)
    clockwork.schedule.stand_by(clockwork.now)
    assert clockwork.schedule.announcements[0] == T + 1 * SECOND
    clockwork.advance_to_due()
    clockwork.answer(body(T))
    assert clockwork.schedule.due() == pytest.approx(clockwork.now + 0.25)


# What is known to be current


def test_an_open_stream_that_announces_nothing_new_is_as_good_as_a_document() -> None:
    clockwork = Clockwork()
    assert clockwork.schedule.known_ago(clockwork.now) is None
    clockwork.settle()
    clockwork.now += 1_000
    assert clockwork.schedule.known_ago(clockwork.now) == 0


def test_without_a_stream_the_last_document_counts_from_when_it_was_asked_for() -> None:
    clockwork = Clockwork()
    clockwork.advance_to_due()
    clockwork.now += 2
    clockwork.answer(body(T))
    clockwork.now += 10
    assert clockwork.schedule.known_ago(clockwork.now) == 12


@each_case("realtime", [True, False])
def test_a_stream_of_a_project_without_real_time_counts_for_nothing(realtime: bool) -> None:
    clockwork = settled()
    clockwork.advance_to_due()
    clockwork.answer(body(T, realtime=realtime))
    clockwork.now += 10
    assert clockwork.schedule.known_ago(clockwork.now) == (0 if realtime else 10)


def test_an_event_leaves_something_to_find_out_until_its_document_came(clockwork: Clockwork) -> None:
    clockwork.settle()
    clockwork.schedule.announce(Announcement(T + SECOND), clockwork.now)
    assert clockwork.schedule.known_ago(clockwork.now) is None
    clockwork.advance_to_due()
    assert clockwork.schedule.known_ago(clockwork.now) is None
    clockwork.schedule.fail(clockwork.now)
    assert clockwork.schedule.known_ago(clockwork.now) is None
    clockwork.advance_to_due()
    clockwork.answer(body(T))
    assert clockwork.schedule.known_ago(clockwork.now) is None, "the document is behind the event"
    clockwork.advance_to_due()
    clockwork.answer(body(T + SECOND))
    assert clockwork.schedule.known_ago(clockwork.now) == 0


def test_a_gap_of_the_stream_leaves_something_to_find_out(clockwork: Clockwork) -> None:
    clockwork.settle()
    clockwork.schedule.disconnect(clockwork.now, clean=False)
    clockwork.now += 5
    assert clockwork.schedule.known_ago(clockwork.now) == 5
    clockwork.schedule.connect(clockwork.now)
    assert clockwork.schedule.known_ago(clockwork.now) is None
    clockwork.advance_to_due()
    clockwork.answer(body(T))
    assert clockwork.schedule.known_ago(clockwork.now) == 0


def test_an_event_without_a_time_leaves_something_to_find_out_until_the_answer(clockwork: Clockwork) -> None:
    clockwork.schedule.announce(Announcement(None), clockwork.now)
    clockwork.advance_to_due()
    assert clockwork.schedule.known_ago(clockwork.now) is None
    clockwork.answer(body(T))
    assert clockwork.schedule.known_ago(clockwork.now) == 0


def webhook(signed_at: int | None = None) -> Announcement:
    return Announcement(None, WEBHOOK, signed_at)


def poll_only(fallback: float) -> Clockwork:
    """Return one without a stream, after its first fetch."""
    clockwork = Clockwork(fallback=fallback)
    clockwork.advance_to_due()
    clockwork.answer(body(T))
    clockwork.now += 10
    return clockwork


@pytest.fixture
def polling() -> Clockwork:
    return poll_only(fallback=60)


def test_a_webhook_is_fetched_at_once_and_polls_go_on_every_minute(polling: Clockwork) -> None:
    polling.schedule.announce(webhook(), polling.now)
    assert polling.schedule.due() == polling.now
    assert (polling.schedule.announced_at, polling.schedule.announced_by) == (polling.now, WEBHOOK)
    polling.advance_to_due()
    polling.answer(body(T + SECOND))
    assert polling.schedule.due() == polling.now + 60


def test_a_webhook_whose_change_the_api_does_not_show_yet_is_asked_for_again() -> None:
    polling = poll_only(fallback=300)
    polling.schedule.announce(webhook(T + 60 * SECOND), polling.now)
    began = polling.now
    for _ in range(5):
        polling.advance_to_due()
        polling.answer(body(T))
    assert [round(at - began) for at in polling.requests[1:]] == [0, 1, 6, 26, 91]
    assert polling.schedule.due() > polling.now + 30, "then it is left to the poll"


@each_case("document", [body(T + 59 * SECOND + 10), body(T + SECOND, "b")])
def test_a_webhook_is_not_chased_where_the_api_shows_a_change(document: Document) -> None:
    polling = poll_only(fallback=60)
    polling.schedule.announce(webhook(T + 60 * SECOND), polling.now)
    polling.advance_to_due()
    polling.schedule.accept(document, polling.published, polling.now)
    assert not polling.schedule.is_pending


def test_where_the_stream_works_a_webhook_waits_a_second_for_its_event(clockwork: Clockwork) -> None:
    clockwork.now += 10
    clockwork.schedule.announce(webhook(), clockwork.now)
    assert clockwork.schedule.due() == clockwork.now + 1
    clockwork.now += 0.5
    clockwork.schedule.announce(Announcement(T + SECOND), clockwork.now)
    clockwork.advance_to_due()
    clockwork.answer(body(T + SECOND))
    assert clockwork.schedule.due() == clockwork.now + 300, "the event's fetch was enough"


def test_a_replayed_event_does_not_stand_in_for_the_webhooks_change(clockwork: Clockwork) -> None:
    clockwork.now += 10
    clockwork.schedule.announce(webhook(), clockwork.now)
    clockwork.schedule.announce(Announcement(T), clockwork.now)
    assert clockwork.schedule.due() == clockwork.now + 1


def test_a_queue_change_that_works_is_as_good_as_a_stream(polling: Clockwork) -> None:
    polling.schedule.announce(Announcement(T + SECOND, QUEUE_CHANGE), polling.now)
    polling.advance_to_due()
    polling.answer(body(T + SECOND))
    assert polling.schedule.due() == polling.now + 300
    polling.schedule.note_published(has_changed=True)
    polling.schedule.announce(webhook(), polling.now)
    assert polling.schedule.due() == polling.now + 1


def test_a_queue_change_that_missed_a_change_is_not_relied_on_any_more(polling: Clockwork) -> None:
    polling.schedule.announce(Announcement(T + SECOND, QUEUE_CHANGE), polling.now)
    polling.advance_to_due()
    polling.answer(body(T + SECOND))
    polling.schedule.note_published(has_changed=True)
    polling.advance_to_due()  # a poll
    polling.answer(body(T + 2 * SECOND))
    polling.schedule.note_published(has_changed=True)
    assert polling.schedule.due() == polling.now + 60


def test_an_exact_time_is_chased_although_a_webhook_is_near(polling: Clockwork) -> None:
    polling.schedule.announce(webhook(T + 60 * SECOND), polling.now)
    polling.schedule.announce(Announcement(T + 60 * SECOND, QUEUE_CHANGE), polling.now)
    polling.advance_to_due()
    polling.answer(body(T))
    assert polling.schedule.due() == polling.now + 0.25
    assert polling.schedule.announcements[0] == T + 60 * SECOND
