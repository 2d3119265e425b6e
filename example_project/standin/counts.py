"""How often each route was requested."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Counts:
    """The requests to each route since the start, and the streams that are open now."""

    environment_document: int = 0
    flags: int = 0
    stream: int = 0
    open_streams: int = 0


class Counter:
    """Count requests from many threads."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._lock = threading.Lock()

    def add_document(self) -> None:
        """Count a request for the environment document."""
        with self._lock:
            self.counts = replace(self.counts, environment_document=self.counts.environment_document + 1)

    def add_flags(self) -> None:
        """Count a request for the flags."""
        with self._lock:
            self.counts = replace(self.counts, flags=self.counts.flags + 1)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream request, and an open stream while the block runs."""
        self._add_streams(opened=1, open_now=1)
        try:
            yield
        finally:
            self._add_streams(opened=0, open_now=-1)

    def _add_streams(self, *, opened: int, open_now: int) -> None:
        with self._lock:
            streams, still_open = self.counts.stream + opened, self.counts.open_streams + open_now
            self.counts = replace(self.counts, stream=streams, open_streams=still_open)
