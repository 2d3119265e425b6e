"""Fetch, compare, publish, announce: the only writer of the snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .changes import FlagChange, diff
from .conf import Config
from .exceptions import StoreError, WrongEnvironment
from .signals import flag_changed, flags_updated
from .snapshot import Document, Head, Snapshot
from .snapshot_file import FileSource, write_snapshot_file
from .source import ApiSource
from .store import Store


class Source(Protocol):
    """Where documents come from; `fetch` raises `FlagsmithError`."""

    def fetch(self) -> Document: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Update:
    """A version that was published; `changes` by flag name."""

    snapshot: Snapshot
    previous: Snapshot | None
    changes: Mapping[str, FlagChange]

    @classmethod
    def between(cls, previous: Snapshot | None, snapshot: Snapshot) -> Update:
        changes = diff(previous.environment if previous else None, snapshot.environment)
        return cls(snapshot, previous, changes)


class Refresher:
    """Brings what Flagsmith says into the cache, and into `snapshot_file` where there is one.

    `published` is what the cache holds, as far as this one knows.
    """

    def __init__(self, *, source: Source, store: Store, snapshot_file: Path | None = None) -> None:
        self._source = source
        self._snapshot_file = snapshot_file
        self._saved: Head | None = None  # what the file holds
        self.store = store
        self._seen: Head | None = None  # the published head when it was last looked at
        self.published: Snapshot | None = None

    def load(self) -> None:
        """Read what is published; what this one knew stays where the cache holds nothing."""
        self._seen = self.store.read_head()
        environment = self._seen and self.store.read_environment(self._seen.sequence)
        if self._seen and environment:
            self.published = Snapshot(self._seen, environment)

    def resume(self) -> None:
        """Read what is published, and send the signals that whoever published it did not come to send."""
        self.load()
        announced = self.store.read_announced()
        if self.published and (announced is None or announced.sequence < self.published.sequence):
            self._announce(Update.between(announced, self.published))

    def refresh(self) -> Update | None:
        """Fetch and publish at once; None where nothing changed."""
        if self._seen is None:
            self.resume()
        document = self.fetch()
        while self.has_moved():
            self.load()
            document = self.fetch()
        return self.publish(document)

    def fetch(self) -> Document:
        """Ask Flagsmith. Any thread may call this, the rest is for one."""
        document = self._source.fetch()
        self._check_environment(document)
        return document

    def has_moved(self) -> bool:
        """Tell whether somebody else published since `load`, so that what was fetched meanwhile may be older."""
        head = self.store.read_head()
        return head is not None and (self._seen is None or head.sequence != self._seen.sequence)

    def publish(self, document: Document) -> Update | None:
        """Store a document whose content differs from what is published, and send the signals."""
        previous, head = self.published, self.store.read_head()
        if previous and head and head.version == previous.version == document.environment.version:
            if document.updated_at != head.updated_at:
                self._adopt(self.store.confirm(previous, document.updated_at))
            return None
        snapshot = self.store.publish(document, after=head or self._seen)
        self._adopt(snapshot)
        update = Update.between(previous, snapshot)
        self._announce(update)
        return update

    def repair(self) -> bool:
        """Put back what the cache lost of what this one published; tell whether it lost anything."""
        if self.published is None or self.has_moved():
            return False
        self.store.mark_announced(self.published.head)
        return self.store.repair(self.published)

    def save(self) -> None:
        """Write the published snapshot to the file, unless it is there already; raise `SnapshotFileError`."""
        if self._snapshot_file and self.published and self.published.head != self._saved:
            self._saved = self.published.head  # also where it fails: the next version tries again
            write_snapshot_file(self._snapshot_file, self.published)

    def _announce(self, update: Update) -> None:
        announce(update)
        with suppress(StoreError):  # the next repair does it
            self.store.mark_announced(update.snapshot.head)

    def close(self) -> None:
        """End a request under way."""
        self._source.close()

    def _adopt(self, snapshot: Snapshot) -> None:
        self.published, self._seen = snapshot, snapshot.head

    def _check_environment(self, document: Document) -> None:
        published = self.published
        if published and published.environment.api_key != document.environment.api_key:
            raise WrongEnvironment(
                f"Flagsmith answered with the environment {document.environment.name!r}, but "
                f"{published.environment.name!r} is published under this key: check FLAGSMITH['API_URL']."
            )


def announce(update: Update) -> None:
    """Send `flags_updated`, and `flag_changed` for each flag unless it is the first snapshot of all."""
    if not update.changes:
        return
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


def build_refresher(config: Config) -> Refresher:
    """Return the refresher that the settings describe."""
    key = config.environment_key or ""
    path = Path(config.snapshot_file) if config.snapshot_file else None
    store = Store(config.cache, key)
    if path and not key:
        return Refresher(source=FileSource(path), store=store)
    source = ApiSource(
        api_url=config.api_url, environment_key=key, timeout=config.request_timeout, headers=config.headers
    )
    return Refresher(source=source, store=store, snapshot_file=path)
