"""The listener in a thread of a process that does something else: a Celery worker, or a web server."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.db import connections

from ..conf import get_config

if TYPE_CHECKING:
    from ..storage.announcements import Announcement
    from .listener import Listener

logger = logging.getLogger(__name__)

STOP_SECONDS = 1.0  # a stop takes effect within this; a server that ends must not wait longer
STARVED_SECONDS = 10.0  # to build a listener takes a tenth of a second, a turn of its loop two seconds
RESTART_SECONDS = 10.0  # before a listener that a bug ended starts again: it may meet the same bug at once


def _build_listener() -> Listener:
    from .factory import build_listener  # only a process that listens loads it

    return build_listener(get_config())


class BackgroundListener:
    """Runs a listener from `start` to `stop`. A child that is forked does not have it, and may start its own."""

    def __init__(self, build: Callable[[], Listener] = _build_listener) -> None:
        self._build = build
        self._pid: int | None = None
        self._listener: Listener | None = None
        self._started_at = float("inf")

    @property
    def is_started(self) -> bool:
        """Whether this very process runs it."""
        return self._pid == os.getpid()

    @property
    def is_starved(self) -> bool:
        """Whether its thread got no time to run for a while, as under a uWSGI whose threads are switched off."""
        listener = self._listener
        moved_at = listener.turn_began_at if listener else self._started_at
        return self.is_started and time.monotonic() - moved_at > STARVED_SECONDS

    def start(self) -> None:
        """Start it, unless that was done; raise RuntimeError where the system refuses a thread.

        It is built in that thread, so that the caller does not wait.
        """
        if not self.is_started:
            self._listener, self._started_at = None, time.monotonic()
            self._stopping = threading.Event()
            self._thread = threading.Thread(target=self._run, name="flagsmith-listener", daemon=True)
            self._thread.start()
            self._pid = os.getpid()

    def announce(self, announcement: Announcement) -> bool:
        """Hand an announcement to the listener; False where it does not run here, or does not lead."""
        return self.is_started and self._listener is not None and self._listener.announce(announcement)

    def stop(self) -> None:
        """End it, so that another process can lead; wait a second at most."""
        if not self.is_started:
            return
        self._stopping.set()
        if self._listener:
            self._listener.stop()
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive() and self._listener:
            self._listener.give_way()
        self._pid = None

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._listen()

    def _listen(self) -> None:
        try:
            self._listener = listener = self._build()
            if not self._stopping.is_set():
                listener.run()
        except BaseException:  # a bug must not end the updates
            self._listener, self._started_at = None, float("inf")
            logger.exception(
                "The Flagsmith listener failed in an unexpected way; it starts again in %.0f s", RESTART_SECONDS
            )
            self._stopping.wait(RESTART_SECONDS)
        finally:
            connections.close_all()
