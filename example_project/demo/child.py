"""One child process and its output."""

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

KEPT_LINES = 15  # of the output, to show when the process fails


@dataclass(frozen=True)
class ChildSpec:
    """A command, how to tell that its process is up, and the pattern of output lines to leave out."""

    name: str
    command: Sequence[str]
    is_up: Callable[[], bool]
    noise: str = r"\s*"


class Child:
    """A child process, in a session of its own, so that Ctrl-C reaches only the demo."""

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

    def pass_output_to(self, write: Callable[[str, str], None]) -> None:
        """Call `write` with the child's name and each line of its output, in a thread."""
        self._reader = threading.Thread(target=self._read, args=(write,), daemon=True)
        self._reader.start()

    @property
    def exit_code(self) -> int | None:
        """Return the child's exit code, or None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask the child to stop."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def end(self, patience: float) -> None:
        """Wait some seconds for the child, then kill it and the processes that it started."""
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
