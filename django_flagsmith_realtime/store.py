"""The snapshot in Django's cache: `Store` writes and reads it, `Reader` is what a process holds of it.

Two keys make a snapshot: a small `head`, and the `payload` of its sequence, which is written first and never
changed. A reader that sees a head finds the payload behind it; one that sees the head of before keeps what it has.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
import time
import weakref
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from json import JSONDecodeError
from pickle import PickleError
from typing import Any, cast

from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import BaseCache
from django.core.signals import setting_changed
from django.db import close_old_connections, connections
from django.dispatch import receiver

from .conf import Config, get_config
from .exceptions import StoreError
from .signals import snapshot_loaded
from .snapshot import Document, Environment, Head, Snapshot

logger = logging.getLogger(__name__)

SCHEMA = 1
PER_PROCESS_BACKENDS = ("locmem.LocMemCache", "dummy.DummyCache")
NOT_THREAD_SAFE_BACKENDS = ("memcached.PyLibMCCache",)
UNREADABLE = (EOFError, JSONDecodeError, PickleError, UnicodeDecodeError, zlib.error)

SUPERSEDED_SECONDS = 600  # a superseded payload stays for readers that saw its head
RETRY_SECONDS = 1.0  # between looks at a cache that failed
CONFIRMED_SECONDS = 1.0  # a read on an event loop blocks only for an older confirmation
WAIT_SECONDS = 0.05  # for a look that another thread has under way
READING_THREAD_SECONDS = 0.5  # for a look in the reading thread
STEP_BACK_SECONDS = 10.0  # a lower sequence is believed after this


def is_per_process(alias: str) -> bool:
    """Tell whether the cache behind an alias lives in one process, or nowhere."""
    return str(caches.settings[alias]["BACKEND"]).endswith(PER_PROCESS_BACKENDS)


class CacheHandle:
    """A connection to a cache that outlives requests, one per thread where the client needs it."""

    def __init__(self, alias: str) -> None:
        if alias not in caches.settings:
            raise InvalidCacheBackendError(
                f"FLAGSMITH['CACHE'] is {alias!r}, which is not in CACHES. "
                f"Add it there, or name one of: {', '.join(caches.settings)}."
            )
        self._alias = alias
        self._per_thread = str(caches.settings[alias]["BACKEND"]).endswith(NOT_THREAD_SAFE_BACKENDS)
        self.drop()

    def drop(self) -> None:
        """Forget the connections without closing them: after a fork they are the parent's."""
        self._local = threading.local()
        self._shared: BaseCache | None = None

    def close(self) -> None:
        """Close the connections that this thread may use; the next use opens new ones."""
        opened: BaseCache | None = getattr(self._local, "cache", self._shared)
        self.drop()
        if opened is not None:
            opened.close()

    def get(self) -> BaseCache:
        """Return the cache to use in this thread."""
        if self._per_thread:
            if not hasattr(self._local, "cache"):
                self._local.cache = caches.create_connection(self._alias)
            return cast(BaseCache, self._local.cache)
        if self._shared is None:
            self._shared = caches.create_connection(self._alias)
        return self._shared


@contextmanager
def _cache_errors() -> Iterator[None]:
    """Turn what the cache's client raises, which differs with each, into `StoreError`."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        _close_broken_connections()
        raise StoreError(f"The cache failed: {type(error).__name__}: {error}") from error


def _close_broken_connections() -> None:
    """Let DatabaseCache connect again; a connection that works may be in the middle of a caller's transaction."""
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred and not connection.in_atomic_block and not connection.is_usable():
            connection.close()


