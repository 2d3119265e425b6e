"""Signals whose receivers harm nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.environment.diff import Update
from django_flagsmith_realtime.listener.signal_sender import send_update
from django_flagsmith_realtime.signals import RobustSignal, flag_changed, flags_updated, snapshot_loaded
from tests.support.cases import each_case
from tests.support.documents import publish


class Unnamed:
    def __call__(self, **kwargs: Any) -> None:
        raise RuntimeError("from an object")


def fail(where: str, **kwargs: Any) -> None:
    raise RuntimeError(f"from a {where}")


async def afail(**kwargs: Any) -> None:
    raise RuntimeError("from a coroutine")


each_failing = each_case("failing", [Unnamed(), partial(fail, "partial"), afail])


@each_failing
def test_a_receiver_that_fails_is_logged_and_stops_nobody(failing: Any, caplog: pytest.LogCaptureFixture) -> None:
    signal, seen = RobustSignal(), []
    caplog.clear()

    def receive(**kwargs: Any) -> str:
        seen.append(kwargs)
        return "fine"

    signal.connect(failing)
    signal.connect(receive)
    answers = dict(signal.send_robust(None, name="x"))
    assert answers[receive] == "fine"
    assert isinstance(answers[failing], RuntimeError)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert str(caplog.records[0].exc_info[1]).startswith("from a")


@each_failing
def test_it_is_the_same_when_sent_from_a_coroutine(failing: Any, caplog: pytest.LogCaptureFixture) -> None:
    signal, seen = RobustSignal(), []
    caplog.clear()
    signal.connect(failing)
    signal.connect(lambda **kwargs: seen.append(kwargs), weak=False)
    asyncio.run(signal.asend_robust(None, name="x"))
    assert len(seen) == len(caplog.records) == 1


class TestChanges:
    @pytest.fixture
    def vandal(self) -> Iterator[Callable[..., Any]]:
        """A receiver that changes each flag it is given."""

        def vandalise(**kwargs: Any) -> None:
            changes = kwargs.get("changes", {}).values()
            flags = [kwargs.get("old"), kwargs.get("new"), *(flag for c in changes for flag in (c.old, c.new))]
            for flag in filter(None, flags):
                flag.value = "vandalised"

        for signal in (flags_updated, flag_changed, snapshot_loaded):
            signal.connect(vandalise)
        yield vandalise
        for signal in (flags_updated, flag_changed, snapshot_loaded):
            signal.disconnect(vandalise)

    def test_a_receiver_that_changes_a_flag_changes_no_reader(self, vandal: Any) -> None:
        one = publish(banner_text="one")
        two = publish(banner_text="two")
        send_update(Update.between(one, two))
        assert two.environment.flags["banner_text"].value == "two"
        assert one.environment.flags["banner_text"].value == "one"
        assert get_flags().get_feature_value("banner_text") == "two"
