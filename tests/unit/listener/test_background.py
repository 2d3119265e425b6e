"""A listener in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from django_flagsmith_realtime.listener import background
from django_flagsmith_realtime.listener.background import BackgroundListener
from django_flagsmith_realtime.listener.listener import Listener
from tests.support.cases import each_case
from tests.support.processes import wait_until


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("flagsmith-listener")]


@pytest.fixture
def build(settings: Any) -> Callable[[], Listener]:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "API_URL": "http://127.0.0.1:1/", "REALTIME_URL": None}
    return BackgroundListener()._build


def test_it_is_started_once_ends_when_it_is_stopped_and_may_be_started_again(build: Callable[[], Listener]) -> None:
    listener = BackgroundListener(build)
    for _ in range(2):
        listener.start()
        listener.start()
        assert threads() == ["flagsmith-listener"]
        assert listener.is_started
        listener.stop()
        assert threads() == []
        assert not listener.is_started
        listener.stop()


@each_case("bug", [RuntimeError("a bug"), SystemExit(1)])
def test_one_that_ends_by_a_bug_starts_again(
    bug: BaseException, build: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.01)
    caplog.clear()
    built = []

    def fail_twice() -> Listener:
        built.append(1)
        if len(built) < 3:
            raise bug
        return build()

    listener = BackgroundListener(fail_twice)
    listener.start()
    wait_until(lambda: len(built) == 3)
    listener.stop()
    assert caplog.text.count("failed in an unexpected way") == 2


def test_one_whose_thread_gets_no_time_says_so(build: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "STARVED_SECONDS", 0.05)
    go_on = threading.Event()

    def build_late() -> Listener:
        go_on.wait(10)
        return build()

    listener = BackgroundListener(build_late)
    assert not listener.is_starved
    listener.start()
    wait_until(lambda: listener.is_starved)
    go_on.set()
    wait_until(lambda: not listener.is_starved)
    listener.stop()
    assert not listener.is_starved
