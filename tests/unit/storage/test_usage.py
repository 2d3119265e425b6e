"""Counts on their way to the leader: none twice, whoever dies or leads at the same time; and the figures of a week."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from django.core.cache.backends.locmem import LocMemCache
from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.exceptions import StoreError
from django_flagsmith_realtime.storage import usage
from django_flagsmith_realtime.storage.cache import Cache
from django_flagsmith_realtime.storage.usage import DAY, Usage, UsageBoxes, parse_usage
from tests.support.backends import use
from tests.support.cases import each_case
from tests.support.documents import configured_store


class Died(Exception):
    """Of a leader."""


class SteppingCache(Cache):
    """Calls a function before each operation, which it numbers."""

    def __init__(self, before: Callable[[int], object]) -> None:
        super().__init__("default", configured_store().cache.namespace)
        self._before, self._steps = before, count()

    def _ask(self, *args: Any, **kwargs: Any) -> Any:
        self._before(next(self._steps))
        return super()._ask(*args, **kwargs)


class LosingCache(LocMemCache):
    """Loses the connection when it has added a box, before it can say so."""

    lost = 0

    def add(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        added = super().add(key, *args, **kwargs)
        if added and not type(self).lost:
            type(self).lost += 1
            raise ConnectionError
        return added


@pytest.fixture(autouse=True)
def few_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "BOXES", 8)
    monkeypatch.setattr(usage, "TRIES", 8)


def boxes() -> UsageBoxes:
    return UsageBoxes(configured_store().cache)


def put(**counts: int) -> bool:
    own = boxes()
    round = own.open_round()
    return round is not None and own.put(round, counts)


def collect_all() -> Counter[str]:
    """Collect as many rounds as are kept, one after the other."""
    return sum((boxes().collect() for _ in range(usage.KEPT_ROUNDS)), Counter[str]())


def test_what_processes_count_is_collected_once(each_cache: str) -> None:
    assert not put(early=1), "there is no round before the first leader"
    boxes().collect()
    assert put(a=1) and put(a=2, b=3)
    assert boxes().collect() == {}, "its round has just ended, and may still be written to"
    assert put(a=10)
    assert [boxes().collect() for _ in range(4)] == [{"a": 3, "b": 3}, {"a": 10}, {}, {}]


def test_of_two_leaders_at_once_one_posts_each_count() -> None:
    boxes().collect()
    for at in range(20):
        for number in range(5):
            assert put(a=10**number)
        found = Counter[str]()

        def other_leads(step: int, at: int = at, found: Counter[str] = found) -> None:
            if step == at:
                found.update(boxes().collect())
                put(b=1)

        for _ in range(2):
            found.update(UsageBoxes(SteppingCache(other_leads)).collect())
        found.update(collect_all())
        assert found["a"] == 11_111 and found["b"] in (0, 1, 2), at


@each_case(("at", "left"), [(0, {11}), (1, {11}), (2, {11}), (3, {11}), (4, {1, 10}), (5, {0})])
def test_what_a_leader_had_not_deleted_when_it_died_the_next_one_posts(at: int, left: set[int]) -> None:
    def die(step: int) -> None:
        if step == at:
            raise Died

    boxes().collect()
    assert put(a=1) and put(a=10)
    boxes().collect()
    with pytest.raises(Died):
        UsageBoxes(SteppingCache(die)).collect()
    assert collect_all()["a"] in left


def test_what_was_deleted_when_the_cache_fails_is_posted() -> None:
    def fail(step: int) -> None:
        if step == 4:
            raise StoreError

    boxes().collect()
    assert put(a=1) and put(a=1)
    boxes().collect()
    assert UsageBoxes(SteppingCache(fail)).collect() == {"a": 1}
    assert collect_all() == {"a": 1}


def test_counts_whose_answer_was_lost_are_not_stored_twice(settings: Any) -> None:
    use(settings, f"{__name__}.LosingCache")
    boxes().collect()
    assert put(a=1)
    assert LosingCache.lost == 1
    assert collect_all() == {"a": 1}


def test_counts_for_which_there_is_no_room_stay_in_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "BOXES", 2)
    monkeypatch.setattr(usage, "TRIES", 2)
    boxes().collect()
    assert [put(a=1) for _ in range(3)] == [True, True, False]
    assert collect_all() == {"a": 2}


@each_case("plain", [None, "text", {}, {"since": 1}, {"since": 1, "flags": []}, {"since": 1, "flags": {"a": [1]}}])
def test_other_content_is_no_usage(plain: object) -> None:
    assert parse_usage(plain) is None


@given(
    began=st.integers(0, 3 * DAY),
    reads=st.lists(st.tuples(st.integers(0, 3 * DAY), st.sampled_from("ab"), st.integers(1, 9)), max_size=30),
)
def test_the_mean_is_that_of_the_last_days_since_counting_began(began: int, reads: list[tuple[int, str, int]]) -> None:
    now, last, days = began, dict[str, int](), dict[str, Counter[int]]()
    found = Usage(since=now)
    for after, name, times in reads:
        now += after
        found = parse_usage(found.add({name: times}, now).to_plain()) or pytest.fail("it can't be parsed")
        last[name] = now
        days.setdefault(name, Counter())[now // DAY] += times
    today = now // DAY
    first = max(today - usage.KEPT_DAYS + 1, began // DAY)
    for name in "ab":
        assert found.idle_since(name) == last.get(name, began)
        reads_of_days = [days.get(name, Counter())[day] for day in range(first, today + 1)]
        assert found.reads_per_day(name, now) == sum(reads_of_days) / len(reads_of_days)
