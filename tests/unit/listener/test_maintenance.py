"""What a listener does with the cache, also while the cache fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_flagsmith_realtime.environment.snapshot import Document
from django_flagsmith_realtime.listener.events import Event, Published, StoreWorked, Unchanged
from django_flagsmith_realtime.listener.maintenance import Maintenance
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.listener.schedule import Schedule
from django_flagsmith_realtime.listener.status_tracker import StatusTracker
from django_flagsmith_realtime.storage.announcements import KEPT, WEBHOOK, received_now
from tests.support.backends import HangingCache, SmallCache, use
from tests.support.documents import configured_store, make_document, publish
from tests.support.sources import FakeSource
from tests.unit.listener.test_listener import banner

OLD, NEW = ("2030-01-01T00:00:01", "2030-01-01T00:00:02")
Fetch = Callable[[Document], None]


@pytest.fixture
def schedule() -> Schedule:
    return Schedule(poll_interval=300, fallback_poll_interval=300, now=time.monotonic())


@pytest.fixture
def notified() -> list[Event]:
    return []


@pytest.fixture
def maintenance(settings: Any, schedule: Schedule, notified: list[Event]) -> Iterator[Maintenance]:
    use(settings, "tests.support.backends.SmallCache")
    SmallCache.limit = 1_000_000
    publisher = Publisher(source=FakeSource(make_document), store=configured_store())
    yield Maintenance(publisher, schedule, StatusTracker(), notify=notified.append, clock=time.monotonic)
    SmallCache.limit = 1_000_000
    publisher.close()


@pytest.fixture
def fetch(maintenance: Maintenance, schedule: Schedule) -> Fetch:
    """Hand over a document as the answer to a request."""

    def fetch(document: Document) -> None:
        maintenance.begin_fetch()
        schedule.begin_fetch(time.monotonic())
        schedule.accept(document, None, time.monotonic())
        maintenance.publish(document)
        maintenance.end_fetch()

    return fetch


def test_what_could_not_be_stored_is_stored_when_the_cache_works_again(maintenance: Maintenance, fetch: Fetch) -> None:
    maintenance.run()
    SmallCache.limit = 0
    fetch(make_document(NEW, banner_text="new"))
    assert banner() is None
    SmallCache.limit = 1_000_000
    maintenance.stand_by()
    maintenance.read_published()
    maintenance.run()
    assert banner() == "new", "nobody else knew of it"


def test_what_could_not_be_stored_is_dropped_when_another_process_publishes(
    maintenance: Maintenance, fetch: Fetch
) -> None:
    maintenance.run()
    SmallCache.limit = 0
    fetch(make_document(OLD, banner_text="old"))
    SmallCache.limit = 1_000_000
    maintenance.stand_by()
    publish(banner_text="of another leader")
    maintenance.read_published()
    maintenance.run()
    assert banner() == "of another leader"


def test_it_notifies_of_what_became_of_a_document(
    maintenance: Maintenance, fetch: Fetch, notified: list[Event]
) -> None:
    maintenance.run()
    fetch(make_document(OLD))
    fetch(make_document(NEW))
    fetch(make_document(NEW, banner_text="new"))
    assert [type(event) for event in notified if not isinstance(event, StoreWorked)] == [
        Published,
        Unchanged,
        Published,
    ]


def test_a_nudge_asks_for_one_fetch_and_is_answered_by_it(
    maintenance: Maintenance, fetch: Fetch, schedule: Schedule
) -> None:
    def is_due_soon() -> bool:
        return schedule.due() < time.monotonic() + 1

    maintenance.run()
    fetch(make_document(OLD))
    store = configured_store()
    store.write_nudge()
    assert not is_due_soon()
    maintenance.read_inbox()
    assert is_due_soon()
    maintenance.begin_fetch()
    schedule.begin_fetch(time.monotonic())
    maintenance.read_inbox()
    assert not is_due_soon(), "the same nudge"
    fetch(make_document(OLD))
    assert store.read_nudge() is None
    maintenance.read_inbox()
    assert not is_due_soon()


def test_a_nudge_that_comes_during_a_fetch_is_not_answered_by_it(maintenance: Maintenance) -> None:
    maintenance.run()
    maintenance.begin_fetch()
    mark = configured_store().write_nudge()
    maintenance.run()
    maintenance.publish(make_document(OLD))
    maintenance.end_fetch()
    assert configured_store().read_nudge() == mark


def test_a_nudge_is_not_answered_by_what_could_not_be_stored(maintenance: Maintenance, fetch: Fetch) -> None:
    store = configured_store()
    mark = store.write_nudge()
    maintenance.run()
    SmallCache.limit = 0
    fetch(make_document(OLD))
    assert store.read_nudge() == mark


def test_of_what_others_left_only_as_much_is_remembered_as_the_cache_keeps_for_them(maintenance: Maintenance) -> None:
    received = [received_now(WEBHOOK) for _ in range(3 * KEPT)]
    for announcement in received:
        maintenance.announce(announcement)
    assert all(map(maintenance.has_received, received[-KEPT:]))
    assert not any(map(maintenance.has_received, received[:KEPT]))


@pytest.mark.slow
def test_a_cache_that_hangs_is_waited_for_once(schedule: Schedule, hanging: type[HangingCache]) -> None:
    publisher = Publisher(source=FakeSource(make_document), store=configured_store())
    maintenance = Maintenance(publisher, schedule, StatusTracker(), notify=lambda event: None, clock=time.monotonic)
    maintenance.run()
    hanging.timeout = 0.6  # seconds; more than a cache that works needs
    hanging.open.clear()
    maintenance.publish(make_document(NEW, banner_text="new"))
    hanging.asked.clear()
    maintenance.run()
    assert len(hanging.asked) == 1
