"""What a process holds of the snapshot."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connections, transaction
from django.dispatch import Signal

from django_flagsmith_realtime.environment.snapshot import Snapshot
from django_flagsmith_realtime.exceptions import StoreError
from django_flagsmith_realtime.reading import event_loop
from django_flagsmith_realtime.reading import reader as reader_module
from django_flagsmith_realtime.reading.reader import STEP_BACK_SECONDS, Reader, drop_readers, get_reader
from django_flagsmith_realtime.signals import snapshot_loaded
from tests.support.backends import HangingCache, RecordingCache, use
from tests.support.cases import each_case
from tests.support.documents import KEY, banner, configured_store, make_document, payload_key, publish
from tests.support.paths import ROOT
from tests.support.processes import MemcachedServer, RedisServer, project_environment, wait_until


def listen(signal: Signal, receiver: Callable[..., Any]) -> Callable[[], object]:
    signal.connect(receiver, weak=False)
    return partial(signal.disconnect, receiver)


class TestFailingCache:
    def test_a_dead_redis_costs_a_transaction_nothing(
        self, redis_server: RedisServer, settings: Any, database_cache: Any
    ) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        publish(banner_text="one")
        assert banner(get_reader().current()) == "one"
        with connections["cache"].cursor() as cursor:
            cursor.execute("CREATE TABLE kept (id INTEGER)")
        with transaction.atomic("cache"), connections["cache"].cursor() as cursor:
            cursor.execute("INSERT INTO kept VALUES (1)")
            redis_server.kill()
            assert banner(get_reader().current()) == "one"
            cursor.execute("INSERT INTO kept VALUES (2)")
        with connections["cache"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM kept")
            assert cursor.fetchone() == (2,)

    def test_a_dead_redis_closes_no_connection_that_a_caller_reads_from(
        self, redis_server: RedisServer, settings: Any, database_cache: Any
    ) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        redis_server.kill()
        connections["cache"].ensure_connection()
        connections["cache"].close_at = time.monotonic()  # what CONN_MAX_AGE = 0 means
        assert get_reader().current() is None
        assert connections["cache"].connection is not None

    def test_a_database_connection_that_broke_is_made_anew(
        self, database_cache: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(banner_text="one")
        connections["cache"].connection.close()
        monkeypatch.setattr(connections["cache"], "is_usable", lambda: False)  # SQLite's says always yes
        with pytest.raises(StoreError, match="ProgrammingError"):
            configured_store().read_head()
        assert configured_store().read_head() is not None

    def test_what_is_held_survives_a_flush(self, redis_server: RedisServer, settings: Any) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        publish(banner_text="one")
        assert banner(get_reader().current()) == "one"
        redis_server.reset()
        assert banner(get_reader().current()) == "one"
        publish(banner_text="two")
        assert banner(get_reader().current()) == "two"

    def test_what_is_held_survives_a_redis_that_dies_and_heals_by_itself(
        self, redis_server: RedisServer, settings: Any, clock: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        settings.CACHES = {"default": redis_server.cache()}
        publish(banner_text="one")
        assert banner(get_reader().current()) == "one"
        redis_server.kill()
        for _ in range(3):
            assert banner(get_reader().current()) == "one"
            assert banner(asyncio.run(get_reader().acurrent())) == "one"
            clock(1.1)
        redis_server.restart()
        publish(banner_text="two")
        wait_until(lambda: clock(1.1) or banner(get_reader().current()) == "two")
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert "ConnectionError" in caplog.text
        assert KEY not in caplog.text

    def test_nothing_held_and_a_dead_cache_is_no_snapshot(self, redis_server: RedisServer, settings: Any) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        redis_server.kill()
        assert get_reader().current() is None
        assert asyncio.run(get_reader().acurrent()) is None

    def test_a_client_that_cannot_even_be_closed_is_no_snapshot(self, settings: Any) -> None:
        use(settings, "tests.support.backends.BrokenCache")
        assert get_reader().current() is None

    def test_a_dead_cache_is_probed_once_a_second(self, hanging: type[HangingCache], clock: Any) -> None:
        publish(banner_text="one")
        reader = get_reader()
        reader.current()
        hanging.open.clear()
        hanging.timeout = 0
        hanging.asked.clear()
        for _ in range(100):
            assert banner(reader.current()) == "one"
        assert len(hanging.asked) == 2, "on the connection that was open, and on a new one"
        clock(1.1)
        for _ in range(100):
            assert banner(reader.current()) == "one"
        assert len(hanging.asked) == 3

    @pytest.mark.slow
    def test_one_thread_probes_a_frozen_redis_while_the_others_are_served_at_once(
        self, redis_server: RedisServer, settings: Any, clock: Any
    ) -> None:
        settings.CACHES = {"default": redis_server.cache(socket_timeout=0.5)}
        publish(banner_text="one")
        reader = get_reader()
        assert banner(reader.current()) == "one"
        redis_server.freeze()
        reader.current()
        clock(1.1)

        def read(_: int) -> float:
            began = time.monotonic()
            assert banner(reader.current()) == "one"
            return time.monotonic() - began

        with ThreadPoolExecutor(16) as threads:
            durations = sorted(threads.map(read, range(200)))
        assert durations[-1] >= 0.4 > durations[-2]

        redis_server.thaw()
        clock(1.1)
        publish(banner_text="two")
        wait_until(lambda: clock(1.1) or banner(reader.current()) == "two")

    def test_whoever_waited_in_vain_for_a_look_that_hangs_does_not_wait_for_it_again(
        self, hanging: type[HangingCache], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reader_module, "WAIT_SECONDS", 0.02)
        publish(banner_text="one")
        reader = get_reader()
        reader.current()
        hanging.asked.clear()
        hanging.open.clear()
        with ThreadPoolExecutor(1) as executor:
            look = executor.submit(reader.current)
            wait_until(lambda: hanging.asked)
            began = time.monotonic()
            for _ in range(100):
                assert banner(reader.current()) == "one"
            assert time.monotonic() - began < 1  # 100 times 0.02 s are 2 s
            hanging.open.set()
            look.result()

    def test_threads_that_wait_for_the_first_look_at_a_frozen_cache_wait_once(
        self, hanging: type[HangingCache]
    ) -> None:
        hanging.open.clear()
        hanging.timeout = 0.05
        began = time.monotonic()
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(lambda _: get_reader().current(), range(8))) == [None] * 8
        assert time.monotonic() - began < 2
        assert len(hanging.asked) == 1

    def test_a_process_that_holds_nothing_probes_a_frozen_cache_with_one_thread_too(
        self, hanging: type[HangingCache], clock: Any
    ) -> None:
        hanging.open.clear()
        hanging.timeout = 0
        reader = get_reader()
        assert reader.current() is None
        clock(1.1)
        hanging.timeout = 5
        with ThreadPoolExecutor(1) as executor:
            probe = executor.submit(reader.current)
            wait_until(lambda: len(hanging.asked) == 2)
            clock(1.1)
            began = time.monotonic()
            assert reader.current() is None
            assert time.monotonic() - began < 1
            hanging.open.set()
            probe.result()

    def test_coroutines_are_served_while_the_reading_thread_hangs(
        self, hanging: type[HangingCache], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(banner_text="one")
        reader = get_reader()
        reader.current()
        monkeypatch.setattr(reader_module, "WAIT_SECONDS", 0.05)
        hanging.open.clear()

        async def read_all() -> list[Any]:
            return await asyncio.gather(*(reader.acurrent() for _ in range(20)))

        began = time.monotonic()
        assert {banner(snapshot) for snapshot in asyncio.run(read_all())} == {"one"}
        assert time.monotonic() - began < 2
        hanging.open.set()

    def test_who_asks_once_waits_for_a_cache_that_is_slow_but_not_for_one_that_hangs(
        self, hanging: type[HangingCache], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(banner_text="one")
        reader = get_reader()
        reader.current()
        monkeypatch.setattr(reader_module, "WAIT_SECONDS", 0.01)

        async def read(*, opens: bool) -> Any:
            hanging.open.clear()
            current = await reader.acurrent()
            if opens:
                asyncio.get_running_loop().call_later(0.02, hanging.open.set)
            return banner(current), banner(await reader.alatest())

        publish(banner_text="two")
        assert asyncio.run(read(opens=True)) == ("one", "two")
        publish(banner_text="three")
        monkeypatch.setattr(reader_module, "LATEST_SECONDS", 0.03)
        assert asyncio.run(read(opens=False)) == ("two", "two")

    def test_the_first_coroutine_after_an_outage_gets_what_was_published_meanwhile(
        self, hanging: type[HangingCache], clock: Any
    ) -> None:
        publish(banner_text="one")
        reader = get_reader()
        for text, read in (("two", reader.acurrent), ("three", reader.alatest)):
            reader.current()
            publish(banner_text=text)
            hanging.open.clear()
            hanging.timeout = 0
            before = banner(reader.current())
            hanging.open.set()
            assert banner(asyncio.run(read())) == before, "a cache that has just failed is not asked"
            clock(1.1)
            assert banner(asyncio.run(read())) == text

    @each_case("held", ["one", None])
    def test_sync_reads_block_an_event_loop_once_for_a_cache_that_hangs(
        self, hanging: type[HangingCache], monkeypatch: pytest.MonkeyPatch, held: str | None
    ) -> None:
        publish(banner_text="one")
        drop_readers()
        reader = get_reader()
        if held:
            reader.current()
        monkeypatch.setattr(reader_module, "WAIT_SECONDS", 0.02)
        monkeypatch.setattr(event_loop, "BLOCK_SECONDS", 0.02)
        hanging.open.clear()

        async def read() -> Any:
            return {banner(reader.current()) for _ in range(100)}

        began = time.monotonic()
        assert asyncio.run(read()) == {held}
        assert time.monotonic() - began < 1  # 100 times 0.02 s are 2 s
        hanging.open.set()


class TestReader:
    def test_a_read_sees_what_was_published_just_before(self, each_cache: str) -> None:
        for step in range(2):
            publish(banner_text=str(step))
            assert banner(get_reader().current()) == str(step)
            publish(banner_text=f"async {step}")
            assert banner(asyncio.run(get_reader().acurrent())) == f"async {step}"

    def test_a_read_takes_one_small_key_and_the_payload_only_where_it_moved(
        self, recording: list[tuple[str, str]]
    ) -> None:
        publish()
        reader = get_reader()
        recording.clear()
        reader.current()
        assert recording == [("get", "head"), ("get", "payload")]
        recording.clear()
        for _ in range(3):
            reader.current()
        assert recording == [("get", "head")] * 3

    def test_the_same_content_under_a_new_sequence_costs_no_payload(
        self, recording: list[tuple[str, str]], loaded: list[Any]
    ) -> None:
        publish()
        reader = get_reader()
        environment = reader.current().environment
        again = publish()
        recording.clear()
        snapshot = reader.current()
        assert snapshot.head == again.head
        assert snapshot.environment is environment
        assert recording == [("get", "head")]

    def test_a_confirmed_date_is_adopted_without_a_signal(self, loaded: list[Any]) -> None:
        snapshot = publish()
        get_reader().current()
        configured_store().confirm(snapshot, snapshot.head.updated_at + 1)
        assert get_reader().current().head.updated_at == snapshot.head.updated_at + 1
        assert len(loaded) == 1

    def test_max_age_says_how_long_to_trust_what_is_held(self, recording: list[Any], clock: Any) -> None:
        publish()
        reader = get_reader()
        reader.current()
        recording.clear()
        clock(4)
        reader.current(5)
        asyncio.run(reader.acurrent(5))
        assert recording == []
        clock(1.1)
        reader.current(5)
        assert recording == [("get", "head")]

    @each_case("max_age", [0, 60])
    def test_whoever_comes_while_the_first_look_is_under_way_waits_for_what_it_finds(
        self, hanging: type[HangingCache], max_age: float
    ) -> None:
        publish(banner_text="one")
        hanging.asked.clear()
        hanging.open.clear()
        drop_readers()
        reader = get_reader()
        with ThreadPoolExecutor(4) as threads:
            first = threads.submit(reader.current, max_age)
            wait_until(lambda: hanging.asked)
            others = [threads.submit(reader.current, max_age)]
            others.append(threads.submit(lambda: asyncio.run(reader.acurrent(max_age))))
            done = wait(others, 0.03).done
            hanging.open.set()
            assert [banner(each.result()) for each in (first, *others)] == ["one"] * 3
        assert not done

    def test_a_lower_sequence_is_ignored_for_a_while_then_believed(self, clock: Any) -> None:
        old, new = publish(banner_text="old"), publish(banner_text="new")
        reader = get_reader()
        assert banner(reader.current()) == "new"
        configured_store().confirm(old, old.head.updated_at)
        assert banner(reader.current()) == "new"
        clock(STEP_BACK_SECONDS - 0.5)
        assert banner(reader.current()) == "new"
        clock(1)
        assert banner(reader.current()) == "old"
        assert reader.current().sequence == old.sequence < new.sequence

    def test_a_lower_sequence_is_believed_although_the_clock_was_put_back_meanwhile(self, clock: Any) -> None:
        old, _ = publish(banner_text="old"), publish(banner_text="new")
        reader = get_reader()
        clock(1e9)  # as in a test that freezes it
        reader.current()
        configured_store().confirm(old, old.head.updated_at)
        assert banner(reader.current()) == "new"
        clock(-1e9)
        assert banner(reader.current()) == "new"
        clock(STEP_BACK_SECONDS + 1)
        assert banner(reader.current()) == "old"

    def test_the_wait_for_a_lower_sequence_begins_anew_after_a_higher_one(self, clock: Any) -> None:
        old, new = publish(banner_text="old"), publish(banner_text="new")
        reader, store = get_reader(), configured_store()
        reader.current()
        for head in (old, new, old):
            store.confirm(head, head.head.updated_at)
            assert banner(reader.current()) == "new"
            clock(STEP_BACK_SECONDS * 0.6)

    def test_a_head_whose_payload_is_gone_is_not_adopted(self) -> None:
        publish(banner_text="one")
        reader = get_reader()
        reader.current()
        two = publish(banner_text="two")
        caches["default"].delete(payload_key(two))
        assert banner(reader.current()) == "one"

    def test_threads_see_only_whole_snapshots_and_never_a_step_back(
        self, redis_server: RedisServer, settings: Any
    ) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        store = configured_store()
        documents = [make_document(banner_text=str(step), max_cart_items=step) for step in range(10)]
        head = store.publish(documents[0], after=None).head
        done = threading.Event()

        def read() -> list[tuple[int, Any, Any]]:
            seen = []
            while not done.is_set():
                snapshot = get_reader().current()
                flags = snapshot.environment.flags
                seen.append((snapshot.sequence, flags["banner_text"].value, flags["max_cart_items"].value))
            return seen

        with ThreadPoolExecutor(2) as threads:
            readers = [threads.submit(read) for _ in range(2)]
            for document in documents[1:]:
                head = store.publish(document, after=head).head
            wait_until(lambda: get_reader().current().head == head)
            done.set()
            for reader in readers:
                seen = reader.result()
                assert seen == sorted(seen)
                assert all(text == str(number) for _, text, number in seen)

    def test_one_reader_serves_the_whole_process(self) -> None:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            barrier = threading.Barrier(8)

            def get() -> Reader:
                barrier.wait()
                return get_reader()

            with ThreadPoolExecutor(8) as threads:
                assert len({id(future) for future in threads.map(lambda _: get(), range(8))}) == 1
        finally:
            sys.setswitchinterval(interval)

    def test_readers_that_are_dropped_leave_nothing_behind(
        self, memcached_server: MemcachedServer, settings: Any
    ) -> None:
        others = set(threading.enumerate())
        gc.freeze()  # what other tests left is not walked
        settings.CACHES = {"default": memcached_server.cache()}
        publish()
        asyncio.run(get_reader().acurrent())
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        gc.collect()
        wait_until(lambda: not any("reader" in each.name for each in {*threading.enumerate()} - others))


class TestAsync:
    def test_coroutines_share_looks_in_one_thread(self, hanging: type[HangingCache]) -> None:
        publish(banner_text="one")
        hanging.asked.clear()
        hanging.open.clear()
        reader = get_reader()

        async def read_all() -> list[Any]:
            tasks = [asyncio.create_task(reader.acurrent()) for _ in range(50)]
            while not hanging.asked:
                await asyncio.sleep(0.001)
            tasks += [asyncio.create_task(reader.acurrent()) for _ in range(50)]
            await asyncio.sleep(0)
            hanging.open.set()
            return await asyncio.gather(*tasks)

        assert {banner(snapshot) for snapshot in asyncio.run(read_all())} == {"one"}
        assert len(set(hanging.asked)) == 1
        assert hanging.asked[0].startswith("flagsmith-reader")
        assert len(hanging.asked) <= 4  # head and payload, then one more look for those who came during the first

    def test_a_caller_that_is_cancelled_breaks_no_other(self, hanging: type[HangingCache]) -> None:
        publish(banner_text="one")
        hanging.asked.clear()
        hanging.open.clear()
        reader = get_reader()

        async def read_all() -> Any:
            impatient = asyncio.create_task(reader.acurrent())
            patient = asyncio.create_task(reader.acurrent())
            while not hanging.asked:
                await asyncio.sleep(0.001)
            impatient.cancel()
            with pytest.raises(asyncio.CancelledError):
                await impatient
            hanging.open.set()
            return await patient

        assert banner(asyncio.run(read_all())) == "one"

    def test_event_loops_in_several_threads_share_the_reading_thread(self, hanging: type[HangingCache]) -> None:
        publish(banner_text="one")
        hanging.asked.clear()
        reader = get_reader()
        barrier = threading.Barrier(8)

        def read(_: int) -> Any:
            barrier.wait()
            return banner(asyncio.run(reader.acurrent()))

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(read, range(8))) == {"one"}
        assert len(set(hanging.asked)) == 1

    def test_both_kinds_of_read_hold_the_same_snapshot(self) -> None:
        publish()
        assert asyncio.run(get_reader().acurrent()) is get_reader().current(60)


@each_case("is_async", [False, True])
def test_a_read_on_an_event_loop_asks_by_itself_where_no_thread_can_start(
    is_async: bool, loaded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def read() -> Any:
        return banner(await get_reader().acurrent() if is_async else get_reader().current())

    drop_readers()
    loaded.clear()
    publish(banner_text="one")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert asyncio.run(read()) == "one"
        publish(banner_text="two")
        assert asyncio.run(read()) == "two"
    publish(banner_text="three")
    assert asyncio.run(read()) == "three"
    wait_until(lambda: len(loaded) == 3, "a signal for each")


@pytest.mark.slow
@pytest.mark.parametrize("read", ["await aget_flags()", "get_flags()"])
@pytest.mark.parametrize("began", [False, True])
def test_a_read_on_an_event_loop_works_after_the_main_thread_has_ended(
    read: str, began: bool, redis_server: RedisServer, settings: Any
) -> None:
    settings.CACHES = {"default": redis_server.cache()}
    publish(banner_text="one")
    script = f"""
