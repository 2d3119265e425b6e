"""The published snapshot in Django's cache, and what the processes tell each other through it.

Two keys make a snapshot: a small `head`, and the `payload` of its sequence, which is written first and never changed.
So a reader that sees a head finds the payload behind it, and one that sees the previous head keeps what it has.
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

HEAD_TYPES = [int, str, int, int]
NUDGE_SECONDS = 600  # a leader sees a nudge within 2 s; where none came for so long, nobody waits for the answer

# A payload that was superseded, or whose signals are not sent yet, stays for this long: for readers that saw its head a
# moment ago, and for the next leader, should this one die before it sends the signals.
SUPERSEDED_SECONDS = 600

# Seconds before each try to read back what was written, half a second in all: where LOCATION names replicas, Django
# reads from one of them, which lags behind. On a server of its own the first try, without a wait, succeeds.
READ_BACK_DELAYS = (0.0, 0.01, 0.04, 0.15, 0.3)


class Store:
    """The keys of one environment in the cache; `reads` counts the keys that were read.

    Methods raise `StoreError`, and `Overtaken` where another writer was faster.
    """

    def __init__(self, alias: str, namespace: str) -> None:
        self.handle = CacheHandle(alias)
        self.reads = 0
        self._namespace = namespace

    @property
    def _cache(self) -> BaseCache:
        return self.handle.get()

    def close(self) -> None:
        """Close the connections to the cache; the next use opens new ones."""
        self.handle.close()

    @cache_errors
    def read_head(self) -> Head | None:
        """Return the published head; None where there is none, or something else in its place."""
        return _parse_head(self._read(self._key("head")))

    @cache_errors
    def read_environment(self, sequence: int) -> Environment | None:
        """Return the environment of a sequence; None where its payload is gone or can't be read."""
        payload = self._read(self._payload_key(sequence))
        try:
            return Environment.from_payload(payload)
        except (TypeError, ValueError):
            return None

    @cache_errors
    def publish(self, document: Document, after: Head | None) -> Snapshot:
        """Store a document as the snapshot that follows `after`.

        Its sequence is the millisecond in which the document was asked for, or the next one that is free.
        """
        asked_at = document.asked_at // 1_000
        sequence = max(after.sequence + 1, asked_at) if after else asked_at
        payload = document.environment.payload
        while not self._cache.add(self._payload_key(sequence), payload, timeout=SUPERSEDED_SECONDS):
            if self._read(self._payload_key(sequence)) in (None, payload):
                break  # nothing was stored, which reading back reports; or the same was, before the head failed
            sequence += 1
        self._read_back(self._payload_key(sequence), payload)
        head = Head(sequence, document.environment.version, document.updated_at, time.time_ns() // 1_000)
        self._write(self._key("head"), list(head))
        return Snapshot(head, document.environment)

    @cache_errors
    def confirm(self, snapshot: Snapshot, updated_at: int) -> Snapshot:
        """Store another `updated_at` for a snapshot whose content is still the same."""
        head = snapshot.head._replace(updated_at=updated_at)
        self._write(self._key("head"), list(head))
        return Snapshot(head, snapshot.environment)

    @cache_errors
    def repair(self, snapshot: Snapshot, head: Head | None) -> bool:
        """Store again what the cache lost of a snapshot; return whether it lost anything. `head` is what was found."""
        key, payload = self._payload_key(snapshot.sequence), snapshot.environment.payload
        has_payload = self._read(key) == payload
        if not has_payload:
            self._write(key, payload)
        if head == snapshot.head:
            return not has_payload
        # Where no head was found, another process may be about to write a newer one: `add` leaves that alone.
        if head or not self._cache.add(self._key("head"), list(snapshot.head), timeout=None):
            self._write(self._key("head"), list(snapshot.head))
        return True

    @cache_errors
    def read_signaled(self) -> Snapshot | None:
        """Return the last snapshot whose signals were sent; None where its payload is gone."""
        head = self.read_signaled_head()
        environment = head and self.read_environment(head.sequence)
        return Snapshot(head, environment) if head and environment else None

    @cache_errors
    def read_signaled_head(self) -> Head | None:
        """Return the head of the last snapshot whose signals were sent."""
        return _parse_head(self._read(self._key("signaled")))

    @cache_errors
    def mark_signaled(self, head: Head) -> None:
        """Note that the signals of a snapshot were sent: its payload stays, and that of the one before expires.

        Raise `Overtaken` where those of a newer one were.
        """
        before = self.read_signaled_head()
        if before and before.sequence == head.sequence:
            return
        self._cache.touch(self._payload_key(head.sequence), None)
        if before and before.sequence < head.sequence:
            self._cache.touch(self._payload_key(before.sequence), SUPERSEDED_SECONDS)
        self._cache.set(self._key("signaled"), list(head), timeout=None)
        if before and before.sequence > head.sequence:
            raise Overtaken("The signals of a newer version had been sent.")

    @cache_errors
    def read_events(self) -> tuple[int | None, tuple[int, ...]]:
        """Return the announced time that is still chased, and the announced times that were seen, in microseconds."""
        match self._read(self._key("event")):
            case [int() | None as pending, [*seen]] if all(isinstance(time, int) for time in seen):
                return pending, tuple(seen)
        return None, ()

    @cache_errors
    def write_events(self, pending: int | None, seen: tuple[int, ...]) -> None:
        """Store for the next leader what this one knows of announced times."""
        self._cache.set(self._key("event"), [pending, list(seen)], timeout=None)

    @cache_errors
    def write_nudge(self) -> str:
        """Ask the leader to fetch; return the mark that stays in the cache until it has."""
        mark = secrets.token_hex(8)
        self._cache.set(self._key("nudge"), mark, timeout=NUDGE_SECONDS)
        return mark

    @cache_errors
    def read_nudge(self) -> str | None:
        """Return the mark of the last process that asked for a fetch; None where the leader has done it."""
        mark = self._read(self._key("nudge"))
        return mark if isinstance(mark, str) else None

    @cache_errors
    def clear_nudge(self, mark: str) -> None:
        """Note that the leader has fetched, unless another process asked since."""
        if self._read(self._key("nudge")) == mark:
            self._cache.delete(self._key("nudge"))

    @cache_errors
    def read_status(self) -> Status | None:
        """Return what the last leader wrote of itself; None where nothing can be read."""
        return parse_status(self._read(self._key("status")))

    @cache_errors
    def write_status(self, status: Status) -> None:
        """Store the leader's status. It isn't read back: the next write, 2 s later, replaces it."""
        self._cache.set(self._key("status"), status.to_plain(), timeout=None)

    @cache_errors
    def read_history(self) -> list[PastChange]:
        """Return the last changes, the newest first; an empty list where they can't be read."""
        return parse_history(self._read(self._key("changes")))

    @cache_errors
    def write_history(self, history: list[PastChange]) -> None:
        """Store the last changes. They aren't read back: the next change writes them all again."""
        self._cache.set(self._key("changes"), to_plain(history), timeout=None)

    @cache_errors
    def read_process(self, role: str) -> str | None:
        """Return the process that holds the `lease`, or waits for it as `standby`, as "host:pid"."""
        token = self._read(self._key(role))
        return token.rpartition(":")[0] or None if isinstance(token, str) else None

    def _key(self, name: str) -> str:
        return cache_key(self._namespace, name)

    def _read(self, key: str) -> Any:
        self.reads += 1
        return read(self._cache, key)

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
                raise Overtaken("Another process published at the same time.")
        name = key.removeprefix(self._key("")).split(":")[0]  # without the sequence: an outage is logged once
        size = f"{len(value):,} {'bytes' if isinstance(value, bytes) else 'fields'}"
        raise StoreError(
            f"The cache did not keep {name!r} ({size}). Raise its limit for the size of an item (memcached's option "
            "-I), for memory (Redis's maxmemory) or for entries (MAX_ENTRIES), or find out who locks its database."
        )

    def _payload_key(self, sequence: int) -> str:
        return self._key(f"payload:{sequence}")


def _parse_head(value: object) -> Head | None:
    if isinstance(value, (list, tuple)) and list(map(type, value)) == HEAD_TYPES:
        return Head(*value)
    return None
