"""Toggle flags for a while under random faults of everything, and see that no reader ever notices.

    python -m tests.tools.soak --seconds 60 [--seed N]

A real Redis, the stand-in behind a proxy that fails, a real `flagsmith_listen` and four processes that read. Prints
a Markdown table; the exit code is 1 if a reader failed, stepped back, saw what never was, or missed the last state.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from standin.server import StandIn

from tests.support.fault_proxy import CANNED, FaultProxy, canned, replayed, truncated
from tests.support.paths import ROOT
from tests.support.processes import RedisServer, ServerProcess, wait_until
from tests.tools.soak_reader import FLAG

READERS = 4
FIRST_VALUE = 1_000
TOGGLE_PAUSES = (0.05, 2.0)  # seconds
FAULT_LASTS = (0.2, 5.0)  # seconds
FAULT_PAUSES = (0.5, 6.0)  # seconds between two faults of the same part
LISTENER_PAUSES = (2.0, 16.0)  # seconds between two faults of the listener
LAST_REQUEST_WITHIN = 2.0  # seconds
HEALED_WITHIN = 60.0  # seconds
LOOK_EVERY = 0.01  # seconds
STARTED_WITHIN = 30.0  # seconds
REMEMBERED_DOCUMENTS = 5
SHOWN_COMPLAINTS = 10

HEAD_KEY = "*flagsmith:*:head"
PAYLOAD_KEYS = "*flagsmith:*:payload:*"
GARBAGE = (
    b"",
    b"garbage",
    b"17",
    b"\x80\x05\x8c",  # a pickle that is cut off
    b"\x80\x05K\x01.",  # a pickle of something else
    b"\x80\x05cnowhere\nNothing\n.",  # a pickle of what can't be imported
    b"\x80\x63.",  # a pickle of a later Python
)

Fault: TypeAlias = Callable[[], AbstractContextManager[Any]]


class DjangoProcess(ServerProcess):
    """A Python process of the test project."""

    program = sys.executable
    folder = ROOT  # where the package is imported from

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        super().__init__()
        self._environment = environment
        self._arguments = arguments

    def start(self) -> None:
        """Start without waiting for anything; the log goes on where it was."""
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.path, *self._arguments],
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=self.output(log),
                stderr=log,
            )

    def output(self, log: Any) -> Any:
        return log

    def restart(self) -> None:
        self.start()

    @contextmanager
    def killed(self) -> Iterator[None]:
        self.kill()
        try:
            yield
        finally:
            self.restart()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()


class Listener(DjangoProcess):
    """`manage.py flagsmith_listen`, and the memory of each of its incarnations."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(environment, "-m", "django", "flagsmith_listen")
        self.memory: list[list[float]] = []  # megabytes; of each incarnation the first and the last

    def start(self) -> None:
        self._log_begins = len(self.log()) if self.process else 0
        self.memory.append([])
        super().start()

    def measure(self) -> None:
        """Note the resident memory, once all is imported."""
        if self.is_running and self.process and "Flagsmith listener started" in self.log()[self._log_begins :]:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            [kilobytes] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")]
            self.memory[-1] = [*self.memory[-1][:1], kilobytes / 1024]

    def described_memory(self) -> str:
        """Return the memory at the start and the end of the first incarnation and of the last."""
        measured = [memory for memory in self.memory if len(memory) == 2]
        if not measured:
            return "not measured"
        return ", ".join(f"{first:.1f} → {last:.1f}" for first, last in (measured[0], measured[-1]))


