"""What the listener says of itself: few lines, an outage once when it begins and once when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import singledispatchmethod

from . import stream
from .events import (
    BecameLeader,
    Event,
    EventTaken,
    Fetched,
    FetchFailed,
    Published,
    Repaired,
    StoodBy,
    StoreFailed,
    StoreWorked,
    StreamConnected,
    StreamDisconnected,
    StreamSilent,
    Turned,
    Unchanged,
)

logger = logging.getLogger("django_flagsmith_realtime.listener.listener")

REALTIME_OFF = (
    "Stream: Flagsmith says that the project's real-time updates are off. Polling. Switch them on in Flagsmith under "
    "Project Settings; the plan must include them."
)
SILENT = (
    "Stream: A change came without an event. Polling. See in Flagsmith under Project Settings whether real-time "
    "updates are on; the plan must include them."
)


class Outage:
    """Something that stopped working: a warning when it begins, a line for each further kind of reason, and its end."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._said: set[tuple[type, ...]] = set()

    def begin(self, message: str, *reason: object) -> None:
        level = logging.WARNING if self._since is None else logging.INFO
        if self._since is None:
            self._since = self._clock()
        if (kind := tuple(map(type, reason))) not in self._said:
            self._said.add(kind)
            logger.log(level, message, *reason)

    def end(self, message: str, at: float | None = None) -> None:
        if self._since is not None:
            logger.info(message, (self._clock() if at is None else at) - self._since)
        self._since = None
        self._said.clear()


class EventLog:
    """A subscriber of the listener's events that writes the log.

    `poll_only` says why there is no stream, where there is none.
    """

    def __init__(self, *, poll_only: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._poll_only = poll_only
        self._clock = clock
        self._api = Outage(clock)
        self._cache = Outage(clock)
        self._stream = Outage(clock)
        self._realtime = Outage(clock)
        self._silence = Outage(clock)
        self._connected_at: float | None = None
        self._has_connected = False
        self._has_flags = False

    @singledispatchmethod
    def take(self, event: Event) -> None:
        """Say what happened, where it is worth a line."""

    @take.register
    def _settle(self, event: Turned) -> None:
        """Say that the stream is back once it has lived: one that breaks again and again is one outage."""
        if self._connected_at is not None and self._clock() - self._connected_at >= stream.LIVED_SECONDS:
            self._stream.end("Stream: connected again after %.0f s", self._connected_at)

    @take.register
    def _lead(self, event: BecameLeader) -> None:
        self._connected_at, self._has_connected = None, False
        logger.info("Leading")
        if self._poll_only:
            logger.info("Polling: %s", self._poll_only)

    @take.register
    def _stand_by(self, event: StoodBy) -> None:
        logger.info("Standing by: %s leads", event.leader)

    @take.register
    def _connect(self, event: StreamConnected) -> None:
        self._connected_at = self._clock()
        if not self._has_connected:
            self._has_connected = True
            logger.info("Stream: connected")

    @take.register
    def _disconnect(self, event: StreamDisconnected) -> None:
        if not event.is_routine:
            self._connected_at = None
            self._stream.begin("Stream: %s Polling until it is back.", event.error or "It ended too soon.")

    @take.register
    def _hear_nothing(self, event: StreamSilent) -> None:
        self._silence.begin(SILENT)

    @take.register
    def _hear(self, event: EventTaken) -> None:
        self._silence.end("Stream: tells of changes again after %.0f s")

    @take.register
    def _fetch(self, event: Fetched) -> None:
        self._api.end("Flagsmith: answers again after %.0f s")
        if event.realtime_enabled:
            self._realtime.end("Stream: real-time updates are on again after %.0f s")
        else:
            self._realtime.begin(REALTIME_OFF)

    @take.register
    def _miss(self, event: FetchFailed) -> None:
        self._api.begin("Flagsmith: %s The flags stay as they are; trying again.", event.error)

    @take.register
    def _lose(self, event: StoreFailed) -> None:
        self._cache.begin("Cache: %s Trying again.", event.error)

    @take.register
    def _keep(self, event: StoreWorked) -> None:
        self._cache.end("Cache: works again after %.0f s")

    @take.register
    def _repair(self, event: Repaired) -> None:
        logger.info("Cache: the flags were gone and are back")

    @take.register
    def _publish(self, event: Published) -> None:
        self._has_flags = True
        update = event.update
        took = f" in {event.latency * 1000:.0f} ms" if event.latency is not None else ""
        flags = ", ".join(map(str, update.changes.values())) if update.previous else f"{len(update.changes)} flags"
        logger.info("Updated%s to version %s: %s", took, update.snapshot.version[:8], flags or "no flag changed")

    @take.register
    def _confirm(self, event: Unchanged) -> None:
        published = event.published
        if published and not self._has_flags:
            self._has_flags = True
            logger.info("Up to date: version %s, %d flags", published.version[:8], len(published.environment.flags))
