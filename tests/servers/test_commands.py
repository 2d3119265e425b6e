"""The management commands as processes."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from standin.server import StandIn

from tests.support.documents import KEY
from tests.support.paths import ROOT
from tests.support.processes import Command, RedisServer, project_environment, wait_until

Start = Callable[..., Command]


@pytest.fixture
def start(standin: StandIn, redis_server: RedisServer, tmp_path: Path) -> Iterator[Start]:
    started: list[Command] = []

    def start(*arguments: str, cache: dict[str, Any] | None = None, **more: Any) -> Command:
        setting = {**standin.setting, **more}
        log = tmp_path / f"log-{len(started)}"
        started.append(Command(*arguments, setting=setting, cache=cache or redis_server.cache(), log=log))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.wait(10)


def test_it_says_what_it_does_in_a_few_lines(start: Start, standin: StandIn) -> None:
    command = start()
    command.wait_for("Flagsmith stream: connected")
    command.wait_for("22 flags")
    standin.set_flag("new_checkout", enabled=True)
    command.wait_for("new_checkout (on)")
    standin.set_flag("banner_text", value="Sale")
    command.wait_for("banner_text (value)")
    command.process.send_signal(signal.SIGTERM)
    assert command.exit_code(5) == 0
    assert len(command.said().splitlines()) == 7, "started, leading, connected, 22 flags, two updates, stopped"
    assert KEY not in command.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_with_exit_0_while_the_stream_is_read(
    start: Start, standin: StandIn, number: signal.Signals
) -> None:
    command = start()
    command.wait_for("Flagsmith stream: connected")
    command.wait_for("22 flags")
    began = time.monotonic()
    command.process.send_signal(number)
    assert command.exit_code(5) == 0
    assert time.monotonic() - began < 1
    assert "Traceback" not in command.said()


def hung(start: Start, redis_server: RedisServer) -> Command:
    """Return a listener that waits for a cache which hangs."""
    command = start(cache=redis_server.cache(socket_timeout=60))
    command.wait_for("Flagsmith stream: connected")
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


def test_a_signal_ends_it_while_the_cache_hangs(start: Start, redis_server: RedisServer) -> None:
    command = hung(start, redis_server)
    began = time.monotonic()
    command.process.send_signal(signal.SIGTERM)
    assert command.exit_code(5) == 0
    assert time.monotonic() - began < 1


def test_a_second_signal_kills(start: Start, redis_server: RedisServer) -> None:
    command = hung(start, redis_server)
    command.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not catches(command.process, signal.SIGINT), timeout=0.5)
    command.process.send_signal(signal.SIGINT)
    assert command.exit_code(5) == -signal.SIGINT


def test_once_as_a_process_exits_with_1_and_one_line(start: Start) -> None:
    command = start("--once", ENVIRONMENT_KEY="ser.wrong")
    assert command.exit_code() == 1
    assert command.said().startswith("CommandError: ")
    assert len(command.said().splitlines()) == 1


def test_it_starts_and_heals_although_the_cache_is_down(
    start: Start, redis_server: RedisServer, standin: StandIn
) -> None:
    redis_server.kill()
    command = start()
    command.wait_for("The cache failed")
    redis_server.restart()
    command.wait_for("22 flags")
    assert "Traceback" not in command.said()


class Terminal:
    """A `flagsmith_status` that runs in a terminal."""

    def __init__(self, *arguments: str, cache: dict[str, Any]) -> None:
        self.screen, side = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "django", "flagsmith_status", *arguments],
            env={**project_environment({"ENVIRONMENT_KEY": "ser.tests"}, cache), "TERM": "xterm", "COLUMNS": "80"},
            cwd=ROOT,
            stdin=side,
            stdout=side,
            stderr=side,
        )
        os.close(side)
        os.set_blocking(self.screen, False)
        self.said = b""

    def read(self) -> bytes:
        with suppress(OSError):  # nothing new
            self.said += os.read(self.screen, 65536)
        return self.said

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self.screen)


def test_watch_refreshes_in_place_until_ctrl_c(redis_server: RedisServer) -> None:
    terminal = Terminal("--watch", "--interval", "0.05", cache=redis_server.cache())
    try:
        wait_until(lambda: b"Nobody is listening" in terminal.read())
        wait_until(lambda: terminal.read().count(b"\x1b[H") >= 3)
        redis_server.kill()
        wait_until(lambda: b"refused" in terminal.read())
        redis_server.restart()
        seen = terminal.said.count(b"\x1b[H")
        wait_until(lambda: terminal.read().count(b"\x1b[H") > seen)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(5) == 0
        assert b"Traceback" not in terminal.read()
    finally:
        terminal.close()


def test_watch_that_is_piped_has_a_line_of_json_for_each_look(redis_server: RedisServer) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "django", "flagsmith_status", "--watch", "--json", "--interval", "0.05"],
        env=project_environment({"ENVIRONMENT_KEY": "ser.tests"}, redis_server.cache()),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        for _ in range(3):
            assert json.loads(process.stdout.readline())["troubles"] == ["no snapshot", "no listener"]
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0


def test_a_projects_process_shows_what_the_listener_published(redis_server: RedisServer, standin: StandIn) -> None:
    standin.set_flag("banner_text", value="x" * 1_000)
    environment = project_environment(standin.setting, redis_server.cache())

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            env={**environment, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    before = run("flagsmith_flags")
    assert (before.returncode, before.stdout) == (1, "")
    assert before.stderr.startswith("CommandError: There are no flags in the cache 'default' yet.")
    assert len(before.stderr.splitlines()) == 1

    assert run("flagsmith_listen", "--once").returncode == 0
    requests = standin.counts.environment_document
    for columns in ("60", "300"):
        lines = run("flagsmith_flags", COLUMNS=columns).stdout.splitlines()
        assert max(map(len, lines[2:])) == int(columns)
    assert max(map(len, run("flagsmith_flags", COLUMNS="").stdout.splitlines()[2:])) == 120, "of a pipe"

    one = run("flagsmith_flags", "banner_text", "--identity", "42", "--trait", "plan=gold", "--json")
    assert one.stderr == ""
    assert json.loads(one.stdout)["banner_text"]["reason"] == "TARGETING_MATCH; segment=gold_members"
    typo = run("flagsmith_flags", "banner_txt")
    assert (typo.returncode, typo.stdout) == (1, "")
    assert typo.stderr == "CommandError: There is no flag 'banner_txt'. Did you mean 'banner_text'?\n"
    assert run("flagsmith_flags", "--trait").returncode == 2
    assert standin.counts.environment_document == requests, "it asks Flagsmith nothing"
