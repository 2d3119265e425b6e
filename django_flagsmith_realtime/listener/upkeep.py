"""What the leading listener does with the cache: publish, put back what is gone, remember, and answer nudges.

A step that the cache fails is tried again when the cache is tended next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from ..environment.diff import Update
from ..environment.snapshot import Document, Snapshot
from ..exceptions import Overtaken, StoreError
from ..storage.snapshot_file import SnapshotFileError
from .events import Published, Repaired, StoreFailed, StoreWorked, StreamSilent, Subscriber, Unchanged
from .publisher import Publisher
from .schedule import Schedule
from .status_tracker import StatusTracker

logger = logging.getLogger(__name__)

HANGS_SECONDS = 0.5


class Upkeep:
    """The cache's side of a listener; `schedule` is told what must be fetched, `tell` what happened.

    `status_tracker` knows the status that is kept there too.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        schedule: Schedule,
        status_tracker: StatusTracker,
        tell: Subscriber,
        clock: Callable[[], float],
    ) -> None:
        self._publisher = publisher
        self._schedule = schedule
        self._status_tracker = status_tracker
        self._tell = tell
        self._clock = clock
        self._noticed_at: float | None = None  # the first event since the last update
        self._unpublished: Document | None = None  # believed, and not in the cache yet
        self._resumed = False
        self._cache_works = True  # as far as the last step can tell
        self._kept: object = None  # what the cache holds of the schedule's memory
        self._nudge: str | None = None  # who asked for a request, as the cache says
        self._asked_by: str | None = None  # that of the request under way

    @property
    def published(self) -> Snapshot | None:
        """What the cache holds, as far as this process knows."""
        return self._publisher.published

    def stand_by(self) -> None:
        """Begin anew when this process leads next."""
        self._resumed, self._nudge, self._noticed_at = False, None, None

    def follow(self) -> None:
        """Learn what somebody else published."""
        self._do(self._follow)

    def tend(self) -> None:
        """Look after what is stored; a cache that hangs is waited for once, as the lease may run out meanwhile."""
        began = self._clock()
        for step in self._steps():
            self._do(step)
            if not self._cache_works and self._clock() - began > HANGS_SECONDS:
                return
        self._keep_status()

    def _steps(self) -> Iterator[Callable[[], None]]:
        if self._unpublished:  # before this one takes over: what it finds then is newer than what it fetched before
            yield self._publish
        if not self._resumed:
            yield self._resume
        if self._resumed:
            yield self._repair
            yield self._look_for_nudge

    def notice(self) -> None:
        """Note that an update was announced."""
        self._noticed_at = self._noticed_at or self._clock()

    def begin_request(self) -> None:
        """Note that what was asked for until now is being fetched."""
        self._asked_by = self._nudge

    def take(self, document: Document) -> None:
        """Publish a document, unless it is to be held back."""
        believed = self._schedule.believe(document, self.published, self._clock())
        waiting = self._unpublished
        if believed and (waiting is None or document.updated_at >= waiting.updated_at):
            self._unpublished = document
            self._do(self._publish)
        else:
            self._schedule.spend(self._clock())
        if self._asked_by and not self._unpublished:
            self._do(self._answer_nudge)
        self._keep_status()

    def keep_memory(self) -> None:
        """Keep what is known of announced times where the next listener finds it."""
        if self._resumed and self._cache_works and self._schedule.memory != self._kept:
            self._do(self._write_memory)

    def _do(self, step: Callable[[], None]) -> None:
        try:
            step()
        except StoreError as error:
            self._cache_works = False
            self._tell(StoreFailed(error))
            return
        except Overtaken:
            self._unpublished = None
            self._schedule.want(self._clock())
        self._cache_works = True
        if not self._unpublished:
            self._tell(StoreWorked())

    def _follow(self) -> None:
        if self._publisher.follow():
            self._unpublished = None  # who published knew more

    def _publish(self) -> None:
        assert self._unpublished
        update = self._publisher.publish(self._unpublished)
        self._unpublished = None
        self._save()
        noticed_at, self._noticed_at = self._noticed_at, None
        if update:
            self._tell(Published(update, None if noticed_at is None else self._clock() - noticed_at))
        else:
            self._schedule.spend(self._clock())
            self._tell(Unchanged(self.published))
        self._doubt_stream(update)

    def _save(self) -> None:
        try:
            self._publisher.save()
        except SnapshotFileError as error:
            logger.warning("Snapshot file: %s", error)

    def _doubt_stream(self, update: Update | None) -> None:
        """Poll more often where a poll found what a stream that is open should have told."""
        stream_health = self._schedule.stream_health
        is_change = update and update.previous and update.changes
        if is_change and stream_health.was_listening and not stream_health.is_silent:
            stream_health.is_silent = True
            self._tell(StreamSilent())

    def _resume(self) -> None:
        """Go on where the leader before this one ended."""
        self._publisher.resume()
        pending, seen = self._publisher.store.read_events()
        self._schedule.recall(pending, seen, self._clock())
        self._status_tracker.take_over(self._publisher.store.read_status())
        self._resumed = True

    def _write_memory(self) -> None:
        memory = self._schedule.memory
        self._publisher.store.write_events(*memory)
        self._kept = memory

    def _repair(self) -> None:
        self._kept = self._publisher.store.read_events()
        if self._publisher.repair():
            self._tell(Repaired())

    def _keep_status(self) -> None:
        if self._resumed and self._cache_works:  # one that hangs is waited for no longer than it must be
            self._do(self._write_status)

    def _write_status(self) -> None:
        known_ago = None if self._unpublished else self._schedule.known_ago(self._clock())
        self._publisher.store.write_status(self._status_tracker.status(self.published, known_ago))

    def _look_for_nudge(self) -> None:
        nudge = self._publisher.store.read_nudge()
        if nudge and nudge != self._nudge:
            self._schedule.want(self._clock())
        self._nudge = nudge

    def _answer_nudge(self) -> None:
        assert self._asked_by
        self._publisher.store.clear_nudge(self._asked_by)
        self._asked_by = None
