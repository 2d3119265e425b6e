"""What a listener does with the cache, which may fail at any step: a step that failed is tried again with the next run.

Beside publishing, the leader puts back what the cache lost, sees whether another process asks for a fetch (a nudge),
and leaves its status and the announcements that it knows of to the next leader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from ..environment.snapshot import Document
from ..exceptions import Overtaken, StoreError
from ..storage.announcements import KEPT, Announcement
from . import events
from .events import Subscriber
from .publisher import Publisher
from .schedule import Announcements, Schedule
from .status_tracker import StatusTracker

HANGS_SECONDS = 0.5  # a failure that took longer is a cache that hangs: each further step would wait as long


class Maintenance:
    """The cache's side of a listener: `schedule` is told what follows from it, `notify` what happened."""

    def __init__(
        self,
        publisher: Publisher,
        schedule: Schedule,
        status_tracker: StatusTracker,
        *,
        notify: Subscriber,
        clock: Callable[[], float],
    ) -> None:
        self._publisher = publisher
        self._store = publisher.store
        self._schedule = schedule
        self._status_tracker = status_tracker
        self._notify = notify
        self._clock = clock
        self._has_taken_over = False  # since this process leads: else what another one left has not been read yet
        self._stored: Announcements | None = None  # that the cache holds for the next leader
        self._received: deque[str] = deque(maxlen=2 * KEPT)  # the tokens of what other processes left, in this term
        self._nudge: str | None = None  # the mark of a process that asks for a fetch, as last seen
        self._answering: str | None = None  # the mark that the fetch under way answers
        self._unstored: Document | None = None  # that is to be published, and is not in the cache yet
        self._cache_works = True  # as far as the last step shows

    def stand_by(self) -> None:
        """Let another process lead; when this one leads next, it takes over anew."""
        self._has_taken_over = False
        self._publisher.drop_signals()

    def read_published(self, lease_error: StoreError | None = None) -> None:
        """While another process leads, or the lease can't be had: read what is published."""
        with self._step():
            if self._publisher.read_published():
                self._unstored = None  # the process that published knew more
            if lease_error:
                raise lease_error

    def run(self) -> None:
        """While this process leads: do all that is due; end with the first step if the cache hangs."""
        began = self._clock()
        for step in self._due_steps():
            with self._step():
                step()
            if not self._cache_works and self._clock() - began > HANGS_SECONDS:
                return
        self.write_status()

    def read_inbox(self) -> None:
        """While this process leads: read what other processes left for it, unless the cache fails."""
        if self._has_taken_over and self._cache_works:
            with self._step():
                self._read_inbox()

    def announce(self, announcement: Announcement) -> None:
        """Let the schedule know of an announcement, unless the same came in another way."""
        if self.has_received(announcement):
            return
        if announcement.token:
            self._received.append(announcement.token)
        is_new = self._schedule.announce(announcement, self._clock())
        self._notify(events.ChangeAnnounced(announcement.source, is_new, announcement.received_at))

    def has_received(self, announcement: Announcement) -> bool:
        """Return whether the schedule knows of an announcement that another process left."""
        return announcement.token in self._received

    @property
    def is_pending(self) -> bool:
        """Whether there is something to store, to take over, or to signal."""
        is_stored = self._has_taken_over and self._unstored is None
        return not is_stored or self._publisher.signals_due_at < float("inf")

    def publish(self, document: Document) -> bool:
        """Store a document now, or as soon as the cache works; False where a newer one waits for that."""
        if self._unstored and document.updated_at < self._unstored.updated_at:
            return False
        self._unstored = document
        with self._step():
            self._publish(document)
        return True

    def send_due_signals(self) -> None:
        """Send the signals that are due."""
        try:
            self._publisher.send_due_signals()
        except Overtaken:
            self._schedule.fetch_soon(self._clock())

    def begin_fetch(self) -> None:
        """Note that the fetch that begins answers the nudge that was seen, if there is one."""
        self._answering = self._nudge

    def end_fetch(self) -> None:
        """Remove the nudge that was fetched for, unless what came is not in the cache yet."""
        if self._answering and not self._unstored:
            with self._step():
                self._store.clear_nudge(self._answering)
                self._answering = None

    def write_announcements(self) -> None:
        """Keep what is known of announced times for the next leader, where it differs from what is kept."""
        announcements = self._schedule.announcements
        if self._has_taken_over and self._cache_works and self._stored != announcements:
            with self._step():
                self._store.write_events(*announcements)
                self._stored = announcements

    def write_status(self) -> None:
        """Keep the status, unless the cache fails: one that hangs is waited for as seldom as possible."""
        if self._has_taken_over and self._cache_works:
            known_ago = None if self._unstored else self._schedule.known_ago(self._clock())
            status = self._status_tracker.status(self._publisher.published, known_ago)
            with self._step():
                self._store.write_status(status)

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Go on where the cache fails in what is inside, or another process has published."""
        try:
            yield
        except StoreError as error:
            self._cache_works = False
            self._notify(events.StoreFailed(error))
            return
        except Overtaken:  # only Flagsmith knows which of the two versions is newer
            self._unstored = None
            self._schedule.fetch_soon(self._clock())
        self._cache_works = True
        if not self._unstored:
            self._notify(events.StoreWorked())

    def _due_steps(self) -> Iterator[Callable[[], None]]:
        if self._unstored:  # before taking over: what is found then is newer than what was fetched before
            yield partial(self._publish, self._unstored)
        if not self._has_taken_over:
            yield self._take_over
        if self._has_taken_over:
            yield self._repair

    def _publish(self, document: Document) -> None:
        update = self._publisher.publish(document, self._schedule.announced_by)
        self._unstored = None
        self._publisher.save()
        now, announced_at = self._clock(), self._schedule.announced_at
        if update:
            self._notify(events.Published(update, None if announced_at is None else now - announced_at))
        else:
            self._notify(events.Unchanged(self._publisher.published))
            self._schedule.spend(now)
        self._schedule.note_published(has_changed=bool(update and update.previous and update.changes))

    def _take_over(self) -> None:
        self._publisher.resume()
        self._stored, status = self._store.read_events(), self._store.read_status()
        self._schedule.restore(self._stored, self._clock())
        self._status_tracker.continue_from(status)
        self._received.clear()
        self._nudge, self._has_taken_over = None, True

    def _repair(self) -> None:
        self._stored = self._store.read_events()
        if self._publisher.repair():
            self._notify(events.Repaired())

    def _read_inbox(self) -> None:
        before, (self._nudge, announcements) = self._nudge, self._store.read_inbox()
        if self._nudge and self._nudge != before:
            self._schedule.fetch_soon(self._clock())
        for announcement in announcements:
            self.announce(announcement)
