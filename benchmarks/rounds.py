"""Timing several statements side by side, such that a busy machine disturbs all of them alike.

The rounds of all contenders take turns, a few milliseconds each. A contender's ratio to another is the median of the
ratios within each turn; its nanoseconds are the median of all turns, and say little on a machine that others use too.
Where nothing is waited for, the clock is that of the thread's CPU.
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
MAX_ITEMS = 2_000  # that are made beforehand

Items = Callable[[int], Iterable[Any]]
LOOP = "def run(items, {names}):\n    for item in items:\n        {statement}\n"


class Contender:
    """A statement, run in a loop over `item`s that are made beforehand."""

    def __init__(self, statement: str, items: Items | None = None, **names: Any) -> None:
        scope: dict[str, Any] = {}
        lines = statement.replace("\n", "\n        ")
        exec(LOOP.format(statement=lines, names=", ".join(names)), scope)
        self._run = scope["run"]
        self._names = names
        self._items = items
        self.count = 1
        self.clock = time.perf_counter
        self.nanoseconds: list[float] = []

    def calibrate(self, seconds: float = SECONDS) -> None:
        """Find how many items take about `seconds`."""
        limit = MAX_ITEMS if self._items else 1_000_000
        while (taken := self._time()) < seconds and self.count < limit:
            self.count = min(limit, max(self.count * 2, int(self.count * seconds / (taken + 1e-9) / 2)))

    def turn(self) -> None:
        self.nanoseconds.append(self._time() / self.count * 1e9)

    def _time(self) -> float:
        items = self._items(self.count) if self._items else repeat(None, self.count)
        gc.disable()  # as `timeit` does: it would go through all items that wait
        try:
            began = self.clock()
            self._run(items, **self._names)
            return self.clock() - began
        finally:
            gc.enable()

    @property
    def median(self) -> float:
        return statistics.median(self.nanoseconds)

    def ratio(self, other: Contender) -> float:
        return statistics.median(map(truediv, self.nanoseconds, other.nanoseconds))

    def extra(self, base: Contender, unit: Contender) -> float:
        """Return by how many units this takes longer than `base`."""
        more = map(sub, self.nanoseconds, base.nanoseconds)
        return statistics.median(map(truediv, more, unit.nanoseconds))


def race(contenders: Iterable[Contender], turns: int, clock: Callable[[], float] = time.thread_time) -> None:
    """Let contenders take turns; those that wait for a server have another clock than the thread's CPU."""
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
