"""What a listener does with the cache, and leaves when another leads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.environment.snapshot import Document
from django_flagsmith_realtime.listener.factory import build_store
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.listener.schedule import Schedule
from django_flagsmith_realtime.listener.status_tracker import StatusTracker
from django_flagsmith_realtime.listener.upkeep import Upkeep
from tests.support.backends import HangingCache, SmallCache, use
from tests.support.documents import configured_store, make_document, publish
from tests.support.sources import FakeSource
from tests.unit.listener.test_listener import banner

OLD, NEW = ("2030-01-01T00:00:01", "2030-01-01T00:00:02")


@pytest.fixture
def schedule() -> Schedule:
    return Schedule(poll_interval=300, fallback_poll_interval=30, now=time.monotonic())


@pytest.fixture
def upkeep(settings: Any, schedule: Schedule) -> Iterator[Upkeep]:
    use(settings, "tests.support.backends.SmallCache")
    SmallCache.limit = 1_000_000
    publisher = Publisher(source=FakeSource(make_document), store=build_store(get_config()))
    status_tracker = StatusTracker()
    yield Upkeep(
        publisher=publisher,
        schedule=schedule,
        status_tracker=status_tracker,
        tell=lambda event: None,
        clock=time.monotonic,
    )
    SmallCache.limit = 1_000_000
    publisher.close()


@pytest.fixture
def take(upkeep: Upkeep, schedule: Schedule) -> Callable[[Document], None]:
    """Hand over a document as the answer to a request."""

    def take(document: Document) -> None:
        schedule.begin(time.monotonic())
        upkeep.begin_request()
        upkeep.take(document)

    return take


def test_what_could_not_be_stored_is_stored_when_the_cache_works_again(
    upkeep: Upkeep, take: Callable[[Document], None]
) -> None:
    upkeep.tend()
    SmallCache.limit = 0
    take(make_document(NEW, banner_text="new"))
    assert banner() is None
    SmallCache.limit = 1_000_000
    upkeep.stand_by()
    upkeep.follow()
    upkeep.tend()
    assert banner() == "new", "nobody else knew of it"


def test_what_could_not_be_stored_is_dropped_when_somebody_else_publishes(
    upkeep: Upkeep, take: Callable[[Document], None]
) -> None:
    upkeep.tend()
    SmallCache.limit = 0
    take(make_document(OLD, banner_text="old"))
    SmallCache.limit = 1_000_000
    upkeep.stand_by()
    publish(banner_text="of another leader")
    upkeep.follow()
    upkeep.tend()
    assert banner() == "of another leader"


def test_a_nudge_asks_for_one_request_and_is_answered_by_it(
    upkeep: Upkeep, take: Callable[[Document], None], schedule: Schedule
) -> None:
    upkeep.tend()
    take(make_document(OLD))
    store = configured_store()
    store.write_nudge()
    assert schedule.due() > time.monotonic() + 1
    upkeep.tend()
    assert schedule.due() <= time.monotonic() + 0.25
    take(make_document(OLD))
    assert store.read_nudge() is None
    upkeep.tend()
    assert schedule.due() > time.monotonic() + 1


def test_a_nudge_that_comes_during_a_request_is_not_answered_by_it(upkeep: Upkeep, schedule: Schedule) -> None:
    upkeep.tend()
    schedule.begin(time.monotonic())
    upkeep.begin_request()
    mark = configured_store().write_nudge()
    upkeep.tend()
    upkeep.take(make_document(OLD))
    assert configured_store().read_nudge() == mark


def test_a_nudge_is_not_answered_by_what_could_not_be_stored(upkeep: Upkeep, take: Callable[[Document], None]) -> None:
    store = configured_store()
    mark = store.write_nudge()
    upkeep.tend()
    SmallCache.limit = 0
    take(make_document(OLD))
    assert store.read_nudge() == mark


@pytest.mark.slow
def test_a_cache_that_hangs_is_waited_for_once(
    upkeep: Upkeep, take: Callable[[Document], None], hanging: type[HangingCache]
) -> None:
    upkeep.tend()
    hanging.timeout = 0.6  # seconds; more than a cache that works needs
    hanging.open.clear()
    take(make_document(NEW, banner_text="new"))
    hanging.asked.clear()
    upkeep.tend()
    assert len(hanging.asked) == 1
