"""One log for all processes, with the time and the process's name before each line."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TextIO

COLORS = {"standin": 35, "listener": 32, "site": 36}  # ANSI foregrounds
WIDTH = max(map(len, COLORS))


class Log:
    """Write the lines of several processes without mixing them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_colored = stream.isatty()
        self._writing = threading.Lock()

    def write(self, name: str, line: str) -> None:
        """Write one process's line."""
        time = datetime.now().strftime("%H:%M:%S.%f")[:-3]
        self.say(f"{self._paint(time, 90)} {self._paint(f'{name:{WIDTH}} │', COLORS[name])} {line}")

    def say(self, text: str) -> None:
        """Write a line as it is."""
        with self._writing:
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def _paint(self, text: str, color: int) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self._is_colored else text
