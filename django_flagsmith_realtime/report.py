"""What the listener says of itself: few lines, an outage once when it begins and once when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .exceptions import FlagsmithError, StoreError
from .refresh import Update
from .snapshot import Snapshot

logger = logging.getLogger("django_flagsmith_realtime.listener")


class Outage:
    """Something that stopped working, said again only when the reason changes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._said = ""

    def begin(self, message: str, reason: object) -> None:
        if self._since is None:
            self._since = self._clock()
        if self._said != str(reason):
            self._said = str(reason)
            logger.warning(message, reason)

    def end(self, message: str) -> None:
        if self._since is not None:
            logger.info(message, self._clock() - self._since)
        self._since, self._said = None, ""


class Report:
    """Turns what happens to the listener into log lines."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._api = Outage(clock)
        self._cache = Outage(clock)
        self._stream = Outage(clock)
        self._has_connected = False
        self._has_flags = False
        self._is_deaf = False
        self._noticed_at: float | None = None  # the first event since the last update

    def connected(self) -> None:
        self._stream.end("Stream: connected again after %.0f s")
        if not self._has_connected:
            self._has_connected = True
            logger.info("Stream: connected")

    def disconnected(self, error: FlagsmithError | None) -> None:
        self._stream.begin("Stream: %s Polling until it is back.", error or "It ended too soon.")

    def noticed(self) -> None:
        self._noticed_at = self._noticed_at or self._clock()

    def fetched(self, *, realtime_enabled: bool) -> None:
        self._api.end("Flagsmith: answers again after %.0f s")
        if realtime_enabled:
            self._is_deaf = False
        else:
            self.deaf("Flagsmith says that the project's real-time updates are off")

    def deaf(self, reason: str) -> None:
        """Say once that the stream tells nothing."""
        if not self._is_deaf:
            logger.warning(
                "%s: polling. Switch them on in Flagsmith under Project Settings; the plan must include them.", reason
            )
        self._is_deaf = True

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