class Reader(DjangoProcess):
    """A process that reads, and the sum of what all its incarnations reported."""

    def __init__(self, environment: dict[str, str], name: str, complain: Callable[[str], None]) -> None:
        super().__init__(environment, "-m", "tests.tools.soak_reader")
        self.name = name
        self.totals: Counter[str] = Counter()
        self.values: set[Any] = set()
        self.slowest = 0.0
        self.held: Any = None
        self._complain = complain

    def output(self, log: Any) -> Any:
        return subprocess.PIPE

    def start(self) -> None:
        self.held = None
        super().start()
        assert self.process and self.process.stdout
        threading.Thread(target=self._follow, args=[self.process], daemon=True).start()

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                if line.endswith(b"\n"):  # not cut off by a kill
                    self._add(json.loads(line), is_current=process is self.process)

    def _add(self, report: dict[str, Any], is_current: bool) -> None:
        self.totals.update({name: report[name] for name in ("reads", "empty", "errors", "back", "torn")})
        self.values.update(report["values"])
        self.slowest = max(self.slowest, report["slowest"])
        if is_current:
            self.held = report["held"]
        for told in report["told"]:
            self._complain(f"{self.name}: {told}")


class World:
    """All that takes part, started and healthy."""

    def __init__(self, stack: ExitStack, note: Callable[[str], None], complain: Callable[[str], None]) -> None:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.note = note
        self.redis = RedisServer()
        stack.callback(self.redis.end)
        self.redis.start()
        self.standin = stack.enter_context(StandIn(state_path=directory / "flags.json"))
        self.proxy = FaultProxy(int(self.standin.url.rpartition(":")[2]))
        stack.callback(self.proxy.close)
        self.listener = Listener(self._environment())
        self.readers = [Reader(self._environment(), f"reader {number}", complain) for number in range(1, READERS + 1)]
        for process in (self.listener, *self.readers):
            stack.callback(process.end)
            process.start()
        self.values = [self.standin_value()]
        self.documents = [self.standin.document]
        wait_until(self.is_settled, "every reader having the first state", STARTED_WITHIN)

    def _environment(self) -> dict[str, str]:
        cache = self.redis.cache(socket_connect_timeout=0.5, socket_timeout=0.5)
        flagsmith = {
            "ENVIRONMENT_KEY": self.standin.server_key,
            "API_URL": f"{self.proxy.url}api/v1/",
            "REALTIME_URL": self.proxy.url,
        }
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.support.project.settings",
            "TEST_CACHES": json.dumps({"default": cache}),
            "TEST_FLAGSMITH": json.dumps(flagsmith),
        }

    def standin_value(self) -> Any:
        states = self.standin.document["feature_states"]
        return next(state["feature_state_value"] for state in states if state["feature"]["name"] == FLAG)

    def toggle(self) -> None:
        self.values.append(max(FIRST_VALUE, self.values[-1] + 1))
        self.standin.set_flag(FLAG, value=self.values[-1])
        self.documents = [*self.documents[-REMEMBERED_DOCUMENTS + 1 :], self.standin.document]
        self.note(f"set to {self.values[-1]}")

    def behind(self) -> int:
        """Return how many readers do not hold the last state."""
        return sum(reader.held != self.values[-1] for reader in self.readers)

    def is_settled(self) -> bool:
        return self.behind() == 0

    def unexpected_ends(self) -> int:
        """Count the processes that ended although nobody killed them; to be asked while all is healed."""
        return sum(not process.is_running for process in (self.listener, *self.readers))


# Faults: each lasts as long as its block


@contextmanager
def at_once(act: Callable[[], object]) -> Iterator[None]:
    """A fault that needs no healing."""
    act()
    yield


@contextmanager
def redis_killed(redis: RedisServer) -> Iterator[None]:
    redis.kill()
    try:
        yield
    finally:
        redis.restart()


@contextmanager
def redis_frozen(redis: RedisServer) -> Iterator[None]:
    redis.freeze()
    try:
        yield
    finally:
        redis.thaw()


def delete(redis: RedisServer, pattern: str) -> None:
    with redis.client() as client:
        for key in client.scan_iter(pattern):
            client.delete(key)


def overwrite(redis: RedisServer, pattern: str, garbage: bytes) -> None:
    with redis.client() as client:
        for key in client.scan_iter(pattern):
            client.set(key, garbage)


def flush(redis: RedisServer) -> None:
    with redis.client() as client:
        client.flushall()


