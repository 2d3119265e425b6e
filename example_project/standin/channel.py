"""What the stream announces: the latest time of change, and a wake-up for whoever waits for the next."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Channel:
    """Hold the latest announced time and wake its subscribers, through sockets that `select` can watch."""

    def __init__(self) -> None:
        self.latest: float | None = None
        self._lock = threading.Lock()
        self._wakers: set[socket.socket] = set()

    @contextmanager
    def subscribe(self) -> Iterator[socket.socket]:
        """Give a socket that becomes readable with every announcement."""
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
        """Tell every subscriber of a change."""
        with self._lock:
            self.latest = updated_at
            for waker in self._wakers:
                waker.send(b"!")
