"""`manage.py flagsmith_listen` as a process."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from standin.server import StandIn

from tests.support.cases import each_case
from tests.support.processes import Command, RedisServer, wait_until

KEY = "ser.never-to-be-shown"
LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
DUMMY = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}

Start = Callable[..., Command]


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(state_path=tmp_path / "flags.json", server_key=KEY) as standin:
        yield standin


@pytest.fixture
def start(standin: StandIn, redis_server: RedisServer, tmp_path: Path) -> Iterator[Start]:
    started: list[Command] = []

    def start(*arguments: str, cache: dict[str, Any] | None = None, **more: Any) -> Command:
        urls = {"API_URL": standin.api_url, "REALTIME_URL": standin.realtime_url}
        setting = {"ENVIRONMENT_KEY": KEY, **urls, **more}
        log = tmp_path / f"log-{len(started)}"
        started.append(Command(*arguments, setting=setting, cache=cache or redis_server.cache(), log=log))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.wait(10)


@pytest.mark.slow
def test_it_says_what_it_does_in_a_few_lines(start: Start, standin: StandIn) -> None:
    command = start()
    command.wait_for("Stream: connected")
    command.wait_for("22 flags")
    standin.set_flag("new_checkout", enabled=True)
    command.wait_for("new_checkout (on)")
    standin.set_flag("banner_text", value="Sale")
    command.wait_for("banner_text (value)")
    command.process.send_signal(signal.SIGTERM)
    assert command.exit_code(5) == 0
    assert len(command.said().splitlines()) == 7, "started, leading, connected, 22 flags, two updates, stopped"
    assert KEY not in command.said()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_with_exit_0_while_the_stream_is_read(
    start: Start, standin: StandIn, number: signal.Signals
) -> None:
    command = start()
    command.wait_for("Stream: connected")
    command.wait_for("22 flags")
    began = time.monotonic()
    command.process.send_signal(number)
    assert command.exit_code(5) == 0
    assert time.monotonic() - began < 1
    assert "Traceback" not in command.said()


def hung(start: Start, redis_server: RedisServer) -> Command:
    """Return a listener that waits for a cache which hangs."""
    command = start(cache=redis_server.cache(socket_timeout=60))
    command.wait_for("Stream: connected")
    command.wait_for("22 flags")
    redis_server.freeze()
    wait_until(lambda: has_unread_commands(redis_server.port))
    return command


def has_unread_commands(port: int) -> bool:
    """Tell whether a server that is frozen was sent anything."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and int(row[4].split(":")[1], 16) for row in rows)


def catches(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    [mask] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(mask, 16) & 1 << number - 1)


@pytest.mark.slow
def test_a_signal_ends_it_while_the_cache_hangs(start: Start, redis_server: RedisServer) -> None:
    command = hung(start, redis_server)
    began = time.monotonic()
    command.process.send_signal(signal.SIGTERM)
    assert command.exit_code(5) == 0
    assert time.monotonic() - began < 1


@pytest.mark.slow
def test_a_second_signal_kills(start: Start, redis_server: RedisServer) -> None:
    command = hung(start, redis_server)
    command.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not catches(command.process, signal.SIGINT), timeout=0.5)
    command.process.send_signal(signal.SIGINT)
    assert command.exit_code(5) == -signal.SIGINT


@pytest.fixture
def once(standin: StandIn, tmp_path: Path) -> Callable[..., str]:
    """Run `flagsmith_listen --once` in this process and return what it printed."""

    def once(*, cache: dict[str, Any] | None = None, **more: Any) -> str:
        urls = {"API_URL": standin.api_url, "REALTIME_URL": standin.realtime_url}
        shared = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path / "cache")}
        output = StringIO()
        with override_settings(CACHES={"default": cache or shared}, FLAGSMITH={"ENVIRONMENT_KEY": KEY, **urls, **more}):
            call_command("flagsmith_listen", "--once", stdout=output)
        return output.getvalue()

    return once


def test_once_publishes_what_is_new_and_opens_no_stream(once: Callable[..., str], standin: StandIn) -> None:
    assert once().startswith("Published version ")
    assert once() == "Nothing changed\n"
    standin.set_flag("banner_text", value="Sale")
    assert once().startswith("Published version ")
    assert (standin.counts.environment_document, standin.counts.stream) == (3, 0)


@each_case(
    ("setting", "said"),
    [
        ({"ENVIRONMENT_KEY": "ser.wrong"}, "refused the request (403): check FLAGSMITH['ENVIRONMENT_KEY']"),
        ({"ENVIRONMENT_KEY": "client-side"}, "client-side key"),
        ({"ENVIRONMENT_KEY": None}, "FLAGSMITH['ENVIRONMENT_KEY'] is missing. Create a server-side key"),
        ({"API_URL": "http://127.0.0.1:1/"}, "127.0.0.1:1 refused the connection"),
        ({"POLL_INTERVALL": 3}, "FLAGSMITH['POLL_INTERVALL'] is not a known key"),
        ({"POLL_INTERVAL": "often"}, "FLAGSMITH['POLL_INTERVAL'] is 'often'. Set it to a number of seconds"),
        ({"CACHE": "flags"}, "FLAGSMITH['CACHE'] is 'flags', which is not in CACHES"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(once: Callable[..., str], setting: dict[str, Any], said: str) -> None:
    with pytest.raises(CommandError) as raised:
        once(**setting)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("cache", [LOCMEM, DUMMY], ids=["local memory", "dummy"])
def test_a_cache_of_one_process_is_refused_with_the_lines_to_paste(
    once: Callable[..., str], cache: dict[str, Any]
) -> None:
    with pytest.raises(CommandError) as raised:
        once(cache=cache)
    pasted = str(raised.value).partition("\nCACHES = ")[2]
    assert '"BACKEND": "django.core.cache.backends.redis.RedisCache"' in pasted
    namespace: dict[str, Any] = {"FLAGSMITH": {}}
    exec(f"CACHES = {pasted}", namespace)  # the lines are valid Python
    assert namespace["FLAGSMITH"]["CACHE"] in namespace["CACHES"]


@pytest.mark.slow
def test_once_as_a_process_exits_with_1_and_one_line(start: Start) -> None:
    command = start("--once", ENVIRONMENT_KEY="ser.wrong")
    assert command.exit_code() == 1
    assert command.said().startswith("CommandError: ")
    assert len(command.said().splitlines()) == 1


@pytest.mark.slow
def test_it_starts_and_heals_although_the_cache_is_down(
    start: Start, redis_server: RedisServer, standin: StandIn
) -> None:
    redis_server.kill()
    command = start()
    command.wait_for("The cache failed")
    redis_server.restart()
    command.wait_for("22 flags")
    assert "Traceback" not in command.said()
