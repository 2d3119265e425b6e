"""The status and the signals of a listener that runs, against a Flagsmith that listens on the loopback."""

from __future__ import annotations

import os
import random
import string
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from standin.server import StandIn

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.listener import listener as listener_module
from django_flagsmith_realtime.listener.listener import Listener
from django_flagsmith_realtime.monitoring.health import Health, check_health
from django_flagsmith_realtime.signals import listener_became_leader, stream_connected, stream_disconnected
from django_flagsmith_realtime.storage.status import DAY, Status
from tests.support import listening as listening_module
from tests.support.backends import RecordingCache, SmallCache, use
from tests.support.cases import each_case
from tests.support.documents import configured_store
from tests.support.fault_proxy import CANNED, FaultProxy, canned
from tests.support.processes import wait_until

pytestmark = pytest.mark.usefixtures("quick")

Listening = Callable[..., AbstractContextManager[Listener]]


@pytest.fixture
def proxy(standin: StandIn) -> Iterator[FaultProxy]:
    """Stands before the stand-in, and fails when told to."""
    proxy = FaultProxy(int(standin.url.rpartition(":")[2]))
    yield proxy
    proxy.close()


@pytest.fixture
def listening(standin: StandIn, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Listening:
    """Run a listener in a thread, which writes its status often; the settings may be added to."""
    monkeypatch.setattr(listener_module, "MAINTENANCE_SECONDS", 0.02)
    urls = {"API_URL": f"{proxy.url}api/v1/", "REALTIME_URL": proxy.url}
    return lambda **more: listening_module.listening(
        **{"ENVIRONMENT_KEY": standin.server_key, "FRESHNESS": 0, **urls, **more}
    )


def health() -> Health:
    return check_health(get_config(), configured_store())


def wait_for(condition: Callable[[Status], Any]) -> Status:
    """Wait until the status of who leads is as the condition says."""
    found: list[Status] = []

    def holds() -> bool:
        status = health().leader_status
        found[:] = [status] if status else []
        return bool(status and condition(status))

    wait_until(holds)
    return found[0]


def is_connected(status: Status) -> bool:
    return status.stream.state == "connected" and status.content is not None


def test_the_status_tells_who_leads_what_is_published_and_how_soon_a_change_was(
    listening: Listening, standin: StandIn
) -> None:
    with listening():
        status = wait_for(is_connected)
        assert status.leader.pid == os.getpid()
        assert status.content and (status.content.flags, status.content.environment) == (22, "Production")
        assert status.requests.within(DAY, status.written_at) == 1
        wait_until(lambda: health().age is not None and health().is_healthy)
        standin.set_flag("banner_text", value="Sale")
        status = wait_for(lambda status: status.latency)
        assert status.latency and status.latency.count == 1
        assert 0 < status.latency.last < 10
        assert status.stream.event_at


def test_what_the_document_warns_of_is_in_the_status_and_once_in_the_log(
    listening: Listening, standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    standin.document["use_identity_overrides_in_local_eval"] = False
    standin.document["project"]["segments"][0]["rules"][0]["rules"][0]["conditions"] = [
        {"operator": "REGEX", "property_": "email", "value": "^(a+)+$"}
    ]
    with listening():
        wait_for(lambda status: len(status.warnings) == 2)
        standin.set_flag("banner_text", value="Sale")
        wait_for(lambda status: status.latency)
    assert caplog.text.count("leaves out the environment's identity overrides") == 1
    assert caplog.text.count("The regular expression '^(a+)+$' of the segment") == 1


@pytest.mark.slow
def test_the_flags_of_a_quiet_deployment_stay_young_and_age_when_there_is_more_to_find_out(
    listening: Listening, standin: StandIn, proxy: FaultProxy
) -> None:
    with listening():
        first = wait_for(lambda status: is_connected(status) and status.content.known_at is not None)
        wait_for(lambda status: known_at(status) > known_at(first))
        with proxy.answering(canned(CANNED["403"])):
            standin.set_flag("banner_text", value="Sale")
            failed = wait_for(lambda status: status.failure)
            assert failed.failure and "refused the request (403)" in failed.failure.text
            later = wait_for(lambda status: status.written_at > failed.written_at)
            assert known_at(later) == known_at(failed)
            assert known_at(later) < later.written_at
        wait_for(lambda status: known_at(status) > known_at(later))


def known_at(status: Status) -> float:
    assert status.content and status.content.known_at
    return status.content.known_at


@pytest.mark.slow
def test_a_stream_that_breaks_backs_off_and_comes_back_with_its_signals(
    listening: Listening, proxy: FaultProxy
) -> None:
    seen: list[tuple[str, Any]] = []

    def note_leader(*, pid: int, **kwargs: Any) -> None:
        seen.append(("leader", pid))

    def note_connection(*, outage: float | None, **kwargs: Any) -> None:
        seen.append(("connected", outage is not None))

    def note_outage(*, error: Exception, **kwargs: Any) -> None:
        seen.append(("disconnected", type(error).__name__))

    listener_became_leader.connect(note_leader)
    stream_connected.connect(note_connection)
    stream_disconnected.connect(note_outage)
    with listening():
        wait_for(is_connected)
        with proxy.refusing():
            proxy.reset()
            status = wait_for(lambda status: status.stream.state == "backing off")
            assert status.stream.reason
        wait_for(is_connected)
    assert seen == [
        ("leader", os.getpid()),
        ("connected", False),
        ("disconnected", "Unreachable"),
        ("connected", True),
    ]


@each_case(
    ("setting", "reason"),
    [({"REALTIME_URL": None}, "REALTIME_URL"), ({"SNAPSHOT_FILE": "flags.json", "ENVIRONMENT_KEY": None}, "SNAPSHOT")],
)
def test_without_a_stream_the_state_is_poll_only_with_the_reason(
    listening: Listening, setting: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    (tmp_path / "flags.json").write_text('{"flags": {"new_checkout": true}}')
    if "SNAPSHOT_FILE" in setting:
        setting = {**setting, "SNAPSHOT_FILE": tmp_path / "flags.json"}
    with listening(**setting):
        status = wait_for(lambda status: status.stream.state == "poll only" and status.content)
        assert reason in str(status.stream.reason)
        wait_until(lambda: health().age is not None)


@pytest.mark.slow
def test_a_flush_is_a_repair(listening: Listening) -> None:
    with listening():
        wait_for(is_connected)
        caches["default"].clear()
        wait_for(lambda status: status.repairs.within(DAY, status.written_at))


@pytest.mark.slow
def test_the_next_leader_counts_on(listening: Listening, standin: StandIn) -> None:
    with listening():
        wait_for(is_connected)
        for text in ("One", "Two", "Three"):
            before = requests(wait_for(is_connected))
            standin.set_flag("banner_text", value=text)
            wait_for(lambda status, before=before: requests(status) > before)
    with listening():
        wait_for(lambda status: requests(status) == 5)


def requests(status: Status) -> int:
    return status.requests.within(DAY, status.written_at)


def test_flags_age_while_the_cache_does_not_take_the_newer_ones(
    listening: Listening, standin: StandIn, settings: Any
) -> None:
    use(settings, "tests.support.backends.SmallCache")
    SmallCache.limit = 1_000_000
    with listening():
        wait_for(is_connected)
        SmallCache.limit = 10_000
        standin.set_flag("banner_text", value="".join(random.Random(1).choices(string.printable, k=20_000)))
        first = wait_for(lambda status: status.failure)
        later = wait_for(lambda status: status.written_at > first.written_at)
        assert known_at(later) == known_at(first)


def test_nobody_listens_any_more_as_soon_as_a_listener_stops(listening: Listening) -> None:
    with listening() as listener:
        wait_for(is_connected)
        listener.stop()
        wait_until(lambda: [problem.kind for problem in health().problems] == ["no listener"], timeout=2)


def test_no_status_is_written_while_the_cache_fails(
    listening: Listening, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(settings, "tests.support.backends.RecordingCache")
    turns: list[str] = []

    def fail(self: RecordingCache, key: str, *args: Any, **kwargs: Any) -> Any:
        if key.endswith(":event"):  # the first that each turn asks for
            turns.append(key)
        raise OSError("the cache is away")

    with listening():
        wait_for(is_connected)
        with monkeypatch.context() as patch:
            patch.setattr(RecordingCache, "get", fail)
            wait_until(lambda: len(turns) >= 2)
            RecordingCache.operations.clear()
            seen = len(turns)
            wait_until(lambda: len(turns) >= seen + 3)
            assert ("set", "status") not in RecordingCache.operations
        wait_for(is_connected)
