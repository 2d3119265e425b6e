"""Whom the fan-out sends what, and when, with a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.live import events
from django_flagsmith_realtime.live.events import (
    COUNTED_SECONDS,
    LOOK_SECONDS,
    MAX_OTHERS,
    NOTIFIED_PER_SECOND,
    PING,
    PING_SECONDS,
    REPEAT_SECONDS,
    UNREAD_SECONDS,
    Fanout,
    Subscriber,
    environment_event,
    page_event,
)
from tests.support.backends import HangingCache, RecordingCache
from tests.support.documents import configured_store, publish
from tests.support.processes import wait_until


class Streams:
    """A fan-out that sends when the test says so."""

    def __init__(self, stack: ExitStack) -> None:
        self.now = 1_000.0
        self.fanout = Fanout(clock=lambda: self.now)
        self.fanout._task = asyncio.get_running_loop().create_future()  # type: ignore[assignment] # starts none of its own
        self._stack = stack

    def open(self, key: str | None = None) -> Subscriber:
        subscriber = Subscriber(key)
        self._stack.enter_context(self.fanout.subscribed(subscriber))
        return subscriber

    async def turn(self, seconds: float = 1.0) -> list[tuple[Subscriber, bytes]]:
        """Do what the fan-out's task does once a second; return what it sent."""
        self.now += seconds
        await self.fanout.look()
        due = self.fanout.due(self.now)
        for subscriber, message in due:
            self.fanout.send(subscriber, message)
        return due


@contextmanager
def streams() -> Iterator[Streams]:
    with ExitStack() as stack:
        yield Streams(stack)


def on_a_loop(test: Callable[..., Any]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@on_a_loop
async def test_a_change_is_sent_once_to_each_page() -> None:
    with streams() as live:
        pages = [live.open() for _ in range(3)]
        event = page_event(publish().head)
        assert dict(await live.turn()) == dict.fromkeys(pages, event)
        assert {await page.get() for page in pages} == {event}
        for _ in range(5):
            assert await live.turn() == []


@on_a_loop
async def test_a_time_is_sent_again_two_seconds_later_and_then_no_more() -> None:
    """Flagsmith's JavaScript client drops an event that comes while it loads."""
    with streams() as live:
        snapshot = publish()
        sdk = live.open(snapshot.environment.api_key)
        time = [(sdk, environment_event(snapshot.head.changed_at))]
        assert await live.turn() == time
        assert await sdk.get()
        assert await live.turn(REPEAT_SECONDS - 0.1) == []
        assert await live.turn(0.1) == time
        assert await sdk.get()
        assert await live.turn(REPEAT_SECONDS) == []


@on_a_loop
async def test_a_change_is_sent_when_no_process_answers_with_the_flags_of_before_any_more(
    settings: Any, hanging: type[HangingCache], clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "RETRY_SECONDS", 5.0)
    settings.FLAGSMITH = {**settings.FLAGSMITH, "FRESHNESS": 10}
    with streams() as live:
        page = live.open()
        event = page_event(publish(banner_text="one").head)
        assert await live.turn() == []
        assert await live.turn(5) == [], "another process may trust for ten seconds what it read"
        assert await live.turn(5) == [(page, event)]

        settings.FLAGSMITH = {**settings.FLAGSMITH, "FRESHNESS": 0}
        event = page_event(publish(banner_text="two").head)
        hanging.open.clear()
        hanging.timeout = 0
        assert await live.turn() == []
        hanging.open.set()
        clock(1.1)
        assert await live.turn() == [], "another process may not have asked a cache again that failed"
        assert await live.turn(5) == [(page, event)]


@on_a_loop
async def test_a_client_that_reads_slowly_gets_the_latest_only(clock: Callable[[float], None]) -> None:
    with streams() as live:
        page = live.open()
        for text in ("one", "two", "three"):
            head = publish(banner_text=text).head
            clock(LOOK_SECONDS)
            assert await live.turn() == [(page, page_event(head))]
        assert await page.get() == page_event(head)
        assert page.waiting is None


@on_a_loop
async def test_a_ping_comes_after_a_silence_and_replaces_nothing() -> None:
    with streams() as live:
        page = live.open()
        assert await live.turn(PING_SECONDS - 0.1) == []
        assert await live.turn(0.1) == [(page, PING)]
        assert await page.get() == PING
        event = page_event(publish().head)
        live.fanout.send(page, event)
        live.fanout.send(page, PING)
        assert await page.get() == event


@on_a_loop
async def test_no_more_than_a_thousand_are_notified_in_a_second_in_any_order() -> None:
    with streams() as live:
        pages = [live.open() for _ in range(2 * NOTIFIED_PER_SECOND + 1)]
        publish()
        turns = [await live.turn() for _ in range(4)]
        assert [len(turn) for turn in turns] == [NOTIFIED_PER_SECOND, NOTIFIED_PER_SECOND, 1, 0]
        assert {page for turn in turns for page, _ in turn} == set(pages)


@on_a_loop
async def test_a_change_is_sent_before_the_pings_that_are_due() -> None:
    with streams() as live:
        silent = [live.open() for _ in range(NOTIFIED_PER_SECOND)]
        publish()
        await live.turn()
        changed = live.open("key")
        live.fanout._others = {"key": b"time"}
        due = await live.turn(PING_SECONDS)
        assert due[0] == (changed, b"time")
        assert {subscriber for subscriber, _ in due[1:]} < set(silent)


@on_a_loop
async def test_a_client_that_does_not_read_for_a_minute_is_dropped() -> None:
    async def never_read(page: Subscriber) -> None:
        page.task = asyncio.current_task()
        await asyncio.Event().wait()

    with streams() as live:
        page, reading = live.open(), live.open()
        task = asyncio.create_task(never_read(page))
        await asyncio.sleep(0)
        publish()
        await live.turn()
        assert await reading.get()
        for _ in range(int(UNREAD_SECONDS) - 1):
            await live.turn()
            live.fanout.drop_unread(live.now)
        await asyncio.sleep(0)
        assert not task.done()
        live.fanout.drop_unread(live.now + 1)
        await asyncio.wait([task])
        assert task.cancelled()


@on_a_loop
async def test_at_the_end_all_come_back_at_different_times() -> None:
    with streams() as live:
        pages = [live.open() for _ in range(100)]
        publish()
        await live.turn()
        live.fanout.end()
        live.fanout.send(pages[0], b"too late")
        ends = [(await page.get()).decode() for page in pages]
        assert all(page.is_last and page.waiting is None for page in pages)
        milliseconds = [int(end.removeprefix("retry: ").strip()) for end in ends]
        assert min(milliseconds) >= 1_000
        assert max(milliseconds) <= 10_000
        assert len(set(milliseconds)) > 50


@on_a_loop
async def test_the_times_of_other_environments_are_read_only_where_queue_change_can_store_them(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "tests.support.backends.RecordingCache"}}
    RecordingCache.operations.clear()
    store, published = configured_store(), publish()
    store.write_stream_time("theirs", 1_795_372_800_000_001)
    with streams() as live:
        sdk, unknown = live.open("theirs"), live.open("unknown")
        RecordingCache.operations.clear()
        await live.fanout._turn(live.now)
        assert (sdk.waiting, unknown.waiting) == (None, None)
        assert not [name for operation, name in RecordingCache.operations if ":stream:" in name]
        settings.FLAGSMITH = {**settings.FLAGSMITH, "REALTIME_TOKEN": "token"}
        await live.fanout._turn(live.now)
        assert sdk.waiting == environment_event(1_795_372_800_000_001)
        assert unknown.waiting is None
        assert live.fanout.latest(published.environment.api_key)


