"""When to fetch the document next, and whether to believe what came.

Pure: no clock and no I/O of its own; `now` is a monotonic time in seconds, times of Flagsmith are integers of
microseconds. An announced time is only a hint: bodies stay old for up to a minute after it, and its order is not
that of the changes. So the document is asked for again until it is as new as what was announced (the chase), and
a body older than the published one is held back meanwhile.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from ..environment.snapshot import Document, Snapshot
from .backoff import FETCH, Backoff
from .stream_health import NEVER, StreamHealth

FAR_DELAYS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
FAR_INTERVAL = 10.0
NEAR_DELAYS = (1.0, 5.0, 20.0, 65.0)
NEAR = 1_000_000  # microseconds
CHASE_SECONDS = 90.0

COALESCE_SECONDS = 0.25
REPLAY_SECONDS = 1.0  # for the stream to replay the latest time after it opened
REMEMBERED = 64

TOKENS_PER_SECOND = 0.1


@dataclass(frozen=True)
class Chase:
    """Asking again until the document is as new as `target`; `began` with the first body that was not.

    A request that began before `announced_at` says nothing about it.
    """

    target: int
    announced_at: float
    began: float | None = None
    far: int = 0
    near: int = 0

    def next(self, body_time: int, now: float) -> tuple[float | None, Chase]:
        """Return the seconds until the next try, None for no more, and the state after it."""
        chase = self if self.began is not None else replace(self, began=now)
        if 0 < self.target - body_time < NEAR:
            delay = dict(enumerate(NEAR_DELAYS)).get(self.near)
            return delay, replace(chase, near=self.near + 1)
        delay = dict(enumerate(FAR_DELAYS)).get(self.far, FAR_INTERVAL)
        if chase.began is not None and now + delay - chase.began > CHASE_SECONDS:
            return None, chase
        return delay, replace(chase, far=self.far + 1)


@dataclass(frozen=True)
class Budget:
    """Tokens for requests that bring no change; spending never fails, but an empty bucket delays."""

    capacity: float = 30.0
    spent: float = 0.0
    at: float = 0.0

    def spend(self, now: float) -> Budget:
        regained = (now - self.at) * TOKENS_PER_SECOND
        return Budget(self.capacity, max(self.spent - regained, 0.0) + 1, now)

    def ready_at(self) -> float:
        """Return when there is a token."""
        return self.at + max(self.spent + 1 - self.capacity, 0.0) / TOKENS_PER_SECOND


class Schedule:
    """What is known of the environment's state, and when to ask for more.

    `stream_health` is what is known of the stream. `poll_interval` and `fallback_poll_interval` are seconds: with a
    healthy stream, and without; 0 is never.
    `may_be_behind` tells whether the source may serve an older body for a while, which is then held back.
    """

    def __init__(
        self,
        *,
        poll_interval: float,
        fallback_poll_interval: float,
        now: float,
        budget: Budget | None = None,
        retry: Backoff = FETCH,
        may_be_behind: bool = True,
    ) -> None:
        self.stream_health = StreamHealth(
            poll_interval=poll_interval, fallback_poll_interval=fallback_poll_interval, now=now
        )
        self._wanted_at: float | None = now  # a request to begin then or later is wanted
        self._began_at = -NEVER  # the last request
        self._is_asking = False
        self._fetched_at = now  # the beginning of the last request that succeeded
        self._chase: Chase | None = None
        self._chase_due: float | None = None
        self._latest_event: int | None = None
        self._remembered: deque[int] = deque(maxlen=REMEMBERED)
        self._retry = self._failures = retry
        self._may_be_behind = may_be_behind
        self._not_before = -NEVER  # after a failure
        self._failing_since: float | None = None
        self._budget = budget or Budget()
        self._reconcile_at: float | None = None  # unless the stream replays something before

    def due(self) -> float:
        """Return when the next request is due; `inf` for never."""
        poll_at = self.stream_health.poll_at(self._fetched_at)
        wishes = (self._wanted_at, self._chase_due, self._reconcile_at, poll_at)
        soonest = min(at for at in wishes if at is not None)
        return max(soonest, self._not_before, self._began_at + COALESCE_SECONDS, self._budget.ready_at())

    def begin(self, now: float) -> None:
        """Note that a request begins."""
        self._began_at, self._is_asking = now, True
        self._wanted_at = self._chase_due = self._reconcile_at = None

    def want(self, now: float) -> None:
        """Ask for a request as soon as it may be."""
        self._wanted_at = now if self._wanted_at is None else min(self._wanted_at, now)

    @property
    def memory(self) -> tuple[int | None, tuple[int, ...]]:
        """The announced time that is still chased, and those that were seen."""
        return self._chase.target if self._chase else None, tuple(self._remembered)

    def recall(self, pending: int | None, seen: tuple[int, ...], now: float) -> None:
        """Take over the memory of a listener before this one."""
        self._remembered.extendleft(time for time in reversed(seen) if time not in self._remembered)
        if pending is not None:
            self._pursue(pending, now)

    def announce(self, time: int | None, now: float) -> bool:
        """Take an event; tell whether it asks for a request: one that was seen before costs nothing."""
        self._reconcile_at = None
        self.stream_health.hear()
        self._latest_event = time or self._latest_event
        if time is None:
            self.want(now)
        elif time not in self._remembered:
            self._pursue(time, now)
        else:
            return False
        return True

    def _pursue(self, time: int, now: float) -> None:
        self._chase = Chase(max(time, self._chase.target) if self._chase else time, now)
        self._remembered.append(time)
        self._chase_due = now

    def connect(self, now: float) -> None:
        """Note that the stream is open; what it may have missed is fetched unless it replays something."""
        if self.stream_health.connect(now, self._fetched_at):
            self._reconcile_at = now + REPLAY_SECONDS

    def disconnect(self, now: float, *, clean: bool) -> None:
        """Note that the stream is not open."""
        self.stream_health.disconnect(now, clean=clean)

    def stand_by(self, now: float) -> None:
        """Note that others may lead and publish from now on: what was heard before excuses no old body after it."""
        self.disconnect(now, clean=False)
        self._latest_event = None
        if self._chase:
            self._chase = Chase(self._chase.target, now)

    def known_ago(self, now: float) -> float | None:
        """Return the seconds since Flagsmith was known to have nothing newer; None while there is more to find out."""
        if self._is_asking or self._chase or self._wanted_at is not None or self._reconcile_at is not None:
            return None
        return 0.0 if self.stream_health.is_telling else now - self._fetched_at

    def believe(self, document: Document, published: Snapshot | None, now: float) -> bool:
        """Take a body; tell whether to publish it, or to hold it back while the chase goes on."""
        self._fetched_at, self._is_asking = self._began_at, False
        self._recover(now)
        self.stream_health.take_body(realtime_enabled=document.realtime_enabled)
        backward = published is not None and self._is_backward(document, published)
        chase = self._chase
        if backward and published and not chase:
            chase = Chase(published.head.updated_at, self._began_at)
        if chase and (backward or document.updated_at < chase.target) and self._goes_on(chase, document, now):
            return not backward
        self._chase = self._chase_due = None
        if self._latest_event and self._latest_event < document.updated_at:
            self._latest_event = None
        if document.updated_at not in self._remembered:
            self._remembered.append(document.updated_at)
        return True

    def _goes_on(self, chase: Chase, document: Document, now: float) -> bool:
        """Plan the chase's next request; tell whether there is one."""
        if self._began_at < chase.announced_at:
            self._chase_due = chase.announced_at
            return True
        delay, chase = chase.next(document.updated_at, now)
        self._chase, self._chase_due = chase, None if delay is None else now + delay
        return delay is not None

    def spend(self, now: float) -> None:
        """Note that a request brought no change."""
        self._budget = self._budget.spend(now)

    def fail(self, now: float, *, retry_after: float | None = None) -> None:
        """Note that a request, or storing what it brought, failed: it is tried again for ever."""
        self._is_asking = False
        delay, self._failures = self._failures.next(floor=retry_after or 0.0)
        self._not_before = now + delay
        self._wanted_at = now
        if self._failing_since is None:
            self._failing_since = now

    def _recover(self, now: float) -> None:
        """Go back to the first wait; the time of an outage is none of the chase's."""
        self._failures, self._not_before = self._retry, -NEVER
        if self._failing_since is not None and self._chase:
            began = self._chase.began
            lost = now - self._failing_since
            self._chase = replace(self._chase, far=0, near=0, began=None if began is None else began + lost)
        self._failing_since = None

    def _is_backward(self, document: Document, published: Snapshot) -> bool:
        if not self._may_be_behind:
            return False
        emptied = bool(published.environment.flags) and not document.environment.flags
        older = document.updated_at < published.head.updated_at
        return emptied or (older and document.updated_at != self._latest_event)
