"""`manage.py demo` as a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.paths import EXAMPLE_PROJECT
from tests.support.processes import die_with_parent, free_port, wait_until

UP = "Open both side by side"
UP_WITHIN = 60.0  # seconds, on a busy machine
DOWN_WITHIN = 10.0  # seconds


class Demo:
    """The demo of a fresh copy of the example project, whose own flags and cache stay as they are."""

    def __init__(self, directory: Path, *more: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.standin_port = free_port()
        self.shop_url = f"http://127.0.0.1:{self.port}/"
        self.standin_url = f"http://127.0.0.1:{self.standin_port}/"
        self._log = directory / "log"
        project = shutil.copytree(
            EXAMPLE_PROJECT, directory / "project", ignore=shutil.ignore_patterns(".demo", "__pycache__")
        )
        options = ("--port", str(self.port), "--standin-port", str(self.standin_port), *more)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*die_with_parent(), sys.executable, "manage.py", "demo", *options],
                cwd=project,
                env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self._log.read_text()

    def wait_until_up(self) -> None:
        wait_until(lambda: UP in self.said() or self.process.poll() is not None, "the demo being up", UP_WITHIN)
        assert self.process.poll() is None, self.said()

    def exit_code(self) -> int:
        return self.process.wait(DOWN_WITHIN)

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.exit_code()

    def snapshot(self) -> Any:
        """Return what one of the shop's processes says it reads."""
        with urllib.request.urlopen(f"{self.shop_url}snapshot/", timeout=5) as answer:
            return json.load(answer)

    def change(self, name: str, **change: Any) -> None:
        """Change a flag as the stand-in's page does, and wait until the shop reads the new version."""
        before = self.snapshot()["snapshot"]["version"]
        request = urllib.request.Request(
            f"{self.standin_url}standin/flags/{name}",
            json.dumps(change).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=5).close()
        wait_until(lambda: self.snapshot()["snapshot"]["version"] != before, "the change in the shop")

    def end(self) -> None:
        """End the demo in the way that takes its children along."""
        if self.process.poll() is None:
            self.process.terminate()
            self.exit_code()


@contextmanager
def running_demo(directory: Path, *options: str) -> Iterator[Demo]:
    """Run the demo, with further options, while the block does."""
    demo = Demo(directory, *options)
    try:
        demo.wait_until_up()
        yield demo
    finally:
        demo.end()


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, and those that they have."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        parents[int(stat.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}