import asyncio, django, threading, time
from concurrent.futures import thread
django.setup()
from django_flagsmith_realtime import aget_flags, get_flags
async def read():
    return ({read}).get_feature_value("banner_text")
def work():
    if {began}: asyncio.run(read())
    while not thread._shutdown: time.sleep(0.01)
    print(asyncio.run(read()))
threading.Thread(target=work).start()
"""
    environment = project_environment({"ENVIRONMENT_KEY": KEY}, redis_server.cache())
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("one\n", "")


class TestSnapshotLoaded:
    def test_it_fires_once_per_adoption_and_tells_what_was_before(self, loaded: list[dict[str, Any]]) -> None:
        one = publish(banner_text="one")
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: get_reader().current(), range(16)))
        two = publish(banner_text="two")
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: asyncio.run(get_reader().acurrent()), range(16)))
        assert [call["snapshot"].head for call in loaded] == [one.head, two.head]
        assert loaded[0]["previous"] is None
        assert loaded[1]["previous"] is loaded[0]["snapshot"]
        assert loaded[0]["sender"] is Snapshot

    def test_a_receiver_that_fails_harms_nobody(self, loaded: list[Any], caplog: pytest.LogCaptureFixture) -> None:
        class Unnamed:
            def __call__(self, **kwargs: Any) -> None:
                raise RuntimeError("object")

        def fail(what: str, **kwargs: Any) -> None:
            raise RuntimeError(what)

        async def afail(**kwargs: Any) -> None:
            raise RuntimeError("coroutine")

        receivers = [Unnamed(), partial(fail, "partial"), partial(fail, "function"), afail]
        stops = [listen(snapshot_loaded, receiver) for receiver in receivers]
        last: list[Any] = []
        stops.append(listen(snapshot_loaded, lambda **kwargs: last.append(kwargs)))
        try:
            publish(banner_text="one")
            assert banner(get_reader().current()) == "one"
            publish(banner_text="two")
            assert banner(asyncio.run(get_reader().acurrent())) == "two"
            wait_until(lambda: len(last) == 2)
        finally:
            for stop in stops:
                stop()
        assert len(loaded) == 2
        assert {str(record.exc_info[1]) for record in caplog.records} == {
            "object",
            "partial",
            "function",
            "coroutine",
        }

    def test_a_receiver_may_read_flags(self) -> None:
        seen: list[Any] = []
        stop = listen(snapshot_loaded, lambda **kwargs: seen.append(banner(get_reader().current())))
        try:
            publish(banner_text="one")
            get_reader().current()
            publish(banner_text="two")
            asyncio.run(get_reader().acurrent())
            wait_until(lambda: len(seen) == 2)
        finally:
            stop()
        assert seen == ["one", "two"]

    def test_a_coroutine_that_receives_may_read_flags(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader_module, "WAIT_SECONDS", 0.05)
        publish(banner_text="one")
        get_reader().current()
        seen: list[Any] = []

        async def areceiver(**kwargs: Any) -> None:
            seen.append(banner(await get_reader().acurrent()))

        stop = listen(snapshot_loaded, areceiver)
        try:
            publish(banner_text="two")
            asyncio.run(get_reader().acurrent())
            wait_until(lambda: seen == ["two"])
        finally:
            stop()


def test_an_outage_of_the_cache_is_one_warning_and_one_end_with_its_length(
    recording: Any, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError("the cache is away")

    caplog.set_level("INFO")
    publish()
    get_reader().current()
    with monkeypatch.context() as patch:
        patch.setattr(RecordingCache, "get", fail)
        for _ in range(3):
            get_reader().current()
            clock(10)
    get_reader().current()
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("WARNING", "Flags are served from memory. The cache failed: OSError: the cache is away."),
        ("INFO", "The cache of the flags answers again after 30 s"),
    ]


@each_case("is_failing", [False, True])
def test_a_clock_that_a_test_had_frozen_far_ahead_keeps_nobody_from_the_cache(
    is_failing: bool, settings: Any, clock: Any
) -> None:
    publish(banner_text="one")
    clock(1e9)
    caches = settings.CACHES
    if is_failing:
        use(settings, "tests.support.backends.BrokenCache")
    get_reader().current()
    reader, settings.CACHES = get_reader(), caches
    clock(-1e9)
    if is_failing:
        reader.store = configured_store()
    publish(banner_text="two")
    assert banner(reader.current()) == "two"
