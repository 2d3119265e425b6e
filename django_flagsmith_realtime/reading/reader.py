"""What a process holds of the published snapshot: the reads' side of the store."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from django.core.signals import setting_changed
from django.db import close_old_connections
from django.dispatch import receiver

from ..conf import Config, get_config
from ..environment.snapshot import Head, Snapshot
from ..exceptions import SnapshotFileError, StoreError
from ..signals import snapshot_loaded
from ..storage.snapshot_file import load_snapshot
from ..storage.store import Store
from . import event_loop

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # while the cache fails: one thread of a process asks it again this often
WAIT_SECONDS = 0.3  # for an answer that another thread waits for: Redis takes 1 ms, a busy machine 0.1 s
LATEST_SECONDS = 2.0  # for an answer to a page, which asks once: the timeout that our docs give a Redis client is 1 s
STEP_BACK_SECONDS = 10.0  # a lower sequence is ignored this long: a leader replaces it within 2 s (MAINTENANCE_SECONDS)

T = TypeVar("T")
Change = tuple[Snapshot, Snapshot | None]  # the new one, and the one before


class Reader:
    """The snapshot that this process holds, and how new it is known to be.

    A read asks the cache for one small key, the head, and for the payload if the head has moved. It never raises. If
    the cache fails, is slow or is empty, what is held stays; a process that holds nothing starts with `snapshot_file`.
    """

    def __init__(self, store: Store, snapshot_file: Path | None = None) -> None:
        self.store = store
        self._snapshot_file = snapshot_file
        self._held: Snapshot | None = None
        self._has_warned = False
        self._reset()
        _living.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()  # whoever has it asks the cache
        self._is_overdue = False  # somebody waited in vain for the lock
        self._held_as_of = -float("inf")  # the cache was asked then for the last time that it answered
        self._failing_since: float | None = None
        self._retry_at = -float("inf")
        self._file_read_at = -float("inf")
        self._lower_since: float | None = None
        self._executor, self._signal_executor = _executor("reader"), _executor("signals")
        self._task: Future[None] | None = None  # the last one of the executor
        self._task_since = -float("inf")

    def after_fork(self) -> None:
        """Keep the snapshot, drop what belongs to the parent: connections, locks, threads."""
        self.store.cache.drop()
        self._reset()

    def current(self, max_age: float = 0) -> Snapshot | None:
        """Return the snapshot of now, or of `max_age` seconds ago at the latest."""
        since = time.monotonic() - max_age
        if self._is_due(since):
            if event_loop.is_running():
                patience = self._patience
                _, late = wait([self._submit(since)], event_loop.BLOCK_SECONDS if patience is None else patience)
                self._is_overdue |= bool(late)
            else:
                _send_loaded(self._ask(since))
        return self._held

    async def acurrent(self, max_age: float = 0) -> Snapshot | None:
        """Return what `current` does, without blocking the event loop."""
        since = time.monotonic() - max_age
        if self._is_due(since):
            is_probe = self.is_failing and (self._task is None or self._task.done())
            answer = self._submit(since)
            patience = WAIT_SECONDS if is_probe else self._patience
            if patience != 0:
                _, late = await asyncio.wait([asyncio.wrap_future(answer)], timeout=patience)
                self._is_overdue |= bool(late)
        return self._held

    async def alatest(self) -> Snapshot | None:
        """Return the snapshot that is published now, to a page that was notified of a change and asks only once.

        Unlike `acurrent`, wait for a cache that is slow, or that has not been asked since it failed.
        """
        since = time.monotonic()
        while self._is_due(since) and (left := since + LATEST_SECONDS - time.monotonic()) > 0:
            await asyncio.wait([asyncio.wrap_future(self._submit(since))], timeout=left)
            if self._is_due(since):
                await asyncio.sleep(0.01)  # a sync read has the lock, and the reading thread did not wait for it
        return self._held

    @property
    def is_failing(self) -> bool:
        """Whether the cache gave no answer when it was asked last."""
        return self._failing_since is not None

    def run_in_reading_thread(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Call a function that reads something else from the cache, without blocking the event loop."""

        def run() -> T:
            try:
                return function()
            finally:
                close_old_connections()  # as below

        return asyncio.wrap_future(self._executor.submit(run))

    def _is_due(self, since: float) -> bool:
        now = time.monotonic()
        if self._failing_since is not None:
            return not now < self._retry_at <= now + RETRY_SECONDS
        return not since < self._held_as_of <= now  # later than now: tests freeze the clock, and let it go on

    @property
    def _patience(self) -> float | None:
        """The seconds for which to wait for another thread that asks the cache; None: until it has an answer."""
        if self._failing_since is not None or (self._is_overdue and self._lock.locked()):
            return 0
        return None if self._held is None else WAIT_SECONDS

    def _submit(self, since: float) -> Future[None]:
        """Ask the cache in the process's reading thread; a task that has not begun yet serves all who wait."""
        self._task_since = max(self._task_since, since)  # before the next line: a task reads it when it begins
        if self._task is None or self._task.running() or self._task.done():
            try:
                self._task = self._executor.submit(self._ask_in_reading_thread)
            except RuntimeError:  # no thread can start: the interpreter ends, or the system has too many
                self._executor = _executor("reader")  # the other one keeps the task for later
                _send_loaded(self._ask(since))
                self._task = Future()
                self._task.set_result(None)
        return self._task

    def _ask_in_reading_thread(self) -> None:
        if change := self._ask(self._task_since):
            try:
                self._signal_executor.submit(_send_loaded_and_close, change)  # a receiver may be slow, or read flags
            except RuntimeError:  # no thread can start
                self._signal_executor = _executor("signals")
                _send_loaded(change)
        close_old_connections()  # of DatabaseCache: no request ends in this thread

    def _ask(self, since: float) -> Change | None:
        """Ask the cache, unless another thread has done so meanwhile; return what is new."""
        patience = self._patience
        if not self._lock.acquire(timeout=-1 if patience is None else patience):
            self._is_overdue = True
            return None
        self._is_overdue = False
        previous = self._held
        try:
            if self._is_due(since):
                self._refresh()
            held = self._held
        finally:
            self._lock.release()
        is_new = held and (previous is None or previous.sequence != held.sequence)
        return (held, previous) if held and is_new else None

    def _refresh(self) -> None:
        began, error = time.monotonic(), None
        try:
            head = self.store.read_head()
            if head is None and self._held and not began < self._retry_at <= began + RETRY_SECONDS:
                self._retry_at = began + RETRY_SECONDS
                self.store.close()  # a client that hides errors may have given up its server
            self._adopt(head, began)
        except StoreError as raised:
            error = raised
        has_just_read_file = 0 <= began - self._file_read_at < RETRY_SECONDS
        if self._held is None and self._snapshot_file and not has_just_read_file:
            self._file_read_at = began
            self._begin_with(self._snapshot_file)
        if error:
            if self._failing_since is None:
                logger.warning("Flags are served from memory. %s", error)
                self._failing_since = began
            self._retry_at = time.monotonic() + RETRY_SECONDS
        else:
            if self._failing_since is not None:
                logger.info("The cache of the flags answers again after %.0f s", began - self._failing_since)
                self._failing_since = None
            self._held_as_of = began

    def _begin_with(self, path: Path) -> None:
        try:
            self._held = load_snapshot(path)
        except SnapshotFileError as error:
            if not self._has_warned:
                logger.warning("Flagsmith snapshot file: %s", error)
            self._has_warned = True

    def _adopt(self, head: Head | None, now: float) -> None:
        held = self._held
        if head is None:
            return
        if held is None or head.sequence >= held.sequence:
            self._lower_since = None
        else:  # a writer that was frozen may have left it
            if self._lower_since is None or self._lower_since > now:  # as in `_is_due`
                self._lower_since = now
            if now - self._lower_since < STEP_BACK_SECONDS:
                return
        if held and head.version == held.version:
            if head != held.head:
                self._held = Snapshot(head, held.environment)
        elif environment := self.store.read_environment(head.sequence):
            self._held = Snapshot(head, environment)


def _executor(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix=f"flagsmith-{name}")


def _send_loaded(change: Change | None) -> None:
    if change:
        snapshot, previous = change
        snapshot_loaded.send_robust(Snapshot, snapshot=snapshot, previous=previous)


def _send_loaded_and_close(change: Change) -> None:
    _send_loaded(change)
    close_old_connections()  # of receivers: no request ends in this thread


_readers: dict[tuple[str, str, Path | None], Reader] = {}  # those in use, by alias, namespace and file
_living: weakref.WeakSet[Reader] = weakref.WeakSet()


def _drop_after_fork() -> None:
    for reader in _living:
        reader.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_after_fork)


def get_reader(config: Config | None = None) -> Reader:
    """Return this process's reader of the configured environment."""
    config = config or get_config()
    alias, namespace, path = key = config.cache, config.namespace, config.snapshot_file
    return _readers.get(key) or _readers.setdefault(key, Reader(Store(alias, namespace), path))


def drop_readers() -> None:
    """Forget what this process holds, for tests: the next read begins anew."""
    while _readers:
        _readers.popitem()[1].store.close()


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "CACHES":
        drop_readers()
