"""The processes of the fleet, each at its place."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import redis

from tests.fleet.network import REDIS, Network
from tests.support.paths import ROOT
from tests.support.processes import RedisServer, ServerProcess, die_with_parent


class FleetRedis(RedisServer):
    """Redis at a place of its own; the test talks to it through a socket file, whatever is cut."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network
        self.socket = self.directory / "redis.sock"

    def command(self) -> list[str]:
        bind = self._network.bind(REDIS)
        command = [bind if part == "127.0.0.1" else part for part in super().command()]
        return [*self._network.prefix(REDIS), *command, "--protected-mode", "no", "--unixsocket", str(self.socket)]

    def client(self, **options: Any) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5, **options)


class HostProcess(ServerProcess):
    """A Python process on a host; its log goes on over restarts."""

    program = sys.executable

    def __init__(self, name: str, host: str, prefix: list[str], *arguments: str, environment: dict[str, str]) -> None:
        super().__init__()
        self.name, self.host = name, host
        self._command = [*prefix, self.path, *arguments]
        self._environment = environment

    def command(self) -> list[str]:
        return self._command

    def environment(self) -> dict[str, str]:
        return self._environment

    def start(self) -> None:
        """Start without waiting for anything."""
        self.spawn()

    def restart(self) -> None:
        self.start()

    def spawn(self, output: int | None = None) -> subprocess.Popen[bytes]:
        """Start with the errors, and what is said unless it is asked for, in the log."""
        with (self.directory / "log").open("ab") as log:
            self._log_begins = log.tell()
            self.process = subprocess.Popen(
                [*die_with_parent(), *self.command()],
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log,
            )
        return self.process

    def said(self) -> str:
        """Return the log since the last start."""
        return (self.directory / "log").read_bytes()[self._log_begins :].decode(errors="replace")

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def is_frozen(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class Readers(HostProcess):
    """Some processes that read on a host, and what each of them reported last."""

    def __init__(self, host: str, prefix: list[str], count: int, environment: dict[str, str]) -> None:
        arguments = ("-m", "tests.fleet.reader", host, str(count))
        super().__init__(f"readers on {host}", host, prefix, *arguments, environment=environment)
        self.count = count
        self.reports: dict[str, dict[str, Any]] = {}
        self._before: list[dict[str, Any]] = []  # the last reports of those that were restarted

    def start(self) -> None:
        self._before += self.reports.values()
        self.reports = {}
        output = self.spawn(subprocess.PIPE).stdout
        threading.Thread(target=self._follow, args=[output, self.reports], daemon=True).start()

    def _follow(self, output: Any, reports: dict[str, Any]) -> None:
        with output:
            for line in output:
                report = json.loads(line)
                reports[report["reader"]] = report

    def hold(self, value: int) -> bool:
        """Tell whether each of them holds a value."""
        reports = list(self.reports.values())
        return len(reports) == self.count and all(report["held"] == value for report in reports)

    def held_since(self) -> float:
        """Return when the last of them saw what it holds."""
        return max(report["at"] for report in self.reports.values())

    def total(self, name: str) -> int:
        """Sum what all have counted since the beginning."""
        return sum(report[name] for report in (*self._before, *self.reports.values()))

    def told(self) -> list[str]:
        return [
            f"{report['reader']}: {report['told']}"
            for report in (*self._before, *self.reports.values())
            if report["told"]
        ]
