"""What a process counts, and that it waits in memory where nobody can collect it."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_flagsmith_realtime import Identity, flags_scope, get_flags
from django_flagsmith_realtime.reading import usage as module
from django_flagsmith_realtime.reading.usage import UsageCounter, usage_counter
from django_flagsmith_realtime.storage import usage
from django_flagsmith_realtime.storage.usage import UsageBoxes
from django_flagsmith_realtime.test import override_flags
from tests.support.backends import RecordingCache
from tests.support.cases import each_case
from tests.support.documents import KEY, configured_store, publish

SETTING = {"ENVIRONMENT_KEY": KEY, "USAGE": True, "FRESHNESS": 3_600, "DEFAULTS": {"planned": True}}


@pytest.fixture(autouse=True)
def counting(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count, but leave it to the test when counts are written."""
    monkeypatch.setattr(module, "WRITE_SECONDS", 3_600)
    monkeypatch.setattr(usage, "BOXES", 8)
    settings.FLAGSMITH = SETTING


def collect() -> Counter[str]:
    return UsageBoxes(configured_store().cache).collect()


def collected() -> Counter[str]:
    """Return what the leader gets of what is counted by now."""
    usage_counter.flush()
    return collect() + collect()


def test_each_call_is_counted_as_the_sdk_does_and_nothing_that_flagsmith_does_not_know() -> None:
    publish()
    collect()
    for flags in (get_flags(), get_flags(identity=Identity("user_bob", {"plan": "gold"}))):
        for _ in range(3):
            flags.is_feature_enabled("dark_mode")
        flags.get_feature_value("banner_text")
        flags.get_flag("banner_text")
        flags.is_feature_enabled("planned")
        flags.get_feature_value("unknown", default="")
        "banner_text" in flags  # noqa: B015
    with override_flags(banner_text="set by a test"):
        get_flags().get_feature_value("banner_text")
    assert collected() == {"dark_mode": 6, "banner_text": 4}


@each_case("setting", [{"USAGE": False}, {"ENVIRONMENT_KEY": None, "SNAPSHOT_FILE": "flags.json"}])
def test_without_the_setting_and_without_flagsmith_nothing_is_counted(settings: Any, setting: dict[str, Any]) -> None:
    settings.FLAGSMITH = {**SETTING, **setting}
    publish()
    assert get_flags().pin.observers == ()


class Name(str):
    """Lets another thread run whenever a dict looks for it."""

    __slots__ = ()

    def __hash__(self) -> int:
        return str.__hash__(self)


def test_threads_lose_no_count() -> None:
    counter, barrier = UsageCounter(), threading.Barrier(4)

    def count(_: int) -> None:
        barrier.wait()
        for _ in range(250):
            counter.count(Name("banner_text"))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(count, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert counter._counts == {"banner_text": 1_000}


def test_counts_wait_for_a_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    usage_counter.count("banner_text")
    usage_counter.flush()
    collect()
    usage_counter.count("banner_text", 2)
    with monkeypatch.context() as patch:
        patch.setattr(usage, "TRIES", 0)
        usage_counter.flush()
    assert collected() == {"banner_text": 3}


def test_counts_wait_for_a_cache_that_fails(redis_server: Any, settings: Any) -> None:
    settings.CACHES = {"default": redis_server.cache()}
    publish()
    collect()
    flags = get_flags()
    flags.is_feature_enabled("banner_text")
    redis_server.kill()
    flags.is_feature_enabled("banner_text")
    usage_counter.flush()
    redis_server.restart()
    collect()
    assert collected() == {"banner_text": 2}


def test_the_child_of_a_fork_begins_with_nothing() -> None:
    usage_counter.count("banner_text")
    assert usage_counter._thread
    usage_counter.forget()
    assert not (usage_counter._counts or usage_counter._thread)


def test_an_unexpected_error_is_logged_and_counting_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Stopped(BaseException):
        pass

    steps = iter([None, ZeroDivisionError, None, Stopped])

    def step(*args: object) -> None:
        if error := next(steps):
            raise error

    counter = UsageCounter()
    monkeypatch.setattr(module, "time", type("Time", (), {"sleep": step}))
    monkeypatch.setattr(counter, "flush", step)
    with ThreadPoolExecutor(1) as thread, pytest.raises(Stopped):
        thread.submit(counter._run).result()
    assert caplog.messages == ["Counting flag reads failed in an unexpected way"]


def test_a_process_reads_one_key_and_writes_one(recording: list[tuple[str, str]], settings: Any) -> None:
    publish()
    collect()
    with flags_scope():
        get_flags().is_feature_enabled("banner_text")
    RecordingCache.operations.clear()
    for _ in range(100):
        get_flags().is_feature_enabled("banner_text")
    assert recording == []
    usage_counter.flush()
    assert [operation for operation, _ in recording] == ["get", "add"]
    usage_counter.flush()
    assert len(recording) == 2, "nothing was counted since"
