"""The stand-in, with a memory of who asked for what, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from standin.handler import STREAM, Handler
from standin.server import StandIn

NAME_HEADER = "X-Process"
FOREVER = float("inf")


@dataclass
class Visit:
    """One request of a process; a stream's lasts as long as it is open, as far as the server can tell.

    One whose reader is frozen, or cut off, does not count until `counts_from`.
    """

    name: str | None
    is_stream: bool
    began: float
    counts_from: float
    ended: float = FOREVER

    def is_open(self, moment: float) -> bool:
        return self.counts_from <= moment < self.ended


class Visits:
    """All requests since the start, in order."""

    def __init__(self) -> None:
        self._all: list[Visit] = []
        self._lock = threading.Lock()

    @contextmanager
    def note(self, name: str | None, *, is_stream: bool) -> Iterator[None]:
        """Keep a request while the block answers it."""
        began = time.monotonic()
        visit = Visit(name, is_stream, began, counts_from=began)
        with self._lock:
            self._all.append(visit)
        try:
            yield
        finally:
            visit.ended = time.monotonic()

    def streams(self, since: float = 0.0) -> list[Visit]:
        """Return the streams that were open then, or later."""
        with self._lock:
            return [visit for visit in self._all if visit.is_stream and visit.ended > since]

    def open_streams(self) -> list[Visit]:
        """Return the streams that are open now, and count."""
        now = time.monotonic()
        return [visit for visit in self.streams(now) if visit.is_open(now)]

    def documents(self, since: float) -> int:
        """Count the requests for the document."""
        with self._lock:
            return sum(not visit.is_stream and visit.began >= since for visit in self._all)


class NotingHandler(Handler):
    """Notes each request; the processes of the fleet ask for the document and the stream only."""

    def do_GET(self) -> None:  # noqa: N802
        visits: Visits = self.server.visits  # type: ignore[attr-defined]
        with visits.note(self.headers.get(NAME_HEADER), is_stream=bool(STREAM.fullmatch(self.path))):
            super().do_GET()


class NotingStandIn(StandIn):
    """`visits` are the requests for the document and the streams."""

    def __init__(self, *, state_path: Path, host: str, ping_seconds: float) -> None:
        super().__init__(state_path=state_path, host=host, ping_seconds=ping_seconds)
        self.visits = self._server.visits = Visits()  # type: ignore[attr-defined]
        self._server.RequestHandlerClass = partial(NotingHandler, environment=self._environment)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


def at_once(streams: list[Visit]) -> int:
    """Return how many streams were open at once, at most."""
    moments = [visit.counts_from for visit in streams if visit.counts_from < visit.ended]
    return max((sum(visit.is_open(moment) for visit in streams) for moment in moments), default=0)


def longest_gap(streams: list[Visit], since: float, until: float) -> float:
    """Return the seconds without any stream, at the longest."""
    longest, open_until = 0.0, since
    for visit in sorted(streams, key=lambda visit: visit.began):
        longest = max(longest, visit.began - open_until)
        open_until = max(open_until, visit.ended)
    return max(longest, until - open_until)