class Store:
    """The shared cache's side of a snapshot. Its methods raise `StoreError`, and nothing else."""

    def __init__(self, alias: str, environment_key: str) -> None:
        self.handle = CacheHandle(alias)
        digest = hashlib.sha256(environment_key.encode()).hexdigest()[:16]
        self._prefix = f"flagsmith:{SCHEMA}:{digest}"

    @property
    def _cache(self) -> BaseCache:
        return self.handle.get()

    def close(self) -> None:
        """Close the connections to the cache; the next use opens new ones."""
        self.handle.close()

    @_cache_errors()
    def read_head(self) -> Head | None:
        """Return the published head; None where there is none or what is there is not one."""
        return _parse_head(self._read(self._key("head")))

    @_cache_errors()
    def read_environment(self, sequence: int) -> Environment | None:
        """Return the payload of a sequence; None where it is gone or unreadable."""
        payload = self._read(self._payload_key(sequence))
        try:
            environment = Environment.from_payload(payload)
            _ = environment.flags  # what can't be evaluated must not be found out by a caller's read
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return None
        return environment

    @_cache_errors()
    def publish(self, document: Document, after: Head | None) -> Snapshot:
        """Store a document as the snapshot that follows `after`."""
        now = time.time_ns() // 1_000_000
        sequence = max(after.sequence + 1, now) if after else now
        head = Head(sequence, document.environment.version, document.updated_at, now * 1_000)
        self._write(self._payload_key(sequence), document.environment.payload)
        self._write(self._key("head"), _as_list(head))
        return Snapshot(head, document.environment)

    @_cache_errors()
    def confirm(self, snapshot: Snapshot, updated_at: int) -> Snapshot:
        """Move the date of a published snapshot whose content is still the same."""
        head = Head(snapshot.sequence, snapshot.version, updated_at, snapshot.head.published_at)
        self._write(self._key("head"), _as_list(head))
        return Snapshot(head, snapshot.environment)

    @_cache_errors()
    def repair(self, snapshot: Snapshot) -> bool:
        """Put back what is gone of a snapshot, or older than it; tell whether anything was."""
        head = self.read_head()
        if head and head.sequence > snapshot.sequence:
            return False
        key, payload = self._payload_key(snapshot.sequence), snapshot.environment.payload
        has_payload = self._read(key) == payload
        if head == snapshot.head and has_payload:
            return False
        if not has_payload:
            self._write(key, payload)
        # Where there is no head, somebody else may be about to write a newer one.
        if head or not self._cache.add(self._key("head"), _as_list(snapshot.head), timeout=None):
            self._write(self._key("head"), _as_list(snapshot.head))
        return True

    @_cache_errors()
    def read_announced(self) -> Snapshot | None:
        """Return the last snapshot whose signals were sent; None where it is not known any more."""
        head = _parse_head(self._read(self._key("announced")))
        environment = head and self.read_environment(head.sequence)
        return Snapshot(head, environment) if head and environment else None

    @_cache_errors()
    def mark_announced(self, head: Head) -> None:
        """Note that the signals of a snapshot were sent, and let the one announced before go."""
        before = _parse_head(self._read(self._key("announced")))
        if before and before.sequence < head.sequence:
            self._cache.touch(self._payload_key(before.sequence), SUPERSEDED_SECONDS)
        if before is None or before.sequence != head.sequence:
            self._cache.set(self._key("announced"), _as_list(head), timeout=None)

    @_cache_errors()
    def read_events(self) -> tuple[int | None, tuple[int, ...]]:
        """Return the announced time that is still chased, and those that were seen."""
        match self._read(self._key("event")):
            case [int() | None as pending, [*seen]] if all(isinstance(time, int) for time in seen):
                return pending, tuple(seen)
        return None, ()

    @_cache_errors()
    def write_events(self, pending: int | None, seen: tuple[int, ...]) -> None:
        """Keep for the next listener what this one knows of announced times."""
        self._cache.set(self._key("event"), [pending, list(seen)], timeout=None)

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{name}"

    def _read(self, key: str) -> Any:
        try:
            return self._cache.get(key)
        except UNREADABLE:  # written by another backend or serializer: the next publication replaces it
            return None

    def _write(self, key: str, value: Any) -> None:
        self._cache.set(key, value, timeout=None)
        if self._cache.get(key) != value:  # some backends swallow a set that failed
            raise StoreError(
                f"The cache did not keep {key.rpartition(self._prefix)[2].lstrip(':')!r} "
                f"({len(value):,} {'bytes' if isinstance(value, bytes) else 'fields'})."
            )

    def _payload_key(self, sequence: int) -> str:
        return self._key(f"payload:{sequence}")


def _as_list(head: Head) -> list[int | str]:
    return [head.sequence, head.version, head.updated_at, head.published_at]


def _parse_head(value: object) -> Head | None:
    match value:
        case [int(sequence), str(version), int(updated_at), int(published_at)]:
            return Head(sequence, version, updated_at, published_at)
    return None


