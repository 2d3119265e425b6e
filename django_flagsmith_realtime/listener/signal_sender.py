"""Sends the signals about the listener itself."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from ..signals import listener_became_leader, stream_connected, stream_disconnected
from ..storage.status import Leader
from .events import BecameLeader, Event, StreamConnected, StreamDisconnected


class SignalSender:
    """A subscriber of the listener's events."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_connected = False
        self._lost_at: float | None = None

    def take(self, event: Event) -> None:
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
