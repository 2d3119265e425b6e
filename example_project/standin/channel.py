"""The latest announced change, and a wake-up for each stream that waits for the next one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Channel:
    """Hold the latest announced time, and wake subscribers through sockets that `select` can wait for."""

    def __init__(self) -> None:
        self.latest: float | None = None
        self._lock = threading.Lock()
        self._wakers: set[socket.socket] = set()

    @contextmanager
    def subscribe(self) -> Iterator[socket.socket]:
        """Yield a socket that becomes readable with every announcement."""
        sleeper, waker = socket.socketpair()
        with sleeper, waker:
            with self._lock:
                self._wakers.add(waker)
            try:
                yield sleeper
            finally:
                with self._lock:
                    self._wakers.discard(waker)

    def announce(self, updated_at: float) -> None:
        """Announce a change to every subscriber."""
        with self._lock:
            self.latest = updated_at
            for waker in self._wakers:
                waker.send(b"!")