def network_faults(world: World, dice: random.Random) -> dict[str, Fault]:
    proxy = world.proxy
    return {
        "Flagsmith refuses connections": proxy.refusing,
        "Flagsmith hangs": proxy.hanging,
        "connections reset": lambda: at_once(proxy.reset),
        **{
            f"Flagsmith answers {name}": lambda answer=answer: proxy.answering(canned(answer))
            for name, answer in CANNED.items()
        },
        "truncated document": lambda: proxy.answering(truncated(world.standin.document)),
        "stale document": lambda: proxy.answering(replayed(dice.choice(world.documents))),
    }


def cache_faults(world: World, dice: random.Random) -> dict[str, Fault]:
    redis = world.redis
    return {
        "FLUSHALL": lambda: at_once(lambda: flush(redis)),
        "Redis killed": lambda: redis_killed(redis),
        "Redis frozen": lambda: redis_frozen(redis),
        "head deleted": lambda: at_once(lambda: delete(redis, HEAD_KEY)),
        "payload deleted": lambda: at_once(lambda: delete(redis, PAYLOAD_KEYS)),
        "garbage under head": lambda: at_once(lambda: overwrite(redis, HEAD_KEY, dice.choice(GARBAGE))),
        "garbage under payload": lambda: at_once(lambda: overwrite(redis, PAYLOAD_KEYS, dice.choice(GARBAGE))),
    }


def listener_faults(world: World, dice: random.Random) -> dict[str, Fault]:
    return {"listener killed": world.listener.killed, "listener frozen": world.listener.frozen}


def reader_faults(world: World, dice: random.Random) -> dict[str, Fault]:
    return {"reader killed": lambda: dice.choice(world.readers).killed()}


# The course of events: each lane yields the seconds until it goes on

Lane: TypeAlias = Iterator[float]


def toggles(world: World, dice: random.Random) -> Lane:
    while True:
        yield dice.uniform(*TOGGLE_PAUSES)
        world.toggle()


def faults(
    world: World, dice: random.Random, kinds: dict[str, Fault], pauses: tuple[float, float], injected: Counter[str]
) -> Lane:
    """One fault of a part after the other, the kinds in turns; what is broken is healed when the lane is closed."""
    while True:
        for kind in dice.sample(sorted(kinds), len(kinds)):
            yield dice.uniform(*pauses)
            world.note(kind)
            injected[kind] += 1
            with kinds[kind]():
                yield dice.uniform(*FAULT_LASTS)
            world.note(f"{kind}: over")


