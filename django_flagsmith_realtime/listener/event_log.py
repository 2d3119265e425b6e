"""The log of a listener: few lines, and an outage once when it begins and once when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sized

from django.template.defaultfilters import pluralize

from . import events, stream
from .events import Event

logger = logging.getLogger("django_flagsmith_realtime.listener.listener")

DOUBT = "Flagsmith stream: %s Polling. Switch them on in Flagsmith under Project Settings; the plan must include them."


class Outage:
    """Something that stopped working: a warning when it begins, a line for each further kind of reason, and its end."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._logged: set[tuple[type, ...]] = set()

    def begin(self, message: str, *reason: object) -> None:
        level = logging.WARNING if self._since is None else logging.INFO
        if self._since is None:
            self._since = self._clock()
        if (kind := tuple(map(type, reason))) not in self._logged:
            self._logged.add(kind)
            logger.log(level, message, *reason)

    def end(self, message: str, at: float | None = None) -> None:
        if self._since is not None:
            logger.info(message, (self._clock() if at is None else at) - self._since)
        self._since = None
        self._logged.clear()


def count(flags: Sized) -> str:
    return f"{len(flags)} flag{pluralize(len(flags))}"


class EventLog:
    """A subscriber of the listener's events that writes the log.

    `poll_only` says why there is no stream, where there is none.
    """

    def __init__(self, *, poll_only: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._poll_only = poll_only
        self._clock = clock
        self._api, self._cache, self._stream, self._announcements = (Outage(clock) for _ in range(4))
        self._connected_at: float | None = None
        self._has_connected = False
        self._has_flags = False
        self._warnings: tuple[str, ...] = ()

    def __call__(self, event: Event) -> None:
        """Log what happened, where it is worth a line."""
        match event:
            case events.Tick(doubt):
                # The stream is back once it has lived: one that breaks again and again is one outage.
                if self._connected_at is not None and self._clock() - self._connected_at >= stream.LIVED_SECONDS:
                    self._stream.end("Flagsmith stream: connected again after %.0f s", self._connected_at)
                if doubt:
                    self._announcements.begin(DOUBT, doubt)
                else:
                    self._announcements.end("Flagsmith stream: announces changes again after %.0f s")
            case events.BecameLeader():
                self._connected_at, self._has_connected = None, False
                logger.info("Flagsmith listener leads")
                if self._poll_only:
                    logger.info("Flagsmith listener polls: %s", self._poll_only)
            case events.BecameStandby(leader):
                logger.info("Flagsmith listener stands by: %s leads", leader)
            case events.StreamConnected():
                self._connected_at = self._clock()
                if not self._has_connected:
                    self._has_connected = True
                    logger.info("Flagsmith stream: connected")
            case events.StreamDisconnected(error, is_routine=False):
                self._connected_at = None
                self._stream.begin("Flagsmith stream: %s Polling until it is back.", error or "It ended too soon.")
            case events.Fetched(warnings=warnings):
                for warning in warnings:
                    if warning not in self._warnings:
                        logger.warning("Flagsmith environment: %s", warning)
                self._warnings = warnings
                self._api.end("Flagsmith fetch: works again after %.0f s")
            case events.FetchFailed(error):
                self._api.begin("Flagsmith fetch: %s The flags stay as they are; trying again.", error)
            case events.StoreFailed(error):
                self._cache.begin("Flagsmith cache: %s Trying again.", error)
            case events.StoreWorked():
                self._cache.end("Flagsmith cache: works again after %.0f s")
            case events.Repaired():
                logger.info("Flagsmith cache: the flags were gone and are back")
            case events.Published(update, latency):
                self._has_flags = True
                took = f" by {update.source} in {latency * 1000:.0f} ms" if latency is not None else ""
                flags = count(update.changes)
                if update.previous:
                    flags = ", ".join(map(str, update.changes.values())) or "no flag changed"
                logger.info("Flags updated%s to version %s: %s", took, update.snapshot.version[:8], flags)
            case events.Unchanged(published) if published and not self._has_flags:
                self._has_flags = True
                logger.info(
                    "Flags are up to date: version %s, %s", published.version[:8], count(published.environment.flags)
                )
