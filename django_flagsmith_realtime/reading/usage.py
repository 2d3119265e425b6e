"""`USAGE`: counts what this process reads, and hands the counts to the leader, which reports them to Flagsmith."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import Counter
from contextlib import suppress

from django.db import close_old_connections

from ..conf import get_read_config
from ..exceptions import StoreError
from ..storage.usage import UsageBoxes
from .observers import Observer, Read
from .reader import get_reader

logger = logging.getLogger(__name__)

WRITE_SECONDS = 10.0  # what a process that is killed has counted since is lost; the SDK's processes post as often


class UsageCounter(Observer):
    """Counts each read of a flag that Flagsmith knows. A thread leaves the counts in the cache: no read waits."""

    each_read = True  # as the SDK counts

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin with nothing, as the child of a fork must: the parent has its counts, and its thread."""
        self._lock = threading.RLock()  # a signal handler that interrupts a read may read a flag, too
        self._counts: Counter[str] = Counter()
        self._thread: threading.Thread | None = None

    def observe(self, read: Read) -> None:
        if read.flag.feature_id:  # a default has none
            self.count(read.flag.feature_name)

    def count(self, name: str, times: int = 1) -> None:
        """Count some reads."""
        with self._lock:
            self._counts[name] += times
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flagsmith-usage", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Leave in the cache what was counted; keep it where that fails, or no leader collects it."""
        if not self._counts:
            return
        config = get_read_config()
        boxes = UsageBoxes(get_reader(config).store.cache)
        with suppress(StoreError):  # which readers report
            if round := boxes.open_round():
                with self._lock:
                    counts, self._counts = self._counts, Counter()
                if not boxes.put(round, counts):  # where it raises, they may be there: once more would double them
                    with self._lock:
                        self._counts.update(counts)

    def _run(self) -> None:
        while True:
            time.sleep(WRITE_SECONDS)
            try:
                self.flush()
            except Exception:
                logger.exception("Counting flag reads failed in an unexpected way")
            close_old_connections()  # of DatabaseCache: no request ends in this thread


usage_counter = UsageCounter()
atexit.register(usage_counter.flush)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=usage_counter.forget)
