"""The only writer of the snapshot: it fetches documents, stores what differs, and sends the signals afterwards."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..environment.diff import Update
from ..environment.snapshot import Document, Head, Snapshot
from ..exceptions import Overtaken, SnapshotFileError, StoreError, WrongEnvironment
from ..reading.reader import Reader
from ..storage.history import PastChange, extend, past_changes
from ..storage.snapshot_file import signature, write_snapshot_file
from ..storage.store import Store
from . import events
from .events import Subscriber
from .schedule import CHASE_SECONDS
from .signal_sender import send_update
from .sources import Source

logger = logging.getLogger(__name__)


class Publisher:
    """Brings the documents of a source into the cache, and into `snapshot_file` where there is one.

    The signals of a version are due `freshness` seconds after it was stored: until then another process may answer a
    request with the version before, and refill what a receiver has just purged. Versions that follow sooner are stored
    without a delay, and each has signals of its own, in order: it may have been read, and what was made of it must be
    purged. The signals that a leader did not come to before it ended, the next one sends as one update, after `resume`.

    `published` is what the cache holds, as far as this process knows. Methods raise `StoreError`, and `Overtaken` where
    another process published meanwhile. `reader`, with which this process reads, has each version once it is stored.
    `post` lets open pages learn of a version, after its signals: what receivers purge, pages then ask for.
    """

    def __init__(
        self,
        *,
        source: Source,
        store: Store,
        freshness: float = 0.0,
        snapshot_file: Path | None = None,
        reader: Reader | None = None,
        post: Callable[[Head], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self.store = store
        self.published: Snapshot | None = None
        self._seen: Head | None = None  # the head when this process last read or wrote it
        self._signaled: Head | None = None  # the last version whose signals were sent
        self._pending_signals: deque[tuple[float, Update]] = deque()  # when they are due
        self._history: list[PastChange] | None = None  # what the cache holds, unless another process published
        self._saved: tuple[Head, tuple[int, ...] | None] | None = None  # what this process wrote to the file
        self._freshness = freshness
        self._snapshot_file = snapshot_file
        self._reader = reader
        self._post = post
        self._clock = clock

    def read_published(self) -> bool:
        """Read what is published; return whether another process published it.

        What this process knew stays where the cache holds nothing.
        """
        before, self._seen = self._seen, self.store.read_head() or self._seen
        self._signaled = self.store.read_signaled_head() or self._signaled
        if self._seen and not (self.published and self.published.head == self._seen):
            environment = self.store.read_environment(self._seen.sequence)
            self.published = Snapshot(self._seen, environment) if environment else self.published
            self._history = None
        return self._seen != before

    def resume(self) -> None:
        """Go on from what is published; where the process that stored it sent no signals, they are due."""
        self.read_published()
        self._pending_signals.clear()
        signaled = self._signaled.sequence if self._signaled else -1
        if self.published and signaled < self.published.sequence:
            self._queue_signals(Update.between(self.store.read_signaled(), self.published))

    def fetch(self) -> Document:
        """Fetch the document. Any thread may call this; all else is for one."""
        asked_at = time.time_ns() // 1_000
        document, published = replace(self.source.fetch(), asked_at=asked_at), self.published
        if not document.updated_at:  # content decides: what is new is as of now, and what is published as of before
            before = published.head.updated_at if published else 0
            is_known = published and published.version == document.environment.version
            document = replace(document, updated_at=before if is_known else max(asked_at, before))
        is_other = published and published.environment.api_key != document.environment.api_key
        if published and is_other and self.source.is_flagsmith:
            raise WrongEnvironment(
                f"Flagsmith answered with the environment {document.environment.name!r}, but "
                f"{published.environment.name!r} is published under this key: check FLAGSMITH['API_URL']."
            )
        return document

    def publish(self, document: Document, source: str | None = None) -> Update | None:
        """Store a document whose content differs from what is published; None where it does not.

        `source` is what announced the change.
        """
        head, previous = self._check_head(), self.published
        is_current = previous and document.environment.version == previous.version
        if previous and is_current and head and head.sequence == previous.sequence:
            if document.updated_at != previous.head.updated_at:
                self.published = self.store.confirm(previous, document.updated_at)
                self._seen = self.published.head
            return None
        self.published = snapshot = self.store.publish(document, after=self._seen)
        self._seen = snapshot.head
        update = Update.between(previous, snapshot, source)
        self._queue_signals(update)
        return update

    @property
    def signals_due_at(self) -> float:
        """When the next signals are due, by the clock; `inf` for none."""
        return self._pending_signals[0][0] if self._pending_signals else float("inf")

    def drop_signals(self) -> None:
        """Leave the signals that are not due yet to the next leader."""
        self._pending_signals.clear()

    def send_due_signals(self) -> None:
        """Send the signals that are due; then add each update to the last changes, and note that it was signaled."""
        while self.signals_due_at <= self._clock():
            _, update = self._pending_signals.popleft()
            send_update(update)
            if self._post:
                self._post(update.snapshot.head)
            with suppress(StoreError):  # the next change does it
                self._remember(update)
            with suppress(StoreError):  # the next repair does it
                self._mark_signaled(update.snapshot.head)

    def refresh(self, notify: Subscriber = lambda event: None) -> Update | None:
        """Fetch, publish and send the signals; None where nothing changed. This waits until the signals are due.

        `notify` is called with what happens meanwhile.
        """
        while True:
            with suppress(Overtaken):  # then only a new fetch shows what is newest
                if self._seen is None:
                    self.resume()
                    self._wait_and_send_signals()
                began = self._clock()
                document = self.fetch()
                notify(events.Fetched(self._clock() - began, document.warnings))
                update = None if self._may_be_stale(document) else self.publish(document)
                self.save()
                self._wait_and_send_signals()
                return update

    def repair(self) -> bool:
        """Put back what the cache or the file lost of what is published; return whether the cache had lost anything.

        Raise `Overtaken` where another process wrote, be it something older after a sleep.
        """
        head = self._check_head()
        if self.published is None or self.published.head != self._seen:
            return False
        if not self._pending_signals:
            self._mark_signaled(self.published.head)
        is_repaired = self.store.repair(self.published, head)
        self.save()
        if head and head != self.published.head:
            raise Overtaken("Something else had taken the place of the published version.")
        return is_repaired

    def save(self) -> None:
        """Write the published snapshot to the file, unless it is there as this process wrote it.

        Something older may be in its place: a listener that slept for a while writes what it held when it wakes.
        """
        path = self._snapshot_file
        if path and self.published and self._saved != (self.published.head, signature(path)):
            try:
                write_snapshot_file(path, self.published)
            except SnapshotFileError as error:  # the flags are in the cache nevertheless
                logger.warning("Flagsmith snapshot file: %s", error)
            self._saved = self.published.head, signature(path)  # where it failed, the next version tries again

    def close(self) -> None:
        """End a fetch under way, and close the connections to the cache."""
        self.source.close()
        self.store.close()

    def _check_head(self) -> Head | None:
        """Return the head; where another process has moved it on, or its date, resume from it and raise `Overtaken`."""
        head, seen = self.store.read_head(), self._seen
        if head and head != seen and (seen is None or head.sequence >= seen.sequence):
            self.resume()
            raise Overtaken("Another process published meanwhile.")
        return head

    def _queue_signals(self, update: Update) -> None:
        if self._reader:
            self._reader.current()
        self._pending_signals.append((self._clock() + self._freshness, update))

    def _wait_and_send_signals(self) -> None:
        while self._pending_signals:
            time.sleep(max(self.signals_due_at - self._clock(), 0.0))
            self.send_due_signals()

    def _may_be_stale(self, document: Document) -> bool:
        """Return whether a document is older than one published so lately that Flagsmith's caches may not know it."""
        head = self.published.head if self.published else None
        published_ago = time.time() - head.published_at / 1_000_000 if head else 0.0
        return head is not None and document.updated_at < head.updated_at and abs(published_ago) < CHASE_SECONDS

    def _remember(self, update: Update) -> None:
        if update.previous and update.changes:  # else all flags are new
            history = self.store.read_history() if self._history is None else self._history
            self._history = extend(history, past_changes(update))
            self.store.write_history(self._history)

    def _mark_signaled(self, head: Head) -> None:
        self.store.mark_signaled(head)
        self._signaled = head
