"""Whether the signals of every published version are sent, although those who publish are killed at random."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fleet.processes import HostProcess
from tests.fleet.world import World
from tests.support.processes import wait_until

KILL_EVERY = 8  # versions, on average
KILLED_WITHIN = 0.06  # seconds after a change: it is fetched, stored and signaled in about that time
PAUSES = (0.0, 0.5)  # seconds between two changes
SIGNALED_WITHIN = 10.0  # seconds


@dataclass(frozen=True)
class Signals:
    """What was published, and what became of it; `published` are the versions that the head ever named."""

    published: int
    kills: int
    leaders_killed: int
    missed: int
    duplicates: int
    made_up_for: int  # signaled by another process than the one that published
    seconds: float


class Course:
    """Changes a flag until enough versions are published, and kills a listener every now and then."""

    def __init__(self, world: World, seed: int, say: Callable[[str], None]) -> None:
        self._world = world
        self._dice = random.Random(seed)
        self._say = say
        self.kills: list[bool] = []  # whether it was the leader

    def run(self, versions: int) -> Signals:
        world, began = self._world, time.monotonic()
        while (count := len(shown(world))) < versions:
            self._say(f"{count} of {versions} versions, {len(self.kills)} kills")
            if self._dice.random() < 1 / KILL_EVERY:
                self._dice.choice([self._kill_somebody, self._kill_as_it_publishes])()
            else:
                world.update()
            wait_until(lambda: len(shown(world)) > count, "a new version", 3 * world.lease_seconds)
            time.sleep(self._dice.uniform(*PAUSES))
        world.settle()
        wait_until(lambda: not missed(world), "the signals of every version", SIGNALED_WITHIN)
        return self._sum_up(time.monotonic() - began)

    def _kill_somebody(self) -> None:
        """Kill a listener soon after a change, the leader more often than not, and start it again."""
        world, leader = self._world, self._world.leader()
        victim: HostProcess = self._dice.choice([*world.listeners.values(), *([leader] * 3 if leader else [])])
        world.update()
        time.sleep(self._dice.uniform(0.0, KILLED_WITHIN))
        victim.kill()
        self.kills.append(victim is leader)
        victim.start()

    def _kill_as_it_publishes(self) -> None:
        """Kill the leader between its writing a head and its telling of it, and start it again."""
        self._world.set_trap("after")
        self._world.update()
        victim = wait_until(self._find_victim, "a listener that dies in the trap", 3 * self._world.lease_seconds)
        self.kills.append(True)
        victim.start()

    def _find_victim(self) -> HostProcess | None:
        return next((listener for listener in self._world.listeners.values() if not listener.is_running), None)

    def _sum_up(self, seconds: float) -> Signals:
        signaled, versions = pairs(self._world.signaled), shown(self._world)
        told = {sequence for sequence, _ in signaled}
        by_its_writer = {sequence for sequence, _ in set(signaled) & set(pairs(self._world.writers))}
        return Signals(
            published=len(versions),
            kills=len(self.kills),
            leaders_killed=sum(self.kills),
            missed=len(missed(self._world)),
            duplicates=len(signaled) - len(told),
            made_up_for=len(versions & told - by_its_writer),
            seconds=seconds,
        )


def pairs(file: Path) -> list[tuple[int, int]]:
    """Return the version and the process of each line."""
    return [(int(sequence), int(pid)) for sequence, pid, *_ in map(str.split, file.read_text().splitlines())]


def shown(world: World) -> set[int]:
    """Return the versions that the head ever named."""
    return {put.sequence for put in world.heads.puts}


def missed(world: World) -> set[int]:
    """Return the versions that the head named, and that nobody was told of.

    Two of them that a leader did not come to before it ended are signaled as one update, from the version before both.
    """
    told = [(int(line[2]), int(line[0])) for line in map(str.split, world.signaled.read_text().splitlines())]
    return {version for version in shown(world) if not any(after < version <= until for after, until in told)}
