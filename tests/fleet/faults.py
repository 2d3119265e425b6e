"""What happens to a fleet, one fault at a time, and how it comes through."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from tests.fleet.flagsmith import FOREVER, at_once, longest_gap
from tests.fleet.heads import stood_back
from tests.fleet.network import FLAGSMITH, REDIS
from tests.fleet.processes import HostProcess
from tests.fleet.world import STARTED_WITHIN, World
from tests.support.processes import wait_until

SIGTERM_WITHIN = 1.5  # seconds
SEEN_WITHIN = 5.0  # seconds, beside those of the lease
UNDONE_WITHIN = 20.0  # seconds for what a process that wakes still does; twenty are for a machine that is busy
AWAY = 2.0  # seconds in which there is no Redis
STANDS_BACK = 5.0  # seconds for which an older head may stand
LEADS_AGAIN = "leader's host cut off from Redis, and it leads again later"
REDIS_RESTART = "Redis killed, back and empty after two seconds"
ROLLING_RESTART = "rolling restart of all listeners and readers"
UPDATE_EVERY = 1.0  # seconds


@dataclass(frozen=True)
class Fault:
    """What happens to the leader for as long as `strike` lasts."""

    strike: Callable[[World, HostProcess], AbstractContextManager[None]]
    within: Callable[[float], float] = lambda lease_seconds: lease_seconds
    cuts_cache: bool = False  # of the readers on the leader's host
    freezes: bool = False  # the leader, which wakes and must stand down
    severs_stream: bool = False  # of which Flagsmith learns nothing


@contextmanager
def killed(world: World, leader: HostProcess) -> Iterator[None]:
    leader.kill()
    yield
    leader.start()


@contextmanager
def terminated(world: World, leader: HostProcess) -> Iterator[None]:
    assert leader.process
    leader.process.terminate()
    yield
    leader.process.wait(10)
    leader.start()


@contextmanager
def frozen(world: World, leader: HostProcess) -> Iterator[None]:
    leader.freeze()
    try:
        yield
    finally:
        leader.thaw()


@contextmanager
def frozen_as_it_writes(world: World, leader: HostProcess) -> Iterator[None]:
    world.set_trap("before")
    world.update()
    wait_until(lambda: leader.is_frozen, "the leader in the trap")
    with frozen(world, leader):
        yield
        newest, woken_at = world.newest(), time.monotonic()
    wait_until(lambda: any(put.sequence < newest for put in world.heads.since(woken_at)), "what the woken one writes")
    wait_until(lambda: world.heads.puts[-1].sequence >= newest, "the newer version put back", UNDONE_WITHIN)


def cut_off_from(*places: str) -> Callable[[World, HostProcess], AbstractContextManager[None]]:
    @contextmanager
    def cut(world: World, leader: HostProcess) -> Iterator[None]:
        with ExitStack() as stack:
            for place in places:
                stack.enter_context(world.network.cut(leader.host, place))
            yield

    return cut


FAULTS = {
    "SIGTERM of the leader": Fault(terminated, within=lambda lease_seconds: SIGTERM_WITHIN),
    "`kill -9` of the leader": Fault(killed),
    "SIGSTOP of the leader": Fault(frozen, freezes=True),
    "SIGSTOP of the leader as it writes the head": Fault(frozen_as_it_writes, freezes=True),
    "leader's host cut off from Redis": Fault(cut_off_from(REDIS), cuts_cache=True),
    "leader's host cut off from Flagsmith": Fault(
        cut_off_from(FLAGSMITH), within=lambda lease_seconds: lease_seconds + SEEN_WITHIN, severs_stream=True
    ),
    "leader's host cut off from both": Fault(cut_off_from(REDIS, FLAGSMITH), cuts_cache=True, severs_stream=True),
}


@dataclass(frozen=True)
class Figure:
    """One fault, once. Times are seconds since it began."""

    fault: str
    network: str  # what joined the hosts
    takeover: float  # until another listener had opened the stream
    seen: float  # until all readers that nothing cuts off held an update made meanwhile; or since the end of it
    updates: int
    requests: int  # for the document
    streams: int  # open at once, at most, without those of a process that is frozen or cut off
    stood_back: float  # for how long a head was older than one before it
    back: int  # reads of something older than before
    errors: int  # reads that raised


class Measurement:
    """Counts what changes in the world from now on."""

    def __init__(self, world: World, fault: str) -> None:
        self.began = time.monotonic()
        self._world = world
        self._fault = fault
        self._before = {name: world.total(name) for name in ("back", "errors")}
        self._updates = world.updates
        self._newest = world.newest()

    def figure(self, *, seen: float, since: float | None = None, takeover: float | None = None) -> Figure:
        """Return what it came to; where no single takeover is meant, the longest time without a stream counts.

        `since` is when what was seen could be seen, if that was after the beginning.
        """
        world, now = self._world, time.monotonic()
        streams = world.standin.visits.streams(self.began)
        return Figure(
            fault=self._fault,
            network=world.network.kind,
            takeover=takeover - self.began if takeover else longest_gap(streams, self.began, now),
            seen=seen - (since or self.began),
            updates=world.updates - self._updates,
            requests=world.standin.visits.documents(self.began),
            streams=at_once(streams),
            stood_back=stood_back(world.heads.since(self.began), self._newest, now),
            back=world.total("back") - self._before["back"],
            errors=world.total("errors") - self._before["errors"],
        )


def suffer(world: World, name: str, fault: Fault) -> Figure:
    """Let one fault happen to the leader of a fleet that is well; heal it; return when the fleet is well again."""
    world.settle()
    leader = world.leader()
    assert leader
    measurement = Measurement(world, name)
    [stream] = world.standin.visits.open_streams()
    with fault.strike(world, leader):
        began = time.monotonic()
        if fault.freezes or fault.severs_stream:
            stream.counts_from = FOREVER
        with world.updating(UPDATE_EVERY):
            world.update()
            takeover = wait_for_takeover(world, began, leader)
        seen = wait_until_seen(world, away=leader.host if fault.cuts_cache else None)
    if fault.freezes:
        wait_until(lambda: stream.ended < FOREVER, "the end of the stream of the one that woke", UNDONE_WITHIN)
    world.update()
    world.settle()
    return measurement.figure(takeover=takeover, seen=seen)


def lead_again(world: World) -> Figure:
    """Cut the leader off from Redis while updates come; once it is back, let it lead again."""
    world.settle()
    leader = world.leader()
    assert leader
    measurement = Measurement(world, LEADS_AGAIN)
    with cut_off_from(REDIS)(world, leader):
        with world.updating(UPDATE_EVERY):
            takeover = wait_for_takeover(world, measurement.began, leader)
        seen = wait_until_seen(world, away=leader.host)
    world.settle()
    others = [listener for listener in world.listeners.values() if listener is not leader]
    for listener in others:
        listener.terminate()
    wait_until(lambda: world.leader() is leader, "the lease of the one that is left", world.lease_seconds)
    for listener in others:
        listener.start()
    world.update()
    world.settle()
    return measurement.figure(takeover=takeover, seen=seen)


def wait_for_takeover(world: World, since: float, leader: HostProcess) -> float:
    """Return when another listener had opened the stream."""
    patience = 2 * world.lease_seconds + 20
    return wait_until(lambda: world.opened(since, not_by=leader.name), "a takeover", patience)


def wait_until_seen(world: World, away: str | None = None) -> float:
    """Return when the last reader held the last update, those of a host that is away aside."""
    groups = [readers for readers in world.readers if readers.host != away]
    wait_until(lambda: all(readers.hold(world.value) for readers in groups), "the last update at all readers", 60)
    return max((readers.held_since() for readers in groups), default=time.monotonic())


def restart_redis(world: World) -> Figure:
    """Kill Redis, and start it again, empty, after a while in which updates come."""
    world.settle()
    measurement = Measurement(world, REDIS_RESTART)
    with world.updating(UPDATE_EVERY):
        world.redis.kill()
        time.sleep(AWAY)
        world.redis.restart()
    since = time.monotonic()
    world.update()
    seen = wait_until_seen(world)
    world.settle()
    return measurement.figure(seen=seen, since=since)


def restart_all(world: World) -> Figure:
    """Restart each listener and all readers, one after the other, while updates come."""
    world.settle()
    measurement = Measurement(world, ROLLING_RESTART)
    with world.updating(UPDATE_EVERY):
        for listener in world.listeners.values():
            listener.terminate()
            listener.start()
            wait_until(
                lambda one=listener: "Flagsmith listener started" in one.said(),
                "a listener that has started",
                STARTED_WITHIN,
            )
        for readers in world.readers:
            readers.terminate()
            readers.start()
            wait_until(
                lambda some=readers: len(some.reports) == some.count, "readers that have started", STARTED_WITHIN
            )
    since = time.monotonic()
    world.update()
    seen = wait_until_seen(world)
    world.settle()
    return measurement.figure(seen=seen, since=since)


COURSES: dict[str, Callable[[World], Figure]] = {
    **{name: partial(suffer, name=name, fault=fault) for name, fault in FAULTS.items()},
    LEADS_AGAIN: lead_again,
    REDIS_RESTART: restart_redis,
    ROLLING_RESTART: restart_all,
}


def holds(figure: Figure, lease_seconds: float, slack: float = 1.0) -> bool:
    """Tell whether a figure is as it was promised; `slack` is a factor of the times, for a machine that is busy."""
    within = {REDIS_RESTART: SIGTERM_WITHIN, ROLLING_RESTART: SIGTERM_WITHIN, LEADS_AGAIN: lease_seconds}
    within |= {name: fault.within(lease_seconds) for name, fault in FAULTS.items()}
    return (
        figure.takeover <= within[figure.fault] * slack
        and figure.streams <= (2 if figure.fault == REDIS_RESTART else 1)  # whoever is first takes a lease that is lost
        and figure.stood_back <= STANDS_BACK * slack
        and (figure.back, figure.errors) == (0, 0)
    )
