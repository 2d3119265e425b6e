"""Sends the package's signals: those of an update, and those about the listener itself."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable

from ..environment.diff import Update
from ..environment.snapshot import Snapshot
from ..signals import flag_changed, flags_updated, listener_became_leader, stream_connected, stream_disconnected
from ..storage.status import Leader
from .events import BecameLeader, Event, StreamConnected, StreamDisconnected

logger = logging.getLogger(__name__)

SLOW_SECONDS = 5.0  # a receiver that works longer belongs into a task: the next update waits for it


def send_update(update: Update) -> None:
    """Send `flags_updated`, and then `flag_changed` for each flag unless there was no snapshot before."""
    if not update.changes:
        return
    began = time.monotonic()
    flags_updated.send_robust(
        Snapshot,
        changes=update.changes,
        snapshot=update.snapshot,
        previous=update.previous,
        updated_at=update.snapshot.updated_at,
        source=update.source,
    )
    if update.previous:
        for change in update.changes.values():
            flag_changed.send_robust(Snapshot, name=change.name, old=change.old, new=change.new)
    if (took := time.monotonic() - began) > SLOW_SECONDS:
        logger.warning("Receivers of Flagsmith signals took %.0f s, in which no other update could be stored", took)


class SignalSender:
    """A subscriber of the listener's events that sends the signals about the listener."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_connected = False
        self._lost_at: float | None = None

    def __call__(self, event: Event) -> None:
        """Send the signal of an event, if it has one."""
        match event:
            case BecameLeader():
                self._is_connected, self._lost_at = False, None
                listener_became_leader.send_robust(Leader, host=socket.gethostname(), pid=os.getpid())
            case StreamConnected() if not self._is_connected:
                self._is_connected = True
                outage = None if self._lost_at is None else self._clock() - self._lost_at
                stream_connected.send_robust(Leader, outage=outage)
            case StreamDisconnected(error, is_routine=False) if self._is_connected or self._lost_at is None:
                self._is_connected, self._lost_at = False, self._clock()
                stream_disconnected.send_robust(Leader, error=error)
