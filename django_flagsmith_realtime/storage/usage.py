"""How often flags were read: counts on their way from each process to the leader, and what the leader keeps of them.

A process leaves its counts in a box: a key of the cache that it adds, and that nobody changes. The leader deletes each
box, and posts what was in it to Flagsmith. Only one process can delete a key, so nothing is posted twice, whoever dies,
is frozen, or leads at the same time. For the same reason no name of a box is used again: it contains that of a round.
The leader begins one a minute, and collects the boxes of those that were over for a minute.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..exceptions import StoreError
from .cache import Cache

# Of a round, in which a process fills six at most: enough for 85 processes. Of more, each one writes less often.
BOXES = 512
TRIES = 4  # to find a box that is free: where there is none, the counts wait in the process
BOX_SECONDS = 3_600  # for which counts wait for a leader, or for a Flagsmith that answers again
KEPT_ROUNDS = 3  # the one that is open, and two that are over: the last is collected again after a leader that died
KEPT_DAYS = 7
DAY = 86_400  # seconds


class UsageBoxes:
    """The boxes of an environment. Methods raise `StoreError`."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def open_round(self) -> str | None:
        """Return the round that counts go to; None where no leader has ever begun one."""
        return next(iter(self._rounds()), None)

    def put(self, round: str, counts: Mapping[str, int]) -> bool:
        """Leave counts for the leader; False where there is no room. After a `StoreError` they may be there, or not."""
        box = [secrets.token_hex(8), dict(counts)]
        for number in random.sample(range(BOXES), TRIES):
            name = _box(round, number)
            if self._cache.add(name, box, BOX_SECONDS) or self._cache.get(name) == box:  # its answer may have been lost
                return True
        return False

    def collect(self) -> Counter[str]:
        """Begin a round; empty the boxes of those that were over before, and return what was in them."""
        rounds = self._rounds()
        self._cache.set("usage:rounds", [secrets.token_hex(4), *rounds][:KEPT_ROUNDS])
        counts: Counter[str] = Counter()
        for round in rounds[1:]:
            names = [_box(round, number) for number in range(BOXES)]
            try:
                for name, box in zip(names, self._cache.get_many(*names), strict=True):
                    if box is not None and self._cache.delete(name):
                        counts.update(_parse_counts(box))
            except StoreError:  # what was deleted is nowhere else; the rest is collected in a minute
                break
        return counts

    def _rounds(self) -> list[str]:
        found = self._cache.get("usage:rounds")
        return [round for round in found if isinstance(round, str)] if isinstance(found, (list, tuple)) else []


@dataclass(frozen=True)
class FlagUsage:
    """When a flag was last read, and how often on its last days, as pairs: a day's number since the epoch, a count."""

    read_at: float
    days: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Usage:
    """How often flags were read since counting began, by name. Times are seconds since the epoch, days those of UTC."""

    since: float
    flags: Mapping[str, FlagUsage] = field(default_factory=dict)

    def add(self, counts: Mapping[str, int], now: float) -> Usage:
        """Return the usage with some more reads of now."""
        today, flags = int(now // DAY), dict(self.flags)
        for name, count in counts.items():
            before = dict(flags[name].days) if name in flags else {}
            days = {**before, today: before.get(today, 0) + count}
            flags[name] = FlagUsage(now, tuple((day, days[day]) for day in sorted(days)[-KEPT_DAYS:]))
        return Usage(self.since, flags)

    def idle_since(self, name: str) -> float:
        """Return when a flag was last read, or else when counting began."""
        return self.flags[name].read_at if name in self.flags else self.since

    def reads_per_day(self, name: str, now: float) -> float:
        """Return the mean of the last seven days, today included, or of those since counting began."""
        today = int(now // DAY)
        days = min(today - int(self.since // DAY) + 1, KEPT_DAYS)
        counts = self.flags[name].days if name in self.flags else ()
        return sum(count for day, count in counts if today - days < day <= today) / max(days, 1)

    def to_plain(self) -> dict[str, Any]:
        """Return dicts, lists, numbers and texts, which every serializer of a cache can carry."""
        flags = {name: [flag.read_at, list(map(list, flag.days))] for name, flag in self.flags.items()}
        return {"since": self.since, "flags": flags}


def parse_usage(plain: Any) -> Usage | None:
    """Parse what `to_plain` returned; None for anything else."""
    try:
        flags = {
            str(name): FlagUsage(float(read_at), tuple((int(day), int(count)) for day, count in days))
            for name, (read_at, days) in plain["flags"].items()
        }
        return Usage(float(plain["since"]), flags)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def _parse_counts(box: object) -> dict[str, int]:
    match box:
        case [str(), {**counts}]:
            return {str(name): count for name, count in counts.items() if isinstance(count, int)}
    return {}


def _box(round: str, number: int) -> str:
    return f"usage:{round}:{number}"
