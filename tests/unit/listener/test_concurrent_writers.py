"""Several writers at once, each of which may sleep between any two operations: the last state asked for stays."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import override_settings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_flagsmith_realtime.environment.snapshot import Document, Snapshot
from django_flagsmith_realtime.exceptions import Overtaken, StoreError
from django_flagsmith_realtime.listener import publisher as publisher_module
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.storage import cache as cache_module
from django_flagsmith_realtime.storage.store import Store
from tests.support.documents import banner, configured_store, make_document, payload_key
from tests.support.sources import FakeSource

WRITERS = 3
STEPS = 15  # a refresh takes no more, where nobody interferes
# Two versions in a row differ in their date alone.
STATES = [make_document(f"2026-11-22T20:00:{index:02}Z", banner_text=str(index // 2)) for index in range(10)]


PAYLOADS = {state.environment.version: b64encode(state.environment.payload).decode("ascii") for state in STATES}


class Writer(threading.Thread):
    """Refreshes the flags once, a step at a time: an operation of the cache, or a request."""

    def __init__(self, flagsmith: Flagsmith) -> None:
        super().__init__(daemon=True)
        self._publisher = Publisher(source=flagsmith, store=configured_store())
        self._may_go, self._sleeps = threading.Semaphore(0), threading.Semaphore(0)
        self.is_done = False
        self.start()
        self._sleeps.acquire()

    def run(self) -> None:
        self.sleep()
        try:
            while not self.is_done:
                with suppress(StoreError):  # as the listener does: another head stood where this one was written
                    self._publisher.refresh()
                    self.is_done = True
        finally:
            self.is_done = True
            self._sleeps.release()

    def sleep(self) -> None:
        self._sleeps.release()
        self._may_go.acquire()

    def step(self) -> None:
        if not self.is_done:
            self._may_go.release()
            assert self._sleeps.acquire(timeout=10)

    def finish(self) -> None:
        while not self.is_done:
            self.step()


def sleep() -> None:
    """Let the writer sleep whose thread this is."""
    if isinstance(thread := threading.current_thread(), Writer):
        thread.sleep()


class SteppedCache(LocMemCache):
    """Lets a writer sleep before each operation."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        sleep()
        return super().get(*args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> None:
        sleep()
        super().set(*args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> bool:
        sleep()
        return super().add(*args, **kwargs)


class Flagsmith(FakeSource):
    """Answers with the state of the moment."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.state = 0
        self.last_answer = 0

    def _answer(self) -> Document:
        sleep()
        self.last_answer = self.state
        return STATES[self.state]


def is_whole(store: Store) -> bool:
    """Tell whether a reader that looks now finds the payload which the head promises."""
    head = store.read_head()
    return head is None or caches["default"].get(payload_key(head)) == PAYLOADS[head.version]


def take_turn(leader: Publisher) -> None:
    """Do what the listener does when it tends the cache."""
    try:
        leader.repair()
    except Overtaken:
        leader.refresh()


Move = tuple[int, int] | Literal["change", "the leader refreshes"]
steps = st.tuples(st.integers(min_value=0, max_value=WRITERS - 1), st.integers(min_value=1, max_value=STEPS))
moves = st.one_of(steps, steps, st.just("change"), st.just("the leader refreshes"))


class Clock:
    """Stands still: all requests come in the same millisecond."""

    time_ns = staticmethod(lambda: 1_795_372_800 * 10**9)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)
    time = staticmethod(lambda: 1_795_372_800.0)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@example(schedule=["change", (2, 7), "the leader refreshes", "change"], order=[0, 1, 2])  # a date written after a sleep
@given(schedule=st.lists(moves, max_size=40), order=st.permutations(range(WRITERS)))
def test_any_order_of_writers_ends_in_the_last_state_asked_for(schedule: list[Move], order: list[int]) -> None:
    play(schedule, order)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, STEPS))
def test_two_writers_may_sleep_at_any_two_points(first: int) -> None:
    for second in range(1, STEPS):
        play([(0, first), "change", "change", (1, second), (0, STEPS)], [1, 0])
        play([(0, first), "change", "change", (1, second), "the leader refreshes", (0, STEPS)], [1, 0])


def play(schedule: Sequence[Move], order: Sequence[int]) -> None:
    """Let writers take their steps, then finish in an order; compare what is left with the last answer."""
    setting = {"default": {"BACKEND": f"{__name__}.SteppedCache"}}
    with override_settings(CACHES=setting), pytest.MonkeyPatch.context() as patch:
        patch.setattr(publisher_module, "time", Clock)
        patch.setattr(cache_module, "READ_BACK_DELAYS", (0.0,))
        caches["default"].clear()
        flagsmith, store = Flagsmith(), configured_store()
        leader = Publisher(source=flagsmith, store=store)
        leader.refresh()
        writers = [Writer(flagsmith) for _ in range(WRITERS)]
        for move in schedule:
            make(move, flagsmith, leader, writers, store)
        for index in order:
            writers[index].finish()
        writers[-1].finish()
        take_turn(leader)

        head = store.read_head()
        assert head
        assert head.updated_at == STATES[flagsmith.last_answer].updated_at
        environment = store.read_environment(head.sequence)
        assert environment
        assert banner(Snapshot(head, environment)) == str(flagsmith.last_answer // 2)


def make(move: Move, flagsmith: Flagsmith, leader: Publisher, writers: list[Writer], store: Store) -> None:
    if move == "change":
        flagsmith.state = min(flagsmith.state + 1, len(STATES) - 1)
    elif move == "the leader refreshes":
        leader.refresh()
    else:
        index, count = move
        for _ in range(count):
            writers[index].step()
            assert is_whole(store)
