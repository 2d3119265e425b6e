"""The loop, against a Flagsmith that listens on the loopback."""

from __future__ import annotations

import logging
import random
import string
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from standin.server import StandIn

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.listener import listener as listener_module
from django_flagsmith_realtime.listener.listener import Listener
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.signals import flag_changed
from tests.support import listening as listening_module
from tests.support.backends import SmallCache, use
from tests.support.cases import each_case
from tests.support.documents import configured_store, make_document
from tests.support.processes import wait_until

pytestmark = pytest.mark.usefixtures("quick")

Listening = Callable[..., AbstractContextManager[Listener]]


@pytest.fixture
def listening(standin: StandIn) -> Listening:
    """Run a listener for the stand-in in a thread; the settings may be added to."""
    return lambda **more: listening_module.listening(**{**standin.setting, "FRESHNESS": 0, **more})


def banner() -> object:
    snapshot = get_reader().current()
    return snapshot and snapshot.environment.flags["banner_text"].value


def is_connected(standin: StandIn) -> bool:
    return standin.counts.open_streams == 1


def test_the_flags_are_there_when_it_starts_and_a_change_is_published_with_one_request_each(
    standin: StandIn, listening: Listening
) -> None:
    with listening():
        wait_until(lambda: banner() == "Welcome to Northwind")
        wait_until(lambda: is_connected(standin))
        assert standin.counts.environment_document == 1
        standin.set_flag("banner_text", value="Sale")
        wait_until(lambda: banner() == "Sale")
    assert standin.counts.environment_document == 2


def test_a_stream_key_that_is_configured_needs_no_document(standin: StandIn, listening: Listening) -> None:
    with listening(ENVIRONMENT_KEY="ser.wrong", STREAM_KEY=standin.client_key):
        wait_until(lambda: is_connected(standin))


