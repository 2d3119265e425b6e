"""Somebody who follows a page to the letter, in a directory of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from standin.server import StandIn

from tests.docs.pages import Block

SERVERS = ("python manage.py runserver", "python manage.py flagsmith_listen")
PATIENCE = 20.0  # seconds until a page shows what was changed: runserver may be starting again


def pattern(told: str) -> str:
    """Return what matches a command's output as it is told: "…" is some text, or some lines."""
    lines = told.strip().splitlines()
    return "\n".join("(?s:.*)" if line == "…" else re.escape(line).replace("…", ".*") for line in lines)


class Newcomer:
    """Does what the page says: writes its files, runs its commands, compares what they print."""

    def __init__(self, directory: Path, wheel: Path | None, replaced: dict[str, str], standin: StandIn) -> None:
        self.directory = directory
        self.replaced = replaced
        self.standin = standin
        self.servers: list[subprocess.Popen[bytes]] = []
        self.environment = {
            "HOME": str(directory),
            "PATH": f"{directory}/.venv/bin:{sys.base_prefix}/bin:{os.environ['PATH']}",
            "PIP_FIND_LINKS": str(wheel.parent) if wheel else "",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def follow(self, block: Block) -> None:
        if switch := re.search(r"Switch `(\w+)` (on|off) in Flagsmith", block.before):
            self.standin.set_flag(switch[1], enabled=switch[2] == "on")
        code = block.code
        for told, here in self.replaced.items():
            code = code.replace(told, here)
        if block.language == "console":
            self.run(code)
        else:
            self.write(block.before, code)

    def write(self, before: str, code: str) -> None:
        found = re.search(r"(Add to the end of|Create|Replace the last line of|Replace) `([\w./]+)`", before)
        assert found, before
        path = self.directory / found[2]
        path.parent.mkdir(exist_ok=True)
        kept = ""
        if found[1].endswith("of"):
            lines = path.read_text().splitlines(keepends=True)
            kept = "".join(lines[:-1] if "last line" in found[1] else lines)
        assert path.exists() == (found[1] != "Create"), before
        path.write_text(kept + code)

    def add(self, name: str, code: str) -> None:
        """Add code to the end of a file."""
        for told, here in self.replaced.items():
            code = code.replace(told, here)
        with (self.directory / name).open("a") as file:
            file.write(code)

    def run(self, code: str) -> None:
        if not code.startswith("$ "):
            for command in code.splitlines():
                self.serve(command) if command.startswith(SERVERS) else self.call(command, check=True)
            return
        for part in code.removeprefix("$ ").split("\n$ "):
            command, _, told = part.partition("\n")
            self.expect(command, told)

    def call(self, command: str, *, check: bool = False) -> str:
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}\n{done.stdout}"
        return done.stdout.strip()

    def serve(self, command: str) -> None:
        with (self.directory / f"server-{len(self.servers)}.log").open("wb") as log:
            self.servers.append(
                subprocess.Popen(
                    command.split(),
                    cwd=self.directory,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def expect(self, command: str, told: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not re.fullmatch(pattern(told), printed := self.call(command)):
            assert time.monotonic() < deadline, f"{command} prints\n{printed}\nand the page says\n{told}"
            time.sleep(0.1)

    def end(self) -> None:
        for server in self.servers:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
