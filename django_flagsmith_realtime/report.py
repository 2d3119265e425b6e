"""What the listener says of itself: few lines, an outage once when it begins and once when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable

from . import stream
from .exceptions import FlagsmithError, StoreError
from .refresh import Update
from .snapshot import Snapshot

logger = logging.getLogger("django_flagsmith_realtime.listener")


class Outage:
    """Something that stopped working, said once for each kind of reason."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._said: set[type] = set()

    def begin(self, message: str, reason: object) -> None:
        if self._since is None:
            self._since = self._clock()
        if type(reason) not in self._said:
            self._said.add(type(reason))
            logger.warning(message, reason)

    def end(self, message: str, at: float | None = None) -> None:
        if self._since is not None:
            logger.info(message, (self._clock() if at is None else at) - self._since)
        self._since = None
        self._said.clear()


class Report:
    """Turns what happens to the listener into log lines."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._api = Outage(clock)
        self._cache = Outage(clock)
        self._stream = Outage(clock)
        self._connected_at: float | None = None
        self._has_connected = False
        self._led: tuple[bool, str | None] = False, None
        self._has_flags = False
        self._is_off = False
        self._noticed_at: float | None = None  # the first event since the last update

    def led(self, *, by_this: bool, leader: str | None) -> None:
        """Say who leads, each time that it is another."""
        if self._led == (by_this, leader):
            return
        self._led = by_this, leader
        if by_this:
            self._connected_at, self._has_connected = None, False
            logger.info("Leading")
        elif leader:
            logger.info("Standing by: %s leads", leader)

    def connected(self) -> None:
        self._connected_at = self._clock()
        if not self._has_connected:
            self._has_connected = True
            logger.info("Stream: connected")

    def disconnected(self, error: FlagsmithError | None) -> None:
        self._connected_at = None
        self._stream.begin("Stream: %s Polling until it is back.", error or "It ended too soon.")

    def settle(self) -> None:
        """Say that the stream is back once it has lived: one that breaks again and again is one outage."""
        if self._connected_at is not None and self._clock() - self._connected_at >= stream.LIVED_SECONDS:
            self._stream.end("Stream: connected again after %.0f s", self._connected_at)

    def noticed(self) -> None:
        self._noticed_at = self._noticed_at or self._clock()

    def fetched(self, *, realtime_enabled: bool) -> None:
        self._api.end("Flagsmith: answers again after %.0f s")
        if not realtime_enabled and not self._is_off:
            self.deaf("Flagsmith says that the project's real-time updates are off")
        self._is_off = not realtime_enabled

    def deaf(self, reason: str) -> None:
        """Say that the stream tells nothing."""
        logger.warning(
            "%s: polling. Switch them on in Flagsmith under Project Settings; the plan must include them.", reason
        )

    def failed(self, error: FlagsmithError) -> None:
        if isinstance(error, StoreError):
            self._cache.begin("Cache: %s Trying again.", error)
        else:
            self._api.begin("Flagsmith: %s The flags stay as they are; trying again.", error)

    def stored(self) -> None:
        self._cache.end("Cache: works again after %.0f s")

    def repaired(self) -> None:
        logger.info("Cache: the flags were gone and are back")

    def updated(self, update: Update) -> None:
        self._has_flags = True
        took = f" in {(self._clock() - self._noticed_at) * 1000:.0f} ms" if self._noticed_at else ""
        self._noticed_at = None
        flags = ", ".join(map(str, update.changes.values())) if update.previous else f"{len(update.changes)} flags"
        logger.info("Updated%s to version %s: %s", took, update.snapshot.version[:8], flags or "no flag changed")

    def unchanged(self, published: Snapshot | None) -> None:
        self._noticed_at = None
        if published and not self._has_flags:
            self._has_flags = True
            logger.info("Up to date: version %s, %d flags", published.version[:8], len(published.environment.flags))
