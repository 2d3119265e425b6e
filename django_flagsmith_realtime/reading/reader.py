"""What a process holds of the published snapshot: the reads' side of the store."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from django.core.signals import setting_changed
from django.db import close_old_connections
from django.dispatch import receiver

from ..conf import Config, get_config
from ..environment.snapshot import Head, Snapshot
from ..exceptions import StoreError
from ..signals import snapshot_loaded
from ..storage.snapshot_file import SnapshotFileError, load_snapshot
from ..storage.store import Store
from . import event_loop

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # between looks at a cache that failed
CONFIRMED_SECONDS = 1.0  # a read on an event loop blocks only for an older confirmation
WAIT_SECONDS = 0.05  # for a look that another thread has under way
READING_THREAD_SECONDS = 0.5  # for a look in the reading thread
STEP_BACK_SECONDS = 10.0  # a lower sequence is believed after this

Change = tuple[Snapshot, Snapshot | None]  # the new one, and the one before


class Reader:
    """What this process holds of the published snapshot, and when it last asked the cache for it.

    A read takes what is held whenever the cache has nothing better: it never raises and never waits for more
    than one look at one small key, and for the payload where that moved. A process that holds nothing, and finds
    nothing in the cache, begins with `snapshot_file`. `store` is this process's connection to the cache.
    """

    def __init__(self, store: Store, snapshot_file: Path | None = None) -> None:
        self.store = store
        self._snapshot_file = snapshot_file
        self.close = store.close
        self._held: Snapshot | None = None
        self._has_warned = False
        self._reset()
        _living.add(self)

    def _reset(self) -> None:
        self._look_lock = threading.Lock()
        self._looked_at = -float("inf")  # when the last look began
        self._confirmed_at = -float("inf")  # when the last look that succeeded began
        self._failing, self._failing_since = False, 0.0
        self._is_overdue = False  # somebody waited in vain for the look under way
        self._file_read_at = -float("inf")
        self._lower_since: float | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="flagsmith-reader")
        self._messenger = ThreadPoolExecutor(1, thread_name_prefix="flagsmith-signals")
        self._look_in_flight: Future[None] | None = None

    def after_fork(self) -> None:
        """Keep the snapshot, drop what belongs to the parent: connections, locks, threads."""
        self.store.handle.drop()
        self._reset()

    def current(self, max_age: float = 0) -> Snapshot | None:
        """Return the snapshot, asking the cache unless that was done within `max_age` seconds."""
        if (self._held is None or time.monotonic() - self._looked_at >= max_age) and self._is_due(max_age):
            if not event_loop.is_running():
                _tell(self._look(time.monotonic()))
            elif time.monotonic() - self._confirmed_at > CONFIRMED_SECONDS:
                _, late = wait([self._look_elsewhere()], self._patience(READING_THREAD_SECONDS))
                self._is_overdue |= bool(late)
        return self._held

    async def acurrent(self, max_age: float = 0) -> Snapshot | None:
        """Return the snapshot as `current` does, without blocking the event loop."""
        if self._is_due(max_age):
            look = self._look_elsewhere()
            if not self._failing:
                patience = self._patience(READING_THREAD_SECONDS)
                _, late = await asyncio.wait([asyncio.wrap_future(look)], timeout=patience)
                self._is_overdue |= bool(late)
        return self._held

    def _is_due(self, max_age: float) -> bool:
        age = time.monotonic() - self._looked_at  # first: whoever makes it young has the lock already
        if self._held is None and self._look_lock.locked():
            return True  # the look under way may bring the first snapshot
        return age >= (max(max_age, RETRY_SECONDS) if self._failing else max_age)

    def _look_elsewhere(self) -> Future[None]:
        """Look in the process's one reading thread; share a look that has not begun."""
        look = self._look_in_flight
        if look is None or look.running() or look.done():
            look = self._look_in_flight = self._executor.submit(self._look_here, time.monotonic())
        return look

    def _look_here(self, wanted_at: float) -> None:
        if change := self._look(wanted_at):
            self._messenger.submit(_tell_and_close, change)  # a receiver may be slow, or read flags itself
        close_old_connections()  # of DatabaseCache: no request ends in this thread

    def _patience(self, seconds: float) -> float | None:
        """Return how long to wait for a look that another thread has under way; None: to its end."""
        if self._failing or (self._is_overdue and self._look_lock.locked()):
            return 0
        return None if self._held is None else seconds

    def _look(self, wanted_at: float) -> Change | None:
        """Ask the cache, once for all threads that want to know at the same time; return what is new."""
        patience = self._patience(WAIT_SECONDS)
        if not self._look_lock.acquire(timeout=-1 if patience is None else patience):
            self._is_overdue = True
            return None
        self._is_overdue = False
        previous = held = self._held
        try:
            if self._looked_at <= wanted_at:
                self._refresh_held()
                held = self._held
        finally:
            self._look_lock.release()
        is_new = held and (previous is None or previous.sequence != held.sequence)
        return (held, previous) if held and is_new else None

    def _refresh_held(self) -> None:
        self._looked_at = now = time.monotonic()
        try:
            self._adopt(self.store.read_head())
        except StoreError as error:
            self._fail(error)
        else:
            self._heal()
            self._confirmed_at = now
        if self._held is None and self._snapshot_file and now - self._file_read_at >= RETRY_SECONDS:
            self._file_read_at = now
            self._begin_with(self._snapshot_file)

    def _adopt(self, head: Head | None) -> None:
        held = self._held
        if head is None or (held and self._is_step_back(head, held)):
            return
        if held and head.version == held.version:
            if head != held.head:
                self._held = Snapshot(head, held.environment)
        elif environment := self.store.read_environment(head.sequence):
            self._held = Snapshot(head, environment)

    def _begin_with(self, path: Path) -> None:
        try:
            self._held = load_snapshot(path)
        except SnapshotFileError as error:
            if not self._has_warned:
                logger.warning("Snapshot file: %s", error)
            self._has_warned = True

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
            self._failing_since = time.monotonic()
        self._failing = True
        self._looked_at = time.monotonic()  # nobody who waited for a cache that hangs begins to wait again

    def _heal(self) -> None:
        if self._failing:
            logger.info("The cache of the flags answers again after %.0f s", time.monotonic() - self._failing_since)
        self._failing = False


