"""Fetch, compare, publish, announce: the only writer of the snapshot."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..environment.diff import Update
from ..environment.snapshot import Document, Head, Snapshot
from ..exceptions import Overtaken, StoreError, WrongEnvironment
from ..reading.reader import Reader
from ..signals import flag_changed, flags_updated
from ..storage.history import PastChange, extend, past_changes
from ..storage.snapshot_file import write_snapshot_file
from ..storage.store import Store
from .schedule import CHASE_SECONDS
from .sources import Source

logger = logging.getLogger(__name__)

SLOW_SECONDS = 5.0


class Publisher:
    """Brings what Flagsmith says into the cache, and into `snapshot_file` where there is one.

    `published` is what the cache holds, as far as this one knows. `reader` is what receivers of the signals read with
    in this process: it is brought up to date before they are called.
    """

    def __init__(
        self, *, source: Source, store: Store, snapshot_file: Path | None = None, reader: Reader | None = None
    ) -> None:
        self.source = source
        self._reader = reader
        self._snapshot_file = snapshot_file
        self._saved: Head | None = None  # what the file holds
        self.store = store
        self._seen: Head | None = None  # the published head when it was last looked at
        self._announced: Head | None = None  # that of the last version whose signals were sent
        self._history: list[PastChange] | None = None  # what the cache holds, unless somebody else published
        self.published: Snapshot | None = None

    def follow(self) -> bool:
        """Read what is published; tell whether somebody else published.

        What this one knew stays where the cache holds nothing.
        """
        before, self._seen = self._seen, self.store.read_head() or self._seen
        self._announced = self.store.read_announced_head() or self._announced
        if self._seen and not (self.published and self.published.head == self._seen):
            environment = self.store.read_environment(self._seen.sequence)
            self.published = Snapshot(self._seen, environment) if environment else self.published
            self._history = None
        return self._seen != before

    def resume(self) -> None:
        """Follow, and send the signals that whoever published the last version did not come to send."""
        self.follow()
        announced = self._announced.sequence if self._announced else -1
        if self.published and announced < self.published.sequence:
            self._announce(Update.between(self.store.read_announced(), self.published))

    def refresh(self) -> Update | None:
        """Fetch and publish at once; None where nothing changed."""
        if self._seen is None:
            self.resume()
        while True:
            document = self.fetch()
            if self._may_be_stale(document):
                return None
            with suppress(Overtaken):
                return self.publish(document)

    def _may_be_stale(self, document: Document) -> bool:
        """Tell whether a body is older than what was published so lately that Flagsmith's caches may not know it."""
        head = self.published.head if self.published else None
        published_ago = time.time() - head.published_at / 1_000_000 if head else 0.0
        return head is not None and document.updated_at < head.updated_at and abs(published_ago) < CHASE_SECONDS

    def fetch(self) -> Document:
        """Ask Flagsmith. Any thread may call this, the rest is for one."""
        asked_at = time.time_ns() // 1_000
        document = replace(self.source.fetch(), asked_at=asked_at)
        self._check_environment(document)
        return document

    def publish(self, document: Document) -> Update | None:
        """Store a document whose content differs from what is published, and send the signals.

        Raise `Overtaken` where somebody else published since this one looked, so that the document may be older.
        """
        head, previous = self._look(), self.published
        is_current = previous and document.environment.version == previous.version
        if previous and is_current and head and head.sequence == previous.sequence:
            if document.updated_at != previous.head.updated_at:
                self._adopt(self.store.confirm(previous, document.updated_at))
            return None
        snapshot = self.store.publish(document, after=self._seen)
        self._adopt(snapshot)
        update = Update.between(previous, snapshot)
        self._announce(update)
        return update

    def repair(self) -> bool:
        """Put back what the cache lost of what this one published; tell whether it lost anything.

        Raise `Overtaken` where somebody else wrote, be it something older after a sleep.
        """
        head = self._look()
        if self.published is None or self.published.head != self._seen:
            return False
        self.store.mark_announced(self.published.head)
        is_repaired = self.store.repair(self.published, head)
        if head and head != self.published.head:
            raise Overtaken("Something else had taken the place of the published version.")
        return is_repaired

    def _look(self) -> Head | None:
        """Return the head; where somebody else has moved it on, or its date, take over and raise `Overtaken`."""
        head, seen = self.store.read_head(), self._seen
        if head and head != seen and (seen is None or head.sequence >= seen.sequence):
            self.resume()
            raise Overtaken("Somebody else published meanwhile.")
        return head

    def save(self) -> None:
        """Write the published snapshot to the file, unless it is there already; raise `SnapshotFileError`."""
        if self._snapshot_file and self.published and self.published.head != self._saved:
            self._saved = self.published.head  # also where it fails: the next version tries again
            write_snapshot_file(self._snapshot_file, self.published)

    def _announce(self, update: Update) -> None:
        if self._reader:
            self._reader.current()
        announce(update)
        with suppress(StoreError):  # the next change does it
            self._remember(update)
        with suppress(StoreError):  # the next repair does it
            self.store.mark_announced(update.snapshot.head)

    def _remember(self, update: Update) -> None:
        """Add to the last changes, unless all flags are new."""
        if not (update.previous and update.changes):
            return
        if self._history is None:
            self._history = self.store.read_history()
        environments = update.previous.environment, update.snapshot.environment
        self._history = extend(self._history, past_changes(*environments, update.snapshot.head, update.changes))
        self.store.write_history(self._history)

    def close(self) -> None:
        """End a request under way, and close the connections to the cache."""
        self.source.close()
        self.store.close()

    def _adopt(self, snapshot: Snapshot) -> None:
        self.published, self._seen = snapshot, snapshot.head

    def _check_environment(self, document: Document) -> None:
        published = self.published if self.source.has_fixed_environment else None
        if published and published.environment.api_key != document.environment.api_key:
            raise WrongEnvironment(
                f"Flagsmith answered with the environment {document.environment.name!r}, but "
                f"{published.environment.name!r} is published under this key: check FLAGSMITH['API_URL']."
            )


def announce(update: Update) -> None:
    """Send `flags_updated`, and `flag_changed` for each flag unless it is the first snapshot of all."""
    began = time.monotonic()
    if update.changes:
        _send(update)
    if (took := time.monotonic() - began) > SLOW_SECONDS:
        logger.warning("Receivers of Flagsmith signals took %.0f s, in which no other update could be stored", took)


def _send(update: Update) -> None:
    flags_updated.send_robust(
        Snapshot,
        changes=update.changes,
        snapshot=update.snapshot,
        previous=update.previous,
        updated_at=update.snapshot.updated_at,
    )
    if update.previous:
        for change in update.changes.values():
            flag_changed.send_robust(Snapshot, name=change.name, old=change.old, new=change.new)
