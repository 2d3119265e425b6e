"""Measure reads while Redis is away, beside a Redis that is well, in one run.

    python -m benchmarks.redis_outage [SECONDS]

Each row: threads of one process that read a flag without a pause, the snapshot looked at anew with every read. The
client's timeouts are those that the README sets: one second.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "example_project")]
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django  # noqa: E402

django.setup()

from django.test import override_settings  # noqa: E402

from django_flagsmith_realtime.reading.reader import get_reader  # noqa: E402
from tests.support.documents import banner, publish  # noqa: E402
from tests.support.processes import RedisServer  # noqa: E402

THREADS = (1, 4)


class Measured:
    """What the threads took for their reads."""

    def __init__(self, threads: int, seconds: float) -> None:
        self.reads = 0
        self.worst = 0.0  # seconds
        self.slow = 0  # reads that took more than 10 ms
        self._lock = threading.Lock()
        self._end = time.monotonic() + seconds
        workers = [threading.Thread(target=self._read) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.rate = self.reads / seconds

    def _read(self) -> None:
        reads, slow, worst, began = 0, 0, 0.0, time.monotonic()
        while began < self._end:
            assert banner(get_reader().current()) == "one"
            ended = time.monotonic()
            reads, slow, worst = reads + 1, slow + (ended - began > 0.01), max(worst, ended - began)
            began = ended
        with self._lock:
            self.reads, self.slow, self.worst = self.reads + reads, self.slow + slow, max(self.worst, worst)


def measure(redis: RedisServer, threads: int, seconds: float) -> None:
    """Print the rows of one number of threads."""
    faults: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "healthy": (lambda: None, lambda: None),
        "killed": (redis.kill, redis.restart),
        "SIGSTOP": (redis.freeze, redis.thaw),
    }
    healthy = 0.0
    for name, (begin, end) in faults.items():
        with override_settings(CACHES={"default": redis.cache(socket_timeout=1)}):
            publish(banner_text="one")
            get_reader().current()
            begin()
            taken = Measured(threads, seconds)
            end()
        healthy = healthy or taken.rate
        print(
            f"| {name} | {threads} | {taken.rate:,.0f} | {taken.rate / healthy:.1f} | {taken.worst * 1000:,.1f} | "
            f"{taken.slow} |",
            flush=True,
        )


def main(seconds: float) -> None:
    logging.disable()
    with RedisServer() as redis:
        print("| Redis | threads | reads/s | times healthy | worst read ms | reads over 10 ms |")
        print("|---|---|---|---|---|---|")
        for threads in THREADS:
            measure(redis, threads, seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
