"""One child process and what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KEPT_LINES = 15


@dataclass(frozen=True)
class ChildSpec:
    """What to run, when it counts as up, and which of its lines nobody wants to read."""

    name: str
    command: Sequence[str]
    is_up: Callable[[], bool]
    noise: str = r"\s*"


class Child:
    """A running child process, in a session of its own so that Ctrl-C reaches the demo alone."""

    def __init__(self, spec: ChildSpec, environment: dict[str, str], folder: Path) -> None:
        self.spec = spec
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._process = subprocess.Popen(
            spec.command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def follow(self, write: Callable[[str, str], None]) -> None:
        """Pass on what the child says, from a thread of its own."""
        self._reader = threading.Thread(target=self._read, args=(write,), daemon=True)
        self._reader.start()

    @property
    def exit_code(self) -> int | None:
        """Return how the child ended, or None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask the child to stop."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def end(self, patience: float) -> None:
        """Wait that many seconds for the child, then kill it and whatever it has left behind."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, patience))
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(timeout=1)

    def _read(self, write: Callable[[str, str], None]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.last_lines.append(line.rstrip())
            if not re.fullmatch(self.spec.noise, line.rstrip()):
                write(self.spec.name, line.rstrip())
