"""Several listeners in one deployment: one leads, the others stand by and take over."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from standin.server import StandIn

from tests.support.documents import FIRST, KEY, LEASE, PREFIX, configured_store
from tests.support.processes import Command, RedisServer, wait_until

Start = Callable[..., Command]


@pytest.fixture
def start(standin: StandIn, redis_server: RedisServer, tmp_path: Path, settings: Any) -> Iterator[Start]:
    """Start a listener as a process, with the shortest lease."""
    settings.CACHES = {"default": redis_server.cache()}
    started: list[Command] = []

    def start(*arguments: str, **more: Any) -> Command:
        setting = {**standin.setting, "LEASE_SECONDS": 8, **more}
        variables = {"TEST_SIGNALS": str(tmp_path / "signals")}
        log = tmp_path / f"log-{len(started)}"
        command = Command(*arguments, setting=setting, cache=redis_server.cache(), log=log, **variables)
        started.append(command)
        return command

    (tmp_path / "signals").touch()
    yield start
    for command in started:
        command.process.kill()
        command.process.wait(10)


@pytest.fixture
def pair(start: Start, standin: StandIn) -> tuple[Command, Command]:
    """A leader that is connected, and a standby."""
    leader = start()
    wait_until(lambda: standin.counts.open_streams == 1 and stored() == FIRST)
    standby = start()
    standby.wait_for("Flagsmith listener stands by: ")
    return leader, standby


def stored() -> Any:
    store = configured_store()
    head = store.read_head()
    environment = head and store.read_environment(head.sequence)
    return environment and environment.flags["banner_text"].value


def leads(command: Command) -> bool:
    return f":{command.process.pid}:" in str(caches["default"].get(LEASE))


def test_a_standby_opens_no_stream_and_asks_nothing(pair: tuple[Command, Command], standin: StandIn) -> None:
    leader, standby = pair
    assert leads(leader)
    for text in ("one", "two"):
        standin.set_flag("banner_text", value=text)
        wait_until(lambda text=text: stored() == text)
    assert (standin.counts.open_streams, standin.counts.stream) == (1, 1)
    assert standin.counts.environment_document == 3
    assert "leads" in standby.said()
    assert f":{leader.process.pid} leads" in standby.said(), "it says who leads"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=["TERM", "INT", "KILL"])
def test_a_standby_takes_over_from_a_leader_that_ends(
    pair: tuple[Command, Command], standin: StandIn, number: signal.Signals, tmp_path: Path
) -> None:
    leader, standby = pair
    leader.process.send_signal(number)
    leader.process.wait(10)
    standin.set_flag("banner_text", value="Sale")
    wait_until(lambda: leads(standby), timeout=20)
    wait_until(lambda: stored() == "Sale")
    wait_until(lambda: standin.counts.open_streams == 1)
    standin.set_flag("banner_text", value="Closed")
    wait_until(lambda: stored() == "Closed")
    wait_until(lambda: (tmp_path / "signals").read_text().split("\n") == [FIRST, "Sale", "Closed", ""])


def test_a_leader_that_slept_stands_down_when_it_wakes(
    pair: tuple[Command, Command], standin: StandIn, tmp_path: Path
) -> None:
    leader, standby = pair
    leader.process.send_signal(signal.SIGSTOP)
    standin.set_flag("banner_text", value="Sale")
    wait_until(lambda: leads(standby), timeout=20)
    wait_until(lambda: stored() == "Sale")
    requests = standin.counts.environment_document
    leader.process.send_signal(signal.SIGCONT)
    leader.wait_for("Flagsmith listener stands by: ")
    wait_until(lambda: standin.counts.open_streams == 1)
    assert leads(standby)
    assert standin.counts.environment_document == requests, "what was queued is not believed"
    wait_until(lambda: (tmp_path / "signals").read_text().split("\n") == [FIRST, "Sale", ""])


def test_a_leader_whose_receiver_hangs_hands_over_when_it_is_told_to_end(
    pair: tuple[Command, Command], start: Start, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, standby = pair
    monkeypatch.setenv("TEST_RECEIVER_SECONDS", "60")
    hanging = start()
    hanging.wait_for("Flagsmith listener stands by: ")
    for command in (standby, leader):
        command.process.terminate()
        command.process.wait(10)
    wait_until(lambda: leads(hanging))
    wait_until(lambda: standin.counts.open_streams == 1)
    standin.set_flag("banner_text", value="Sale")
    wait_until(lambda: stored() == "Sale")
    hanging.process.terminate()
    assert hanging.exit_code() == 0
    assert caches["default"].get(LEASE) is None


def test_a_leader_that_loses_nothing_but_the_stream_asks_before_it_gives_up(
    start: Start, standin: StandIn, tmp_path: Path
) -> None:
    with StandIn(state_path=tmp_path / "realtime.json", server_key=KEY) as realtime:
        leader = start(REALTIME_URL=realtime.realtime_url)
        wait_until(lambda: realtime.counts.open_streams == 1 and stored() == FIRST)
        start(REALTIME_URL=realtime.realtime_url).wait_for("Flagsmith listener stands by: ")
    wait_until(lambda: standin.counts.environment_document == 2)
    assert leader.said().count("Flagsmith listener leads") == 1


def test_once_has_the_leader_fetch(pair: tuple[Command, Command], start: Start, standin: StandIn) -> None:
    leader, _ = pair
    standin.document["feature_states"][0]["enabled"] ^= True  # of which nobody is told
    requests = standin.counts.environment_document
    once = start("--once")
    assert once.exit_code(20) == 0
    assert f":{leader.process.pid}" in once.said()
    assert standin.counts.environment_document == requests + 1
    assert caches["default"].get(f"{PREFIX}:nudge") is None


def test_once_takes_over_where_the_leader_is_dead(start: Start, standin: StandIn, redis_server: RedisServer) -> None:
    leader = start()
    wait_until(lambda: stored() == FIRST)
    leader.process.kill()
    standin.set_flag("banner_text", value="Sale")
    once = start("--once")
    assert once.exit_code(20) == 0
    assert "Published version" in once.said()
    assert stored() == "Sale"
    assert caches["default"].get(f"{PREFIX}:nudge") is None
    assert caches["default"].get(LEASE) is None


def test_a_cache_that_loses_everything_is_filled_again_without_asking(
    pair: tuple[Command, Command], standin: StandIn, redis_server: RedisServer, tmp_path: Path
) -> None:
    wait_until(lambda: standin.counts.environment_document == 1)
    with redis_server.client() as client:
        client.flushall()
    wait_until(lambda: stored() == FIRST)
    wait_until(lambda: standin.counts.open_streams == 1)
    standin.set_flag("banner_text", value="Sale")
    wait_until(lambda: stored() == "Sale")
    wait_until(lambda: (tmp_path / "signals").read_text().split("\n") == [FIRST, "Sale", ""])
