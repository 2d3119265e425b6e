"""Every head that was put into Redis, as its MONITOR tells: who put it, when, and which version it names."""

from __future__ import annotations

import pickle
import re
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"')
HEAD = re.compile(r":flagsmith:\d+:[0-9a-f]+:head$")
AGAIN_AFTER = 0.02  # seconds


@dataclass(frozen=True)
class Put:
    """One head that was put; `sequence` names the version."""

    at: float
    sequence: int
    version: str


def parse(line: bytes, at: float) -> Put | None:
    """Return what a line of MONITOR puts; None where it is not a head."""
    command, *arguments = [part.decode("unicode_escape").encode("latin-1") for part in ARGUMENT.findall(line)] or [b""]
    if command != b"SET" or b"NX" in arguments or not HEAD.search(arguments[0].decode(errors="replace")):
        return None
    sequence, version, *_ = pickle.loads(arguments[1])
    return Put(at, sequence, version)


class HeadLog:
    """Follows a Redis, also over its restarts. A head that is only added where there is none does not count."""

    def __init__(self, path: Path) -> None:
        self.puts: list[Put] = []
        self._path = str(path)
        self._closing = False
        self._listening = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        assert self._listening.wait(10), "MONITOR did not answer"

    def close(self) -> None:
        self._closing = True

    def since(self, moment: float) -> list[Put]:
        return [put for put in self.puts if put.at >= moment]

    def _run(self) -> None:
        while not self._closing:
            with suppress(OSError):
                self._follow()
            time.sleep(AGAIN_AFTER)

    def _follow(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._path)
            connection.sendall(b"MONITOR\r\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    self._listening.set()
                    if put := b":head" in line and parse(line, time.monotonic()):
                        self.puts.append(put)


def stood_back(puts: Iterable[Put], newest: int, until: float) -> float:
    """Return the seconds for which a head was lower than one before it, at the longest; `newest` is the first."""
    longest, back_since = 0.0, None
    for put in puts:
        if put.sequence < newest:
            back_since = put.at if back_since is None else back_since
        elif back_since is not None:
            longest, back_since = max(longest, put.at - back_since), None
        newest = max(newest, put.sequence)
    return longest if back_since is None else max(longest, until - back_since)
