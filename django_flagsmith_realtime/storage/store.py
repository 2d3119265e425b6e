"""The published snapshot in Django's cache.

Two keys make a snapshot: a small `head`, and the `payload` of its sequence, which is written first and never
changed. A reader that sees a head finds the payload behind it; one that sees the head of before keeps what it has.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from django.core.cache.backends.base import BaseCache

from ..environment.snapshot import Document, Environment, Head, Snapshot
from ..exceptions import Overtaken, StoreError
from .cache import CacheHandle, cache_errors, cache_key, read
from .history import PastChange, parse_history, to_plain
from .status import Status, parse_status

NUDGE_SECONDS = 600
HEAD = (int, str, int, int)
SUPERSEDED_SECONDS = 600  # a superseded payload stays for readers that saw its head
READ_BACK_DELAYS = (0.0, 0.01, 0.04, 0.15, 0.3)  # seconds: Django reads from a replica where LOCATION names one


class Store:
    """The shared cache's side of a snapshot.

    Its methods raise `StoreError`, and `Overtaken` where another writer was faster.
    """

    def __init__(self, alias: str, namespace: str) -> None:
        self.handle = CacheHandle(alias)
        self._namespace = namespace
        self.reads = 0  # of keys

    @property
    def _cache(self) -> BaseCache:
        return self.handle.get()

    def close(self) -> None:
        """Close the connections to the cache; the next use opens new ones."""
        self.handle.close()

    @cache_errors
    def read_head(self) -> Head | None:
        """Return the published head; None where there is none or what is there is not one."""
        return _parse_head(self._read(self._key("head")))

    @cache_errors
    def read_environment(self, sequence: int) -> Environment | None:
        """Return the payload of a sequence; None where it is gone or unreadable."""
        payload = self._read(self._payload_key(sequence))
        try:
            return Environment.from_payload(payload)
        except (TypeError, ValueError):
            return None

    @cache_errors
    def publish(self, document: Document, after: Head | None) -> Snapshot:
        """Store a document as the snapshot that follows `after`; its sequence says when it was asked for."""
        asked_at = document.asked_at // 1_000
        sequence = max(after.sequence + 1, asked_at) if after else asked_at
        sequence = self._add_payload(sequence, document.environment.payload)
        head = Head(sequence, document.environment.version, document.updated_at, time.time_ns() // 1_000)
        self._write(self._key("head"), _as_list(head))
        return Snapshot(head, document.environment)

    @cache_errors
    def confirm(self, snapshot: Snapshot, updated_at: int) -> Snapshot:
        """Move the date of a published snapshot whose content is still the same."""
        head = Head(snapshot.sequence, snapshot.version, updated_at, snapshot.head.published_at)
        self._write(self._key("head"), _as_list(head))
        return Snapshot(head, snapshot.environment)

    @cache_errors
    def repair(self, snapshot: Snapshot, head: Head | None) -> bool:
        """Put back what is gone of a snapshot where the head was found to be `head`; tell whether anything was."""
        key, payload = self._payload_key(snapshot.sequence), snapshot.environment.payload
        has_payload = self._read(key) == payload
        if not has_payload:
            self._write(key, payload)
        if head == snapshot.head:
            return not has_payload
        # Where there is no head, somebody else may be about to write a newer one.
        if head or not self._cache.add(self._key("head"), _as_list(snapshot.head), timeout=None):
            self._write(self._key("head"), _as_list(snapshot.head))
        return True

    @cache_errors
    def read_announced(self) -> Snapshot | None:
        """Return the last snapshot whose signals were sent; None where it is not known any more."""
        head = self.read_announced_head()
        environment = head and self.read_environment(head.sequence)
        return Snapshot(head, environment) if head and environment else None

    @cache_errors
    def read_announced_head(self) -> Head | None:
        """Return the head of the last snapshot whose signals were sent."""
        return _parse_head(self._read(self._key("announced")))

    @cache_errors
    def mark_announced(self, head: Head) -> None:
        """Note that the signals of a snapshot were sent: it stays, and the one announced before may go.

        Raise `Overtaken` where a newer one was announced, whatever the head says now.
        """
        before = self.read_announced_head()
        if before and before.sequence == head.sequence:
            return
        self._cache.touch(self._payload_key(head.sequence), None)
        if before and before.sequence < head.sequence:
            self._cache.touch(self._payload_key(before.sequence), SUPERSEDED_SECONDS)
        self._cache.set(self._key("announced"), _as_list(head), timeout=None)
        if before and before.sequence > head.sequence:
            raise Overtaken("A newer version had been announced.")

    @cache_errors
    def read_events(self) -> tuple[int | None, tuple[int, ...]]:
        """Return the announced time that is still chased, and those that were seen."""
        match self._read(self._key("event")):
            case [int() | None as pending, [*seen]] if all(isinstance(time, int) for time in seen):
                return pending, tuple(seen)
        return None, ()

    @cache_errors
    def write_events(self, pending: int | None, seen: tuple[int, ...]) -> None:
        """Keep for the next listener what this one knows of announced times."""
        self._cache.set(self._key("event"), [pending, list(seen)], timeout=None)

    @cache_errors
    def write_nudge(self) -> str:
        """Ask whoever leads to fetch; return the mark that is there until it has done so."""
        mark = secrets.token_hex(8)
        self._cache.set(self._key("nudge"), mark, timeout=NUDGE_SECONDS)
        return mark

    @cache_errors
    def read_nudge(self) -> str | None:
        """Return the mark of whoever asked last for a request that was not made yet."""
        mark = self._read(self._key("nudge"))
        return mark if isinstance(mark, str) else None

    @cache_errors
    def clear_nudge(self, mark: str) -> None:
        """Note that what was asked for is done, unless somebody asked again."""
        if self._read(self._key("nudge")) == mark:
            self._cache.delete(self._key("nudge"))

    @cache_errors
    def read_status(self) -> Status | None:
        """Return what the last leader wrote of itself; None where it did not or it can't be read."""
        return parse_status(self._read(self._key("status")))

    @cache_errors
    def write_status(self, status: Status) -> None:
        """Keep what the leader knows of itself; a write that is swallowed is made up for by the next."""
        self._cache.set(self._key("status"), status.to_plain(), timeout=None)

    @cache_errors
    def read_history(self) -> list[PastChange]:
        """Return the last changes, newest first; none where they can't be read."""
        return parse_history(self._read(self._key("changes")))

    @cache_errors
    def write_history(self, history: list[PastChange]) -> None:
        """Keep the last changes; a write that is swallowed is made up for by the next."""
        self._cache.set(self._key("changes"), to_plain(history), timeout=None)

    @cache_errors
    def read_process(self, role: str) -> str | None:
        """Return the process that holds the `lease`, or waits for it as `standby`, as "host:pid"; None for none."""
        token = self._read(self._key(role))
        return token.rpartition(":")[0] if isinstance(token, str) else None

    def _key(self, name: str) -> str:
        return cache_key(self._namespace, name)

    def _read(self, key: str) -> Any:
        self.reads += 1
        return read(self._cache, key)

    def _add_payload(self, sequence: int, payload: bytes) -> int:
        """Store a payload under the first sequence that no other writer took; it expires unless it is announced."""
        while not self._cache.add(key := self._payload_key(sequence), payload, timeout=SUPERSEDED_SECONDS):
            if self._read(key) in (None, payload):
                break
            sequence += 1
        self._read_back(key, payload)
        return sequence

    def _write(self, key: str, value: Any) -> None:
        self._cache.set(key, value, timeout=None)
        self._read_back(key, value)

    def _read_back(self, key: str, value: Any) -> None:
        """Raise `StoreError` unless a key has a value: some backends swallow a write that failed."""
        for delay in READ_BACK_DELAYS:
            time.sleep(delay)
            found = self._read(key)
            if found == value:
                return
            if (other := _parse_head(found)) and other.sequence > value[0]:
                raise Overtaken("Somebody else published at the same time.")
        name = key.removeprefix(self._key("")).split(":")[0]  # without the sequence: it is one outage, said once
        size = f"{len(value):,} {'bytes' if isinstance(value, bytes) else 'fields'}"
        raise StoreError(
            f"The cache did not keep {name!r} ({size}): raise its limit, of an item's size (memcached's option -I), "
            "of memory (Redis's maxmemory) or of entries (MAX_ENTRIES), or see who locks its database."
        )

    def _payload_key(self, sequence: int) -> str:
        return self._key(f"payload:{sequence}")


def _as_list(head: Head) -> list[int | str]:
    return [head.sequence, head.version, head.updated_at, head.published_at]


def _parse_head(value: object) -> Head | None:
    if isinstance(value, (list, tuple)) and tuple(map(type, value)) == HEAD:
        return Head(*value)
    return None
