"""The leader reports once a minute what all processes counted, and keeps when each flag was last read."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from standin.server import StandIn

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.exceptions import HttpError
from django_flagsmith_realtime.listener import factory
from django_flagsmith_realtime.listener.events import BecameLeader, BecameStandby, Tick
from django_flagsmith_realtime.listener.factory import build_usage_reporter
from django_flagsmith_realtime.listener.usage import REPORT_SECONDS, UsageReporter
from django_flagsmith_realtime.storage import usage
from django_flagsmith_realtime.storage.usage import UsageBoxes
from tests.support.cases import each_case
from tests.support.clock import Clock
from tests.support.documents import KEY, configured_store
from tests.support.http_server import Answer, Redirect, Refuse, Reset, ScriptedServer, Silence

PATH = "/api/v1/analytics/flags/"
ACCEPTED = Answer(200)


@pytest.fixture(autouse=True)
def few_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "BOXES", 8)


@pytest.fixture
def server(settings: Any) -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        url = f"http://127.0.0.1:{server.port}/api/v1/"
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": KEY, "API_URL": url, "USAGE": True}
        server.script(PATH, ACCEPTED)
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reporter(clock: Clock, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> UsageReporter:
    reporter = build_usage_reporter(get_config())
    monkeypatch.setattr(reporter, "_clock", clock)
    monkeypatch.setattr(reporter._outage, "_clock", clock)
    return reporter


Pass = Callable[[float], None]


@pytest.fixture
def wait(clock: Clock, reporter: UsageReporter) -> Pass:
    """Let some seconds pass, at whose end the listener turns."""

    def wait(seconds: float) -> None:
        clock.now += seconds
        reporter(Tick())
        if reporter._thread:
            reporter._thread.join(10)

    return wait


def count(**counts: int) -> None:
    """Count reads in a round that is over when the next report is due."""
    boxes = UsageBoxes(configured_store().cache)
    boxes.collect()
    round = boxes.open_round()
    assert round and boxes.put(round, counts)
    boxes.collect()


def bodies(server: ScriptedServer) -> list[Any]:
    return [json.loads(request.body) for request in server.requests]


def test_flagsmith_gets_what_the_sdk_sends(standin: StandIn, settings: Any) -> None:
    settings.FLAGSMITH = {**standin.setting, "USAGE": True}
    count(banner_text=2, dark_mode=1)
    build_usage_reporter(get_config()).report()
    [post] = standin.usage
    assert post.counts == {"banner_text": 2, "dark_mode": 1}


def test_it_is_posted_once_a_minute_by_the_leader_alone(
    reporter: UsageReporter, server: ScriptedServer, wait: Pass
) -> None:
    count(banner_text=1)
    wait(2 * REPORT_SECONDS)
    reporter(BecameLeader())
    wait(REPORT_SECONDS - 1)
    assert bodies(server) == []
    wait(1)
    count(banner_text=2)
    wait(REPORT_SECONDS - 1)
    assert bodies(server) == [{"banner_text": 1}]
    wait(1)
    wait(REPORT_SECONDS)
    assert bodies(server) == [{"banner_text": 1}, {"banner_text": 2}], "where nothing was read, nothing is posted"
    reporter(BecameStandby("other:1"))
    count(banner_text=3)
    wait(2 * REPORT_SECONDS)
    assert len(server.requests) == 2
    assert {request.headers["x-environment-key"] for request in server.requests} == {KEY}


FAULTS = [Refuse(403), Refuse(503), Redirect("/elsewhere", 302), Reset()]


@each_case(("fault", "timeout"), [*((fault, 5.0) for fault in FAULTS), (Silence(), 0.05)])
def test_a_flagsmith_that_refuses_is_asked_less_often_and_gets_the_rest_later(
    reporter: UsageReporter,
    server: ScriptedServer,
    wait: Pass,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: Any,
    timeout: float,
) -> None:
    monkeypatch.setattr(reporter, "_timeout", timeout)
    caplog.set_level(logging.INFO)
    caplog.clear()
    server.requests.clear()
    server.script(PATH, fault, fault, fault, ACCEPTED)
    reporter(BecameLeader())
    count(banner_text=1)
    wait(REPORT_SECONDS)
    count(banner_text=10)
    for seconds in (REPORT_SECONDS, 2 * REPORT_SECONDS, 4 * REPORT_SECONDS):
        wait(seconds - 1)
        if seconds == 4 * REPORT_SECONDS:
            monkeypatch.setattr(reporter, "_timeout", 5.0)
        wait(1)
    assert bodies(server) == [{"banner_text": 1}, {}, {}, {}, {"banner_text": 10}]
    began, ended = caplog.records
    assert (began.levelname, ended.levelname) == ("WARNING", "INFO")
    assert began.getMessage().startswith("Flagsmith usage: ")
    assert ended.getMessage() == f"Flagsmith usage: works again after {7 * REPORT_SECONDS:.0f} s"
    assert KEY not in caplog.text


def test_a_flagsmith_that_hangs_holds_up_no_turn(
    reporter: UsageReporter, server: ScriptedServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "_timeout", 60)
    server.script(PATH, Silence())
    reporter(BecameLeader())
    count(banner_text=1)
    for _ in range(3):
        clock.now += REPORT_SECONDS
        reporter(Tick())
        server.wait_for(lambda: server.requests)
    reporter._client.close()
    assert reporter._thread
    reporter._thread.join(10)
    assert not reporter._thread.is_alive()
    assert len(server.requests) == 1


def test_the_leader_keeps_what_was_read_also_where_flagsmith_refuses_it(
    reporter: UsageReporter, server: ScriptedServer
) -> None:
    server.script(PATH, Refuse(403))
    count(banner_text=3)
    began = time.time()
    with pytest.raises(HttpError):
        reporter.report()
    usage = configured_store().read_usage()
    assert usage
    assert began <= usage.idle_since("banner_text") <= time.time()
    assert usage.reads_per_day("banner_text", time.time()) == 3


@each_case(("setting", "reports"), [({}, False), ({"USAGE": True}, True)])
def test_a_listener_reports_where_the_setting_says_so(
    settings: Any, monkeypatch: pytest.MonkeyPatch, setting: dict[str, Any], reports: bool
) -> None:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": KEY, **setting}
    built: list[object] = []
    monkeypatch.setattr(factory, "build_usage_reporter", built.append)
    listener = factory.build_listener(get_config())
    assert (len(built), None in listener._subscribers) == (reports, reports)