def _tell(change: Change | None) -> None:
    if change:
        snapshot, previous = change
        snapshot_loaded.send_robust(Snapshot, snapshot=snapshot, previous=previous)


def _tell_and_close(change: Change) -> None:
    _tell(change)
    close_old_connections()  # of receivers: no request ends in this thread


_readers: dict[tuple[str, str, Path | None], Reader] = {}  # those in use, by alias, namespace and file
_last: tuple[Config | None, Reader | None] = None, None  # of them, the one that was asked for last
_living: weakref.WeakSet[Reader] = weakref.WeakSet()


def _drop_after_fork() -> None:
    for reader in _living:
        reader.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_after_fork)


def get_reader(config: Config | None = None) -> Reader:
    """Return this process's reader of the configured environment."""
    global _last
    config = config or get_config()
    last_config, reader = _last
    if last_config is not config or reader is None:
        alias, namespace, path = key = config.cache, config.namespace, config.snapshot_file
        reader = _readers.get(key) or _readers.setdefault(key, Reader(Store(alias, namespace), path))
        _last = config, reader
    return reader


def fresh_snapshot(config: Config) -> Snapshot | None:
    """Return this process's snapshot if the cache was asked within `FRESHNESS`, else None."""
    last_config, reader = _last
    if last_config is not config or reader is None:
        reader = get_reader(config)
    return reader._held if time.monotonic() - reader._looked_at < config.freshness else None


def drop_readers() -> None:
    """Forget what this process holds, for tests: the next read begins anew."""
    global _last
    _last = None, None
    while _readers:
        _readers.popitem()[1].close()


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "CACHES":
        drop_readers()
