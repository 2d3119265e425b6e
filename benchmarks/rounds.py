"""Timing several statements side by side, such that a busy machine disturbs all of them alike.

The rounds of all contenders take turns, a few milliseconds each. A contender's ratio to another is the median of the
ratios within each turn; its time is the median of all turns, and says little on a machine that others use too.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable
from itertools import repeat
from operator import sub, truediv
from typing import Any

SECONDS = 0.004  # of one contender in one turn
LOOP = "def run(turns, {names}):\n    for _ in turns:\n        {statement}\n"


class Contender:
    """A statement, run in a loop; `names` are what it uses."""

    def __init__(self, statement: str, **names: Any) -> None:
        scope: dict[str, Any] = {}
        exec(LOOP.format(statement=statement, names=", ".join(names)), scope)
        self._run = scope["run"]
        self._names = names
        self.count = 1
        self.clock = time.thread_time
        self.nanoseconds: list[float] = []

    def calibrate(self) -> None:
        """Find how many rounds fill a turn."""
        self._time()
        while (taken := self._time()) < SECONDS:
            self.count = max(self.count * 2, int(self.count * SECONDS / (taken + 1e-9) / 2))

    def turn(self) -> None:
        self.nanoseconds.append(self._time() / self.count * 1e9)

    def _time(self) -> float:
        gc.disable()  # as `timeit` does
        try:
            began = self.clock()
            self._run(repeat(None, self.count), **self._names)
            return self.clock() - began
        finally:
            gc.enable()

    @property
    def median(self) -> float:
        return statistics.median(self.nanoseconds)

    def ratio(self, other: Contender) -> float:
        return statistics.median(map(truediv, self.nanoseconds, other.nanoseconds))

    def without(self, other: Contender) -> Contender:
        """Return what this takes beyond another."""
        rest = Contender("pass")
        rest.nanoseconds = list(map(sub, self.nanoseconds, other.nanoseconds))
        return rest


def race(contenders: Iterable[Contender], turns: int, clock: Callable[[], float] = time.thread_time) -> None:
    """Let contenders take turns. The clock is the thread's CPU, unless some wait for a server."""
    contenders = list(contenders)
    for contender in contenders:
        contender.clock = clock
        contender.calibrate()
    for _ in range(turns):
        for contender in contenders:
            contender.turn()


def shown_time(nanoseconds: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def shown_ratio(ratio: float) -> str:
    return f"{ratio:,.0f} ×" if ratio >= 100 else f"{ratio:.3g} ×"
