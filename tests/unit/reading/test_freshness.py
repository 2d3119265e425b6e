"""How often a process asks the cache, and how soon it sees a change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from celery.signals import task_postrun, task_prerun
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import RequestFactory, override_settings
from hypothesis import given
from hypothesis import strategies as st

import django_flagsmith_realtime.celery  # noqa: F401 - gives each task its scope
from django_flagsmith_realtime import aget_flags, flags_scope, get_flags
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from django_flagsmith_realtime.reading import reader
from django_flagsmith_realtime.reading.reader import get_reader
from tests.support.backends import HangingCache
from tests.support.cases import each_case
from tests.support.documents import publish
from tests.support.processes import wait_until

FRESHNESS = 60.0  # so long that a slow machine does not exceed it
SETTING = {"ENVIRONMENT_KEY": "ser.tests", "FRESHNESS": FRESHNESS}
Read = Callable[[], Any]


@pytest.fixture
def trusting(settings: Any) -> None:
    settings.FLAGSMITH = SETTING


def make_request() -> HttpRequest:
    return RequestFactory().get("/")


def banner(*args: Any) -> Any:
    return get_flags(*args).get_feature_value("banner_text")


async def banner_on_a_loop(*args: Any) -> Any:
    return banner(*args)


async def abanner(*args: Any) -> Any:
    return (await aget_flags(*args)).get_feature_value("banner_text")


def through_the_middleware() -> Any:
    return FlagsmithMiddleware(lambda request: HttpResponse(banner()))(make_request()).content.decode()


def in_a_scope() -> Any:
    with flags_scope():
        return banner()


@flags_scope()
async def ain_a_scope() -> Any:
    return await abanner()


def in_a_task() -> Any:
    task_prerun.send(None, task_id="7")
    try:
        return banner()
    finally:
        task_postrun.send(None, task_id="7")


TRUSTING: dict[str, Read] = {  # these ask the cache if that was done more than `FRESHNESS` seconds ago
    "outside of requests": banner,
    "outside of requests, awaited": lambda: asyncio.run(abanner()),
    "outside of requests, on an event loop": lambda: asyncio.run(banner_on_a_loop()),
    "outside of requests, in a thread of an event loop": lambda: asyncio.run(sync_to_async(banner)()),
    "a template": lambda: Template("{% load flagsmith %}{% flag_value 'banner_text' %}").render(Context()),
    "a request": lambda: banner(make_request()),
    "a request, awaited": lambda: asyncio.run(abanner(make_request())),
    "a request, on an event loop": lambda: asyncio.run(banner_on_a_loop(make_request())),
    "a request, through the middleware": through_the_middleware,
}
ASKING: dict[str, Read] = {  # these ask it in any case
    "a scope": in_a_scope,
    "a scope, awaited": lambda: asyncio.run(ain_a_scope()),
    "a task": in_a_task,
}
PUBLISH = "publish"


STEP = st.just(PUBLISH) | st.sampled_from([*TRUSTING, *ASKING]) | st.sampled_from([20, 59, 60])


@given(steps=st.lists(STEP, min_size=5, max_size=20))
def test_no_read_trusts_what_was_replaced_freshness_seconds_before(steps: list[Any]) -> None:
    """A signal is sent `FRESHNESS` seconds after its snapshot was stored: its receivers rely on this."""
    now, stored_at = 0.0, []
    with pytest.MonkeyPatch.context() as patch, override_settings(FLAGSMITH=SETTING):
        patch.setattr(reader, "time", SimpleNamespace(monotonic=lambda: now))
        patch.setattr(reader, "WAIT_SECONDS", 30.0)  # however busy the machine is
        reader.drop_readers()
        caches["default"].clear()
        for step in [PUBLISH, *steps]:
            if step == PUBLISH:
                publish(banner_text=f"{len(stored_at)}")
                stored_at.append(now)
            elif isinstance(step, int):
                now += step
            else:
                trusted = 0 if step in ASKING else FRESHNESS
                replaced = [number for number, at in enumerate(stored_at[1:]) if at <= now - trusted]
                assert int({**TRUSTING, **ASKING}[step]()) not in replaced, step


@pytest.mark.usefixtures("trusting")
class TestTrust:
    @each_case("name", TRUSTING)
    def test_it_saves_the_question(self, name: str, recording: list[Any]) -> None:
        reader.drop_readers()
        publish(banner_text="one")
        TRUSTING[name]()
        recording.clear()
        for each in TRUSTING.values():
            assert each() == "one"
        assert recording == []

    @each_case("name", ASKING)
    def test_a_scope_and_a_task_ask_anew_and_once(self, name: str, recording: list[Any]) -> None:
        """The receiver of a signal may have started them."""
        reader.drop_readers()
        publish(banner_text="one")
        banner()
        publish(banner_text="two")
        assert banner() == "one"
        recording.clear()
        assert ASKING[name]() == banner() == "two"
        assert recording == [("get", "head"), ("get", "payload")]

    def test_a_scope_within_another_does_not_ask_again(self, recording: list[Any]) -> None:
        publish()
        with flags_scope():
            banner()
            recording.clear()
            assert in_a_scope() == in_a_task() == banner()
        assert recording == []

    def test_a_read_waits_for_the_answer_that_another_thread_waits_for(
        self, hanging: type[HangingCache], clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was held before is not trusted meanwhile."""
        publish(banner_text="one")
        assert banner() == "one"
        publish(banner_text="two")
        clock(FRESHNESS)
        monkeypatch.setattr(reader, "WAIT_SECONDS", 10)
        hanging.asked.clear()
        hanging.open.clear()
        with ThreadPoolExecutor(4) as threads:
            first = threads.submit(banner)
            wait_until(lambda: hanging.asked)
            names = [f"outside of requests{how}" for how in ("", ", awaited", ", on an event loop")]
            others = [threads.submit(TRUSTING[name]) for name in names]
            early = wait(others, 0.05).done
            hanging.open.set()
            assert [each.result() for each in (first, *others)] == ["two"] * 4
        assert not early

    def test_it_counts_from_the_question_not_from_the_answer(self, hanging: type[HangingCache], clock: Any) -> None:
        """Something newer may have been stored after the cache had answered, and before the answer was here."""
        publish(banner_text="one")
        hanging.asked.clear()
        hanging.open.clear()
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(banner)
            wait_until(lambda: hanging.asked)
            clock(FRESHNESS / 2)
            hanging.open.set()
            assert first.result() == "one"
        publish(banner_text="two")
        clock(FRESHNESS / 2)
        assert banner() == "two"

    def test_threads_that_need_to_ask_at_once_ask_once(self, hanging: type[HangingCache], clock: Any) -> None:
        publish()
        banner()
        clock(FRESHNESS)
        hanging.asked.clear()
        hanging.open.clear()
        with ThreadPoolExecutor(8) as threads:
            reads = [threads.submit(read) for read in TRUSTING.values()]
            wait_until(lambda: hanging.asked)
            hanging.open.set()
            assert len({read.result() for read in reads}) == 1
        assert len(hanging.asked) == 1


def test_without_freshness_each_request_asks_once(recording: list[Any]) -> None:
    publish()
    get_reader().current()
    recording.clear()
    for _ in range(3):
        request = make_request()
        assert [banner(request), asyncio.run(abanner(request))] == [banner(request)] * 2
    assert recording == [("get", "head")] * 3


def test_by_default_a_change_is_visible_after_a_tenth_of_a_second(settings: Any) -> None:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests"}
    publish(banner_text="one")
    assert banner() == "one"
    publish(banner_text="two")
    began = time.monotonic()
    wait_until(lambda: banner() == "two")
    assert time.monotonic() - began < 1
