"""One log for all processes: a time, a name, a line."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TextIO

COLOURS = {"standin": 35, "listener": 32, "site": 36}  # ANSI foregrounds
WIDTH = max(map(len, COLOURS))


class Log:
    """Write lines of many processes, each whole."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_coloured = stream.isatty()
        self._writing = threading.Lock()

    def write(self, name: str, line: str) -> None:
        """Write one process's line."""
        time = datetime.now().strftime("%H:%M:%S.%f")[:-3]
        self.say(f"{self._paint(time, 90)} {self._paint(f'{name:{WIDTH}} │', COLOURS[name])} {line}")

    def say(self, text: str) -> None:
        """Write a line as it is."""
        with self._writing:
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._is_coloured else text
