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
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import BaseCache
from django.core.signals import setting_changed
from django.db import close_old_connections
from django.dispatch import receiver

from .conf import Config, get_config
from .exceptions import StoreError
from .signals import snapshot_loaded
from .snapshot import Document, Environment, Head, Snapshot

logger = logging.getLogger(__name__)

SCHEMA = 1
PER_PROCESS_BACKENDS = ("locmem.LocMemCache", "dummy.DummyCache")
NOT_THREAD_SAFE_BACKENDS = ("memcached.PyLibMCCache",)

SUPERSEDED_SECONDS = 600  # a superseded payload stays for readers that saw its head
RETRY_SECONDS = 1.0  # between looks at a cache that failed
CONFIRMED_SECONDS = 1.0  # a read on an event loop blocks only for an older confirmation
WAIT_SECONDS = 0.05  # for a look that another thread has under way
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
        close_old_connections()  # for DatabaseCache, outside a request
        raise StoreError(f"The cache failed: {type(error).__name__}: {error}") from error


class Store:
    """The shared cache's side of a snapshot. Its methods raise `StoreError`, and nothing else."""

    def __init__(self, alias: str, environment_key: str) -> None:
        self.handle = CacheHandle(alias)
        digest = hashlib.sha256(environment_key.encode()).hexdigest()[:16]
        self._prefix = f"flagsmith:{SCHEMA}:{digest}"

    @property
    def _cache(self) -> BaseCache:
        return self.handle.get()

    @_cache_errors()
    def read_head(self) -> Head | None:
        """Return the published head; None where there is none or what is there is not one."""
        return _parse_head(self._cache.get(f"{self._prefix}:head"))

    @_cache_errors()
    def read_environment(self, sequence: int) -> Environment | None:
        """Return the payload of a sequence; None where it is gone or unreadable."""
        payload = self._cache.get(self._payload_key(sequence))
        try:
            return Environment.from_payload(payload) if isinstance(payload, bytes) else None
        except ValueError:
            return None

    @_cache_errors()
    def publish(self, document: Document, after: Head | None) -> Snapshot:
        """Store a document as the snapshot that follows `after`."""
        now = time.time_ns() // 1_000_000
        sequence = max(after.sequence + 1, now) if after else now
        head = Head(sequence, document.environment.version, document.updated_at, now * 1_000)
        self._write(self._payload_key(sequence), document.environment.payload)
        self._write_head(head)
        if after:
            self._cache.touch(self._payload_key(after.sequence), SUPERSEDED_SECONDS)
        return Snapshot(head, document.environment)

    @_cache_errors()
    def confirm(self, snapshot: Snapshot, updated_at: int) -> Snapshot:
        """Move the date of a published snapshot whose content is still the same."""
        head = Head(snapshot.sequence, snapshot.version, updated_at, snapshot.head.published_at)
        self._write_head(head)
        return Snapshot(head, snapshot.environment)

    def _write_head(self, head: Head) -> None:
        self._write(f"{self._prefix}:head", [head.sequence, head.version, head.updated_at, head.published_at])

    def _write(self, key: str, value: Any) -> None:
        self._cache.set(key, value, timeout=None)
        if self._cache.get(key) != value:  # some backends swallow a set that failed
            raise StoreError(
                f"The cache did not keep {key.rpartition(self._prefix)[2].lstrip(':')!r} "
                f"({len(value):,} {'bytes' if isinstance(value, bytes) else 'fields'})."
            )

    def _payload_key(self, sequence: int) -> str:
        return f"{self._prefix}:payload:{sequence}"


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
        self._held: Snapshot | None = None
        self._reset()
        _readers.add(self)

    def _reset(self) -> None:
        self._look_lock = threading.Lock()
        self._looked_at = -float("inf")  # when the last look began
        self._confirmed_at = -float("inf")  # when the last look that succeeded began
        self._failing = False
        self._lower_since: float | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._look_in_flight: Future[None] | None = None

    def after_fork(self) -> None:
        """Keep the snapshot, drop what belongs to the parent: connections, locks, threads."""
        self._store.handle.drop()
        self._reset()

    def current(self, max_age: float = 0) -> Snapshot | None:
        """Return the snapshot, asking the cache unless that was done within `max_age` seconds."""
        if self._is_due(max_age):
            if not _on_event_loop():
                self._look()
            elif time.monotonic() - self._confirmed_at > CONFIRMED_SECONDS:
                self._look_elsewhere().result()
        return self._held

    async def acurrent(self, max_age: float = 0) -> Snapshot | None:
        """Return the snapshot as `current` does, without blocking the event loop."""
        if self._is_due(max_age):
            await asyncio.shield(asyncio.wrap_future(self._look_elsewhere()))
        return self._held

    def _is_due(self, max_age: float) -> bool:
        age = time.monotonic() - self._looked_at
        return age >= (max(max_age, RETRY_SECONDS) if self._failing else max_age)

    def _look_elsewhere(self) -> Future[None]:
        """Look in the process's one reading thread; share a look that has not begun."""
        look = self._look_in_flight
        if look is None or look.running() or look.done():
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, thread_name_prefix="flagsmith-reader")
            look = self._look_in_flight = self._executor.submit(self._look)
        return look

    def _look(self) -> None:
        """Ask the cache, once for all threads that want to know at the same time."""
        wanted_at = time.monotonic()
        wait = -1 if self._held is None else 0 if self._failing else WAIT_SECONDS
        if not self._look_lock.acquire(timeout=wait):
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


_readers: weakref.WeakSet[Reader] = weakref.WeakSet()


def _drop_after_fork() -> None:
    for reader in _readers:
        reader.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_after_fork)


@cache
def _reader(alias: str, environment_key: str) -> Reader:
    return Reader(Store(alias, environment_key))


def get_reader(config: Config | None = None) -> Reader:
    """Return this process's reader of the configured environment."""
    config = config or get_config()
    return _reader(config.cache, config.environment_key or "")


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "CACHES":
        _reader.cache_clear()