class Reader:
    """What this process holds of the published snapshot, and when it last asked the cache for it.

    A read takes what is held whenever the cache has nothing better: it never raises and never waits for more
    than one look at one small key, and for the payload where that moved.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.close = store.close
        self._held: Snapshot | None = None
        self._reset()
        _living.add(self)

    def _reset(self) -> None:
        self._look_lock = threading.Lock()
        self._looked_at = -float("inf")  # when the last look began
        self._confirmed_at = -float("inf")  # when the last look that succeeded began
        self._failing = False
        self._lower_since: float | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="flagsmith-reader")
        self._look_in_flight: Future[None] | None = None

    def after_fork(self) -> None:
        """Keep the snapshot, drop what belongs to the parent: connections, locks, threads."""
        self._store.handle.drop()
        self._reset()

    def current(self, max_age: float = 0) -> Snapshot | None:
        """Return the snapshot, asking the cache unless that was done within `max_age` seconds."""
        if self._is_due(max_age):
            if not _on_event_loop():
                self._look(time.monotonic())
            elif time.monotonic() - self._confirmed_at > CONFIRMED_SECONDS:
                wait([self._look_elsewhere()], self._patience(READING_THREAD_SECONDS))
        return self._held

    async def acurrent(self, max_age: float = 0) -> Snapshot | None:
        """Return the snapshot as `current` does, without blocking the event loop."""
        if self._is_due(max_age):
            look = self._look_elsewhere()
            if not self._failing:
                await asyncio.wait([asyncio.wrap_future(look)], timeout=self._patience(READING_THREAD_SECONDS))
        return self._held

    def _is_due(self, max_age: float) -> bool:
        age = time.monotonic() - self._looked_at
        return age >= (max(max_age, RETRY_SECONDS) if self._failing else max_age)

    def _look_elsewhere(self) -> Future[None]:
        """Look in the process's one reading thread; share a look that has not begun."""
        look = self._look_in_flight
        if look is None or look.running() or look.done():
            look = self._look_in_flight = self._executor.submit(self._look_here, time.monotonic())
        return look

    def _look_here(self, wanted_at: float) -> None:
        try:
            self._look(wanted_at)
        finally:
            close_old_connections()  # of DatabaseCache and of receivers: no request ends in this thread

    def _patience(self, seconds: float) -> float | None:
        """Return how long to wait for a look that another thread has under way; None: to its end."""
        if self._failing:
            return 0
        return None if self._held is None else seconds

    def _look(self, wanted_at: float) -> None:
        """Ask the cache, once for all threads that want to know at the same time."""
        patience = self._patience(WAIT_SECONDS)
        if not self._look_lock.acquire(timeout=-1 if patience is None else patience):
            return
        previous = held = self._held
        try:
            if self._looked_at <= wanted_at:
                self._refresh_held()
                held = self._held
        finally:
            self._look_lock.release()
        if held and (previous is None or previous.sequence != held.sequence):
            snapshot_loaded.send_robust(Snapshot, snapshot=held, previous=previous)

    def _refresh_held(self) -> None:
        self._looked_at = now = time.monotonic()
        try:
            self._adopt(self._store.read_head())
        except StoreError as error:
            self._fail(error)
        else:
            self._heal()
            self._confirmed_at = now

    def _adopt(self, head: Head | None) -> None:
        held = self._held
        if head is None or (held and self._is_step_back(head, held)):
            return
        if held and head.version == held.version:
            if head != held.head:
                self._held = Snapshot(head, held.environment)
        elif environment := self._store.read_environment(head.sequence):
            self._held = Snapshot(head, environment)

    def _is_step_back(self, head: Head, held: Snapshot) -> bool:
        """Tell whether to ignore a lower sequence: it may be what a writer that slept left behind."""
        if head.sequence >= held.sequence:
            self._lower_since = None
            return False
        if self._lower_since is None:
            self._lower_since = self._looked_at
        return self._looked_at - self._lower_since < STEP_BACK_SECONDS

    def _fail(self, error: StoreError) -> None:
        if not self._failing:
            logger.warning("Flags are served from memory. %s", error)
        self._failing = True
        self._looked_at = time.monotonic()  # nobody who waited for a cache that hangs begins to wait again

    def _heal(self) -> None:
        if self._failing:
            logger.info("The cache of the flags answers again")
        self._failing = False


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_readers: dict[tuple[str, str], Reader] = {}  # those in use, by alias and environment key
_living: weakref.WeakSet[Reader] = weakref.WeakSet()


def _drop_after_fork() -> None:
    for reader in _living:
        reader.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_after_fork)


def get_reader(config: Config | None = None) -> Reader:
    """Return this process's reader of the configured environment."""
    config = config or get_config()
    key = (config.cache, config.environment_key or "")
    return _readers.get(key) or _readers.setdefault(key, Reader(Store(*key)))


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    while setting == "CACHES" and _readers:
        _readers.popitem()[1].close()
