"""What a listener does with the cache, which may fail at any step: a step that failed is tried again with the next run.

Beside publishing, the leader puts back what the cache lost, sees whether another process asks for a fetch (a nudge),
and leaves its status and the announcements that it knows of to the next leader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from ..environment.snapshot import Document
from ..exceptions import Overtaken, StoreError
from ..storage.status import Status
from . import events
from .events import Subscriber
from .publisher import Publisher

HANGS_SECONDS = 0.5  # a failure that took longer is a cache that hangs: each further step would wait as long

Announcements = tuple[int | None, tuple[int, ...]]  # the time that is chased, and those that were seen


@dataclass(frozen=True)
class Unstored:
    """A document that is to be published and is not in the cache yet; `announced_at`: the first event it answers."""

    document: Document
    announced_at: float | None


@dataclass(frozen=True)
class Standby:
    """Another process leads, or what it left has not been read yet."""


@dataclass(frozen=True)
class Leading:
    """This process has taken over. `stored`: the announcements that the cache holds; `nudge`: the one found there."""

    stored: Announcements
    nudge: str | None = None
    is_fetching_for_nudge: bool = False


class Maintenance:
    """The cache's side of a listener; `notify` is called with what happened."""

    def __init__(self, publisher: Publisher, *, notify: Subscriber, clock: Callable[[], float]) -> None:
        self._publisher = publisher
        self._store = publisher.store
        self._notify = notify
        self._clock = clock
        self._state: Standby | Leading = Standby()
        self._unstored: Unstored | None = None
        self._cache_works = True  # as far as the last step shows

    def stand_by(self) -> None:
        """Let another process lead; when this one leads next, it takes over anew."""
        self._state = Standby()

    def read_published(self) -> None:
        """While another process leads: read what it publishes."""
        self._try(self._read_published)

    def run(self) -> None:
        """While this process leads: do all that is due; end with the first step if the cache hangs."""
        began = self._clock()
        for step in self._due_steps():
            self._try(step)
            if not self._cache_works and self._clock() - began > HANGS_SECONDS:
                return

    def publish(self, document: Document, announced_at: float | None) -> bool:
        """Store a document now, or as soon as the cache works; False where a newer one waits for that."""
        if self._unstored and document.updated_at < self._unstored.document.updated_at:
            return False
        self._unstored = Unstored(document, announced_at)
        self._try(self._publish)
        return True

    @property
    def has_unstored(self) -> bool:
        """Whether a document waits for the cache to work."""
        return self._unstored is not None

    @property
    def signals_due_at(self) -> float:
        """When signals are due; `inf` for never."""
        return self._publisher.signals_due_at if isinstance(self._state, Leading) else float("inf")

    def send_due_signals(self) -> None:
        """Send the signals that are due."""
        try:
            self._publisher.send_due_signals()
        except Overtaken:
            self._notify(events.AnotherPublished())

    def begin_fetch(self) -> None:
        """Note that the fetch that begins answers the nudge that was seen, if there is one."""
        if isinstance(self._state, Leading) and self._state.nudge:
            self._state = replace(self._state, is_fetching_for_nudge=True)

    def end_fetch(self) -> None:
        """Remove the nudge that was fetched for, unless what came is not in the cache yet."""
        match self._state:
            case Leading(nudge=str(nudge), is_fetching_for_nudge=True) as state if not self._unstored:
                if self._try(partial(self._store.clear_nudge, nudge)):
                    self._state = replace(state, nudge=None, is_fetching_for_nudge=False)

    def write_announcements(self, announcements: Announcements) -> None:
        """Keep what is known of announced times for the next leader, where it differs from what is kept."""
        match self._state:
            case Leading(stored) as state if self._cache_works and stored != announcements:
                if self._try(partial(self._store.write_events, *announcements)):
                    self._state = replace(state, stored=announcements)

    def write_status(self, status: Status) -> None:
        """Keep the status, unless the cache fails: one that hangs is waited for as seldom as possible."""
        if isinstance(self._state, Leading) and self._cache_works:
            self._try(partial(self._store.write_status, status))

    def _try(self, step: Callable[[], None]) -> bool:
        """Run a step; return whether the cache worked."""
        try:
            step()
        except StoreError as error:
            self._cache_works = False
            self._notify(events.StoreFailed(error))
            return False
        except Overtaken:
            self._unstored = None
            self._notify(events.AnotherPublished())
        self._cache_works = True
        if not self._unstored:
            self._notify(events.StoreWorked())
        return True

    def _due_steps(self) -> Iterator[Callable[[], None]]:
        if self._unstored:  # before taking over: what is found then is newer than what was fetched before
            yield self._publish
        if isinstance(self._state, Standby):
            yield self._take_over
        if isinstance(self._state, Leading):
            yield self._repair
            yield self._read_nudge

    def _read_published(self) -> None:
        if self._publisher.read_published():
            self._unstored = None  # the process that published knew more

    def _publish(self) -> None:
        assert self._unstored
        update = self._publisher.publish(self._unstored.document)
        announced_at, self._unstored = self._unstored.announced_at, None
        self._publisher.save()
        if update:
            self._notify(events.Published(update, None if announced_at is None else self._clock() - announced_at))
        else:
            self._notify(events.Unchanged(self._publisher.published))

    def _take_over(self) -> None:
        self._publisher.resume()
        announcements, status = self._store.read_events(), self._store.read_status()
        self._notify(events.TookOver(*announcements, status))
        self._state = Leading(announcements)

    def _repair(self) -> None:
        assert isinstance(self._state, Leading)
        self._state = replace(self._state, stored=self._store.read_events())
        if self._publisher.repair():
            self._notify(events.Repaired())

    def _read_nudge(self) -> None:
        assert isinstance(self._state, Leading)
        nudge = self._store.read_nudge()
        if nudge != self._state.nudge:
            self._state = replace(self._state, nudge=nudge, is_fetching_for_nudge=False)
            if nudge:
                self._notify(events.FetchRequested())