def test_an_open_stream_that_will_announce_nothing_is_warned_about_once(
    standin: StandIn, listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    standin.document["project"]["enable_realtime_updates"] = False
    with listening():
        wait_until(lambda: is_connected(standin) and "real-time updates are off" in caplog.text)
        standin.set_flag("banner_text", value="Sale")
        wait_until(lambda: banner() == "Sale")
    assert caplog.text.count("real-time updates are off") == 1


@pytest.mark.slow
def test_each_change_sends_its_signals_in_order(standin: StandIn, listening: Listening) -> None:
    seen = []

    def note(*, name: str, new: Any, **kwargs: Any) -> None:
        seen.append((name, new.value))

    flag_changed.connect(note)
    try:
        with listening():
            wait_until(lambda: is_connected(standin) and banner())
            for step in range(6):
                standin.set_flag("banner_text", value=str(step))
                wait_until(lambda step=step: banner() == str(step))
            wait_until(lambda: len(seen) == 6)
    finally:
        flag_changed.disconnect(note)
    assert seen == [("banner_text", str(step)) for step in range(6)]


@pytest.mark.slow
def test_signals_that_wait_for_freshness_hold_up_no_update(standin: StandIn, listening: Listening) -> None:
    seen = []

    def note(*, new: Any, **kwargs: Any) -> None:
        seen.append((new.value, banner()))

    flag_changed.connect(note)
    try:
        with listening(FRESHNESS=1):
            wait_until(lambda: is_connected(standin) and banner())
            for text in ("one", "two"):
                standin.set_flag("banner_text", value=text)
                wait_until(lambda text=text: banner() == text)
            assert seen == []
            wait_until(lambda: len(seen) == 2)
    finally:
        flag_changed.disconnect(note)
    assert seen == [("one", "two"), ("two", "two")]


@pytest.mark.slow
def test_a_receiver_in_the_listeners_process_reads_the_flags_of_its_signal(
    standin: StandIn, listening: Listening
) -> None:
    read = []

    def note(**kwargs: Any) -> None:
        read.append(get_flags().get_feature_value("banner_text"))

    flag_changed.connect(note)
    try:
        with listening():
            wait_until(lambda: is_connected(standin) and banner())
            for text in ("one", "two"):
                standin.set_flag("banner_text", value=text)
                wait_until(lambda text=text: banner() == text)
            wait_until(lambda: len(read) == 2)
    finally:
        flag_changed.disconnect(note)
    assert read == ["one", "two"]


@pytest.mark.slow
def test_of_a_burst_the_last_state_arrives_and_nobody_steps_back(standin: StandIn, listening: Listening) -> None:
    seen = [0]
    with listening():
        wait_until(lambda: is_connected(standin) and banner())
        for step in range(1, 51):
            standin.set_flag("max_cart_items", value=step)
        while seen[-1] != 50:
            snapshot = get_reader().current()
            assert snapshot
            value = snapshot.environment.flags["max_cart_items"].value
            seen.append(0 if value == 25 and seen[-1] == 0 else int(str(value)))
    assert seen == sorted(seen)
    assert standin.counts.environment_document <= 2 + 50


def test_what_flagsmith_does_not_announce_is_found_by_the_safety_poll(standin: StandIn, listening: Listening) -> None:
    with listening(REALTIME_URL=None, POLL_INTERVAL=0.05):
        wait_until(banner)
        standin.set_flag("banner_text", value="Sale")
        wait_until(lambda: banner() == "Sale")
    assert standin.counts.stream == 0


@pytest.mark.slow
def test_a_routine_end_of_the_stream_is_silent_and_costs_no_request(
    tmp_path: Path, listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        StandIn(state_path=tmp_path / "other.json", stream_seconds=0.2) as short,
        listening(**short.setting),
    ):
        wait_until(lambda: short.counts.stream >= 2)
        short.set_flag("banner_text", value="Sale")
        wait_until(lambda: banner() == "Sale")
    assert short.counts.environment_document <= 3


def test_a_listener_that_starts_before_flagsmith_heals_by_itself(
    tmp_path: Path, listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    state = tmp_path / "late.json"
    with StandIn(state_path=state) as standin:
        port = int(standin.url.rpartition(":")[2])
    with listening(**standin.setting):
        wait_until(lambda: "refused the connection" in caplog.text)
        with StandIn(state_path=state, port=port) as standin:
            wait_until(lambda: banner() == "Welcome to Northwind")
            wait_until(lambda: is_connected(standin))
            wait_until(lambda: "Flagsmith fetch: works again" in caplog.text)
            warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1, "an outage is said once"
    assert not any(record.exc_info for record in caplog.records)


@each_case(
    ("setting", "said"),
    [
        ({"ENVIRONMENT_KEY": "ser.wrong"}, "refused the request (403)"),
        ({"API_URL": "http://127.0.0.1:1/"}, "refused the connection"),
    ],
)
def test_what_is_published_stays_while_flagsmith_cannot_be_asked(
    listening: Listening, caplog: pytest.LogCaptureFixture, setting: dict[str, str], said: str
) -> None:
    with listening():
        wait_until(banner)
        held = get_reader().current()
    with listening(**setting):
        wait_until(lambda: said in caplog.text)
        if "ENVIRONMENT_KEY" not in setting:
            assert get_reader().current() is held
    assert "ser." not in caplog.text.replace('start with "ser."', "")


@pytest.mark.slow
def test_a_stream_that_is_refused_is_logged_once_and_the_flags_are_polled(
    standin: StandIn, listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(REALTIME_URL=standin.url + "/nothing/", FALLBACK_POLL_INTERVAL=1):
        wait_until(banner)
        wait_until(lambda: "no such endpoint (404)" in caplog.text)
        standin.set_flag("banner_text", value="Sale")
        wait_until(lambda: banner() == "Sale")
    assert caplog.text.count("Flagsmith stream:") == 1


@pytest.mark.slow
def test_a_project_without_real_time_is_logged_and_polled(
    standin: StandIn, listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    standin.document["project"]["enable_realtime_updates"] = False
    with listening(FALLBACK_POLL_INTERVAL=1):
        wait_until(banner)
        wait_until(lambda: "Project Settings" in caplog.text)
        started = standin.counts.environment_document
        wait_until(lambda: standin.counts.environment_document > started, timeout=3)


def test_a_stop_takes_effect_while_the_stream_is_read(standin: StandIn, listening: Listening) -> None:
    with listening() as listener:
        wait_until(lambda: is_connected(standin))
        began = time.monotonic()
        listener.stop()
        wait_until(lambda: not is_connected(standin), timeout=1)
    assert time.monotonic() - began < 1


def test_the_published_flags_are_put_back_although_a_newer_version_does_not_fit(
    standin: StandIn, listening: Listening, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(settings, "tests.support.backends.SmallCache")
    SmallCache.limit = 1_000_000
    monkeypatch.setattr(listener_module, "MAINTENANCE_SECONDS", 0.05)
    with listening():
        wait_until(lambda: is_connected(standin) and banner())
        SmallCache.limit = 10_000
        standin.set_flag("banner_text", value="".join(random.Random(1).choices(string.printable, k=20_000)))
        wait_until(lambda: SmallCache.refused)
        caches["default"].clear()
        store = configured_store()
        wait_until(lambda: (head := store.read_head()) and store.read_environment(head.sequence))


def test_a_stale_body_does_not_replace_the_newer_one_that_waits_for_the_cache(
    standin: StandIn, listening: Listening, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(settings, "tests.support.backends.SmallCache")
    SmallCache.limit = 1_000_000
    monkeypatch.setattr(listener_module, "MAINTENANCE_SECONDS", 0.05)
    with listening(REALTIME_URL=None) as listener:
        wait_until(banner)
        SmallCache.limit = 0
        stale, new = (make_document(f"2030-01-01T00:00:0{second}", banner_text=str(second)) for second in (1, 2))
        listener._put(listener._term, new)
        listener._put(listener._term, stale)
        wait_until(lambda: listener._queue.empty() and SmallCache.refused)
        SmallCache.limit = 1_000_000
        wait_until(lambda: banner() == "2")