@on_a_loop
async def test_environments_with_many_streams_are_read_first(settings: Any) -> None:
    settings.FLAGSMITH = {**settings.FLAGSMITH, "REALTIME_TOKEN": "token"}
    configured_store().write_stream_time("theirs", 1)
    with streams() as live:
        for number in range(MAX_OTHERS + 10):
            live.open(f"nobody's {number}")
        sdks = [live.open("theirs") for _ in range(2)]
        await live.fanout._turn(live.now)
        assert {sdk.waiting for sdk in sdks} == {environment_event(1)}


@on_a_loop
async def test_the_number_of_streams_is_stored_every_ten_seconds() -> None:
    store = configured_store()
    publish()
    with streams() as live, streams() as of_another_process:
        live.open()
        for _ in range(2):
            of_another_process.open()
            await of_another_process.fanout._turn(live.now)
        await live.fanout._turn(live.now)
        await asyncio.to_thread(wait_until, lambda: store.read_open_streams() == 2)
        await of_another_process.fanout._turn(live.now + COUNTED_SECONDS)
        await asyncio.to_thread(wait_until, lambda: store.read_open_streams() == 3)


@on_a_loop
async def test_the_task_ends_with_the_last_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_SECONDS", 0.01)
    fanout = Fanout()
    with fanout.subscribed(Subscriber()):
        await asyncio.sleep(0)
        task = fanout._task
        assert task
    await asyncio.wait([task], timeout=10)
    assert task.done()
    assert len(fanout) == 0


@given(st.lists(st.sampled_from(["change", "turn", "read", "open", "close"]), max_size=40))
def test_each_open_stream_learns_of_the_latest(steps: list[str]) -> None:
    """Whatever happens before: two turns after the last change, each client has it or it waits for the client."""

    async def run() -> None:
        clock = 0.0
        fanout = Fanout(clock=lambda: clock)
        latest, number = b"0", 0
        fanout._ours = {None: latest}
        opened: list[tuple[Subscriber, ExitStack]] = []
        for step in [*steps, "turn", "turn"]:
            if step == "change":
                number += 1
                fanout._ours = {None: b"%d" % number}
            elif step == "turn":
                clock += 1.0
                for subscriber, message in fanout.due(clock):
                    fanout.send(subscriber, message)
            elif step == "read" and opened and opened[0][0].waiting:
                await opened[0][0].get()
            elif step == "open":
                stack = ExitStack()
                stack.enter_context(fanout.subscribed(subscriber := Subscriber()))
                opened.append((subscriber, stack))
            elif step == "close" and opened:
                opened.pop()[1].close()
        for subscriber, stack in opened:
            assert subscriber.sent == b"%d" % number
            stack.close()

    asyncio.run(run())