@dataclass
class Soak:
    """One run and its figures."""

    seconds: float
    seed: int
    injected: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    healing: float | None = None
    began: float = field(default_factory=time.monotonic)

    def run(self) -> bool:
        """Run, print the table, and tell whether all went well."""
        with ExitStack() as stack:
            world = World(stack, self.note, self.complain)
            self.began = time.monotonic()
            self._live(world)
            self._toggle_once_more(world)
            self._heal(world)
            figures = Figures(world, self)
            print(figures.table())
            if not figures.is_good():
                self._explain(world)
            return figures.is_good()

    def note(self, what: str) -> None:
        """Keep a line for the log."""
        self.notes.append(f"{time.monotonic() - self.began:8.3f} {what}")

    def complain(self, what: str) -> None:
        """Keep what a reader has to say of itself."""
        self.note(what)
        self.complaints.append(self.notes[-1])

    def _live(self, world: World) -> None:
        """Let all lanes go on until the time is over, then close them."""
        lanes = list(self._lanes(world))
        order = itertools.count()
        schedule = [(self.began, next(order), lane) for lane in lanes]
        while (due := schedule[0][0]) < self.began + self.seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            lane = heapq.heappop(schedule)[2]
            heapq.heappush(schedule, (time.monotonic() + next(lane), next(order), lane))
        time.sleep(max(0.0, self.began + self.seconds - time.monotonic()))
        for lane in lanes:
            lane.close()

    def _toggle_once_more(self, world: World) -> None:
        """Make the last change such that the request for it fails, if the stream is there to cause one."""
        requests = world.proxy.document_requests
        give_up_at = time.monotonic() + LAST_REQUEST_WITHIN
        with world.proxy.answering(canned(CANNED["500"])):
            world.toggle()
            while world.proxy.document_requests == requests and time.monotonic() < give_up_at:
                time.sleep(LOOK_EVERY)

    def _lanes(self, world: World) -> Iterator[Any]:
        yield toggles(world, random.Random(f"{self.seed} toggles"))
        for kinds in (network_faults, cache_faults, listener_faults, reader_faults):
            dice = random.Random(f"{self.seed} {kinds.__name__}")
            pauses = LISTENER_PAUSES if kinds is listener_faults else FAULT_PAUSES
            yield faults(world, dice, kinds(world, dice), pauses, self.injected)
        yield self._progress(world)

    def _progress(self, world: World) -> Iterator[float]:
        is_terminal = sys.stdout.isatty()
        for second in itertools.count():
            world.listener.measure()
            if is_terminal or second % 10 == 0:
                reads = sum(reader.totals["reads"] for reader in world.readers)
                line = (
                    f"{second:5d} s  {len(world.values) - 1} toggles  {self.injected.total()} faults  {reads:,} reads"
                )
                print(f"\r{line}" if is_terminal else line, end="" if is_terminal else "\n", flush=True)
            yield 1.0
        if is_terminal:
            print()

    def _heal(self, world: World) -> None:
        """Wait until every reader holds the last state."""
        self.note("healed")
        healed_at = time.monotonic()
        while not world.is_settled() and time.monotonic() < healed_at + HEALED_WITHIN:
            time.sleep(LOOK_EVERY)
        if world.is_settled():
            self.healing = time.monotonic() - healed_at
        world.listener.measure()

    def _explain(self, world: World) -> None:
        path = Path(tempfile.mkdtemp(prefix="soak-"))
        (path / "events").write_text("\n".join(self.notes))
        (path / "listener").write_text(world.listener.log())
        for reader in world.readers:
            (path / reader.name.replace(" ", "-")).write_text(reader.log())
        print("\n".join(["", *self.complaints[:SHOWN_COMPLAINTS], f"What happened when is in {path}/"]))


@dataclass
class Figures:
    """What a run came to."""

    world: World
    soak: Soak

    def must_be_zero(self) -> dict[str, int]:
        known = {*self.world.values, None}
        return {
            "reader errors": self._total("errors"),
            "steps backwards": self._total("back"),
            "unknown states": sum(len(reader.values - known) for reader in self.world.readers) + self._total("torn"),
            "readers without the final state": self.world.behind(),
            "processes that ended by themselves": self.world.unexpected_ends(),
        }

    def is_good(self) -> bool:
        return not any(self.must_be_zero().values())

    def table(self) -> str:
        requests, count = self.world.proxy.document_requests, len(self.world.values) - 1
        healing = self.soak.healing
        rows = {
            "seconds": f"{self.soak.seconds:g}",
            "seed": self.soak.seed,
            "toggles": count,
            "faults": self.soak.injected.total(),
            **{f"· {kind}": number for kind, number in sorted(self.soak.injected.items())},
            "reads": f"{self._total('reads'):,}",
            "reads before there were flags": f"{self._total('empty'):,}",
            **{name: f"**{number}**" for name, number in self.must_be_zero().items()},
            "slowest read, seconds": f"{max(reader.slowest for reader in self.world.readers):.2f}",
            "document requests": requests,
            "requests per toggle": f"{requests / max(count, 1):.2f}",
            "seconds to the final state after healing": "never" if healing is None else f"{healing:.2f}",
            "listener MB at start → end, first and last incarnation": self.world.listener.described_memory(),
        }
        return "\n".join(["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows.items())])

    def _total(self, name: str) -> int:
        return sum(reader.totals[name] for reader in self.world.readers)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long to toggle and to break (%(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="for the same course of events")
    options = parser.parse_args()
    sys.exit(0 if Soak(options.seconds, options.seed).run() else 1)


if __name__ == "__main__":
    main()
