"""When to fetch the document next, and whether to accept what came.

Pure: no clock and no I/O of its own; `now` is a monotonic time in seconds, times of Flagsmith are integers of
microseconds. An announced time is only a hint: documents stay old for up to a minute after it, and announced times
are not in the order of the changes. So the document is fetched again until it is as new as what was announced (the
chase), and one that is older than the published one is held back meanwhile.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from ..environment.snapshot import Document, Snapshot
from ..storage.announcements import STREAM, WEBHOOK, Announcement
from .backoff import FETCH, Backoff
from .stream_health import NEVER, StreamHealth

# A document that is far behind comes from a cache on the way. Flagsmith's own hold one for 60 s at most: the settings
# ENVIRONMENT_CACHE_SECONDS, for each of its workers, and CACHE_ENVIRONMENT_DOCUMENT_SECONDS of the API. Often at first,
# as most changes are there at once, then every 10 s; half a minute more than the 60 s is for slow answers.
FAR_DELAYS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds
FAR_INTERVAL = 10.0  # seconds
CHASE_SECONDS = 90.0

# After concurrent saves Flagsmith announced a time that was 0.1 s newer than the document's would ever be. So little
# behind is either that, or a change that a cache does not show yet: few fetches. Each may fill a cache of 60 s with the
# old document again, so the pause before the last is longer than that.
NEAR = 1_000_000  # microseconds
NEAR_DELAYS = (1.0, 5.0, 20.0, 65.0)  # seconds

COALESCE_SECONDS = 0.25  # between two fetches: a person who saves twice costs two, a script that saves 100 flags few
REPLAY_SECONDS = 1.0  # on a new connection the stream service sends its latest time, at most a second later
COVERED_SECONDS = 1.0  # for which a webhook waits for a stream or queue-change: the latter came 0.04 s after it
REMEMBERED = 64  # announced times: the stream replays one, a burst brings some; a key of 1 kB in the cache

# A chase to its end takes 14 requests: two of them at once, and one request every 10 s, as at the end of a chase.
BUDGET_TOKENS = 30
TOKENS_PER_SECOND = 0.1


Announcements = tuple[int | None, tuple[int, ...]]  # the time that is still chased, and the latest that were seen


@dataclass(frozen=True)
class Chase:
    """Fetching again until the document is as new as `target`; `began` with the first document that was not.

    A fetch that began before `announced_at` says nothing about it. `is_guess`: no announced time, but one that a
    webhook is sure to be newer than; a change ends that chase, too.
    """

    target: int
    announced_at: float
    is_guess: bool = False
    began: float | None = None
    far: int = 0
    near: int = 0

    def next(self, updated_at: int, now: float) -> tuple[float | None, Chase]:
        """Return the seconds until the next fetch, None for no more, and the state after it."""
        chase = self if self.began is not None else replace(self, began=now)
        if self.is_guess or 0 < self.target - updated_at < NEAR:
            return next(iter(NEAR_DELAYS[self.near :]), None), replace(chase, near=self.near + 1)
        delay = next(iter(FAR_DELAYS[self.far :]), FAR_INTERVAL)
        if chase.began is not None and now + delay - chase.began > CHASE_SECONDS:
            return None, chase
        return delay, replace(chase, far=self.far + 1)


@dataclass(frozen=True)
class Budget:
    """Tokens for requests that bring no change; spending never fails, but an empty bucket delays."""

    capacity: float = BUDGET_TOKENS
    spent: float = 0.0
    at: float = 0.0

    def spend(self, now: float) -> Budget:
        regained = (now - self.at) * TOKENS_PER_SECOND
        return Budget(self.capacity, max(self.spent - regained, 0.0) + 1, now)

    def ready_at(self) -> float:
        """Return when there is a token."""
        return self.at + max(self.spent + 1 - self.capacity, 0.0) / TOKENS_PER_SECOND


class Schedule:
    """When to fetch next, from what was announced, what came of it, and how well the stream works.

    `poll_interval` and `fallback_poll_interval` are seconds: beside a stream or queue-change that works, and else; 0 is
    never.
    `may_be_behind`: the source may serve an older document for a while, which is then held back.
    """

    def __init__(
        self,
        *,
        poll_interval: float,
        fallback_poll_interval: float = 0.0,
        now: float,
        budget: Budget | None = None,
        retry: Backoff = FETCH,
        may_be_behind: bool = True,
    ) -> None:
        self.announced_at: float | None = None  # the first announcement that nothing was published for yet
        self.announced_by: str | None = None  # its source
        self._stream_health = StreamHealth(
            poll_interval=poll_interval, fallback_poll_interval=fallback_poll_interval, now=now
        )
        self._may_be_behind = may_be_behind
        self._requested_at: float | None = now  # only a fetch that begins then or later will do
        self._began_at = -NEVER  # the last fetch
        self._fetched_at = now  # the beginning of the last fetch that succeeded
        self._chase: Chase | None = None
        self._chase_due: float | None = None
        self._latest_announced: int | None = None
        self._seen: deque[int] = deque(maxlen=REMEMBERED)
        self._retry = self._failures = retry
        self._not_before = -NEVER  # after a failure
        self._failing_since: float | None = None
        self.budget = budget or Budget()
        self._missed_at: float | None = None  # when to fetch what a gap may have hidden; a replay does instead
        self._uncovered_at: float | None = None  # when to fetch for a webhook, unless another source has led to it

    def due(self) -> float:
        """Return when the next fetch is due; `inf` for never."""
        poll_at = self._stream_health.poll_at(self._fetched_at)
        wishes = (self._requested_at, self._chase_due, self._missed_at, self._uncovered_at, poll_at)
        soonest = min(at for at in wishes if at is not None)
        return max(soonest, self._not_before, self._began_at + COALESCE_SECONDS, self.budget.ready_at())

    def begin_fetch(self, now: float) -> None:
        self._began_at = now
        self._requested_at = self._chase_due = self._missed_at = self._uncovered_at = None

    def fetch_soon(self, now: float) -> None:
        """Let a fetch be due as soon as failures and the budget allow."""
        self._requested_at = now if self._requested_at is None else min(self._requested_at, now)

    @property
    def announcements(self) -> Announcements:
        """What the next leader should know of announced times."""
        return self._chase.target if self._chase and not self._chase.is_guess else None, tuple(self._seen)

    def restore(self, announcements: Announcements, now: float) -> None:
        """Go on with the `announcements` of the leader before this one."""
        pending, seen = announcements
        self._seen.extendleft(time for time in reversed(seen) if time not in self._seen)
        if pending is not None:
            self._begin_chase(pending, now)

    def announce(self, announcement: Announcement, now: float) -> bool:
        """Note an announcement; return whether it needs a fetch: a time that was seen before costs nothing."""
        source, time, signed_at = announcement.source, announcement.time, announcement.signed_at
        self._stream_health.note_announcement(source)
        if source == STREAM:
            self._missed_at = None
        self._latest_announced = time or self._latest_announced
        if time in self._seen:
            return False
        if time is not None:
            self._begin_chase(time, now)
        elif source == WEBHOOK and self._stream_health.announces_times:
            self._uncovered_at = self._uncovered_at or now + COVERED_SECONDS
        else:
            self.fetch_soon(now)
        if signed_at is not None and (not self._chase or self._chase.is_guess):
            self._chase = Chase(signed_at - NEAR, now, is_guess=True)
        self.announced_at, self.announced_by = self.announced_at or now, self.announced_by or source
        return True

    def _begin_chase(self, time: int, now: float) -> None:
        self._chase = Chase(max(time, self._chase.target) if self._chase else time, now)
        self._seen.append(time)
        self._chase_due = now

    def connect(self, now: float) -> None:
        """Note that the stream is open; what it may have missed is fetched unless it replays something."""
        if self._stream_health.connect(now, asked_at=max(self._fetched_at, self._began_at)):
            self._missed_at = now + REPLAY_SECONDS

    def disconnect(self, now: float, *, clean: bool) -> None:
        self._stream_health.disconnect(now, clean=clean)

    def stand_by(self, now: float) -> None:
        """Note that another process may publish from now on: what was announced before excuses no older document."""
        self.disconnect(now, clean=False)
        self._latest_announced = self.announced_at = self.announced_by = None
        if self._chase:
            self._chase = replace(self._chase, began=None, far=0, near=0)

    def known_ago(self, now: float) -> float | None:
        """Return the seconds since Flagsmith was known to have nothing newer; None while there is more to find out."""
        is_fetching = self._began_at > self._fetched_at
        if is_fetching or self.is_pending:
            return None
        return 0.0 if self._stream_health.is_reliable else now - self._fetched_at

    @property
    def is_pending(self) -> bool:
        """Whether there is more to fetch than the next poll."""
        wishes = (self._chase, self._requested_at, self._missed_at, self._uncovered_at)
        return any(wish is not None for wish in wishes)

    def accept(self, document: Document, published: Snapshot | None, now: float) -> bool:
        """Return whether to publish a document that was fetched; else it is held back while the chase goes on."""
        self._fetched_at = self._began_at
        self._failures, self._not_before = self._retry, -NEVER
        if self._failing_since is not None and self._chase:  # it goes on as if the outage had taken no time
            began, lost = self._chase.began, now - self._failing_since
            self._chase = replace(self._chase, far=0, near=0, began=None if began is None else began + lost)
        self._failing_since = None
        self._stream_health.note_document(realtime_enabled=document.realtime_enabled)
        is_older = self._may_be_behind and published is not None and self._is_older(document, published)
        chase = self._chase
        if is_older and published and (not chase or chase.is_guess):
            chase = Chase(max(published.head.updated_at, chase.target if chase else 0), self._began_at)
        if chase and chase.is_guess and self._began_at >= chase.announced_at:
            has_changed = published is None or document.environment.version != published.version
            chase = None if has_changed else chase
        if chase and (is_older or document.updated_at < chase.target):
            if self._began_at < chase.announced_at:
                self._chase_due = chase.announced_at
                return not is_older
            delay, self._chase = chase.next(document.updated_at, now)
            if delay is not None:
                self._chase_due = now + delay
                return not is_older
        self._chase = self._chase_due = None
        if self._latest_announced and self._latest_announced < document.updated_at:
            self._latest_announced = None
        if document.updated_at not in self._seen:
            self._seen.append(document.updated_at)
        return True

    def _is_older(self, document: Document, published: Snapshot) -> bool:
        if published.environment.flags and not document.environment.flags:
            return True  # rather incomplete than meant: who deletes all flags at once?
        return document.updated_at < published.head.updated_at and document.updated_at != self._latest_announced

    @property
    def stream_doubt(self) -> str | None:
        """Why the stream, also while it is open, would not announce a change; None where it would."""
        return self._stream_health.doubt

    def note_published(self, *, has_changed: bool) -> None:
        """Note that an accepted document is in the cache."""
        if has_changed and self.announced_at is None:
            self._stream_health.note_unannounced_change()
        self.announced_at = self.announced_by = None

    def spend(self, now: float) -> None:
        """Note that a fetch brought no change."""
        self.budget = self.budget.spend(now)

    def fail(self, now: float, *, retry_after: float | None = None) -> None:
        """Note that a fetch failed: it is tried again for ever."""
        delay, self._failures = self._failures.next(floor=retry_after or 0.0)
        self._not_before = now + delay
        self._requested_at = now
        self._failing_since = self._failing_since or now
