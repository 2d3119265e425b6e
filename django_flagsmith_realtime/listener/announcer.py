"""Passes the announcements that web processes receive to the leader; where nobody leads, fetches the flags here."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from typing import TYPE_CHECKING

from django.db import connections

from ..conf import Config
from ..exceptions import FlagsmithError, StoreError
from ..reading.reader import Reader, get_reader
from ..storage.announcements import Announcement
from ..storage.backends import get_backend
from ..storage.lease import read_holder
from ..storage.store import Store
from . import inline

if TYPE_CHECKING:
    from .schedule import Budget

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0  # for the cache: Flagsmith's API waits two seconds for an answer, and repeats what took longer


class Announcer:
    """Leaves announcements in the cache for the leader; where nobody leads, fetches the flags.

    One thread of the process fetches at a time, for all announcements that were left before it began.
    """

    def __init__(self) -> None:
        self.budget: Budget | None = None  # what the last listener of this process left of it
        self._leaving = threading.Lock()  # the threads of a process don't overwrite each other's announcements
        self._fetching = threading.Lock()
        self._left = self._fetched = 0  # how many were left, and how many of them are fetched for

    def announce(self, config: Config, announcement: Announcement, *, digest: str = "", stream_key: str = "") -> None:
        """See the function below."""
        left: Future[bool] = Future()
        args = (config, get_reader(config), announcement, digest, stream_key, left)
        try:
            threading.Thread(target=self._run, args=args, name="flagsmith-announce", daemon=True).start()
        except RuntimeError as error:  # the system has too many, or the interpreter ends
            raise StoreError(f"No thread could ask the cache: {error}.") from error
        try:
            left.result(ANSWER_SECONDS)
        except NotInTime:
            raise StoreError(f"The cache took longer than {ANSWER_SECONDS:g} s.") from None

    def _run(
        self, config: Config, reader: Reader, announcement: Announcement, digest: str, key: str, left: Future[bool]
    ) -> None:
        try:
            is_ours = _is_ours(config, reader, key)
            if not is_ours and announcement.time is not None:
                reader.store.write_stream_time(key, announcement.time)
            left.set_result(is_ours and self._leave(reader.store, announcement, digest))
            if left.result() and not inline.announce(announcement):
                self._fetch_where_nobody_leads(config, reader.store, self._left)
        except Exception as error:
            if not left.done():
                left.set_exception(error)
            elif isinstance(error, FlagsmithError):
                logger.warning("The fetch from Flagsmith after a %s failed: %s", announcement.source, error)
            else:
                logger.exception("The fetch from Flagsmith after a %s failed in an unexpected way", announcement.source)
        finally:
            connections.close_all()  # those of this thread, which DatabaseCache opened

    def _leave(self, store: Store, announcement: Announcement, digest: str) -> bool:
        if not self._leaving.acquire(timeout=ANSWER_SECONDS):  # the cache hangs: nobody waits for the answer any more
            raise StoreError(f"The cache took longer than {ANSWER_SECONDS:g} s.")
        try:
            is_new = store.announce(announcement, digest)
            self._left += is_new
            return is_new
        finally:
            self._leaving.release()

    def _fetch_where_nobody_leads(self, config: Config, store: Store, number: int) -> None:
        from .factory import build_listener  # only a process that fetches loads it

        if _is_led(config, store):
            return
        with self._fetching:
            while self._fetched < number and not _is_led(config, store):
                listener = build_listener(config, with_stream=False, budget=self.budget)
                listener.run(until_idle=True)
                self.budget, left = listener.budget, self._left
                if all(map(listener.has_received, store.read_inbox()[1])):
                    self._fetched = left  # else another process left one because it saw this one lead


_announcer = Announcer()


def announce(config: Config, announcement: Announcement, *, digest: str = "", stream_key: str = "") -> None:
    """Leave an announcement for the leader; raise `StoreError` where the cache fails, or takes longer than a second.

    One that repeats the `digest` of the last hour is dropped. One for another environment, by its `stream_key`, is kept
    for the streams of `live/`, which send its time. If nobody leads, this process fetches the flags after it has
    answered, in a thread: should it end meanwhile, the next leader finds the announcement.
    """
    _announcer.announce(config, announcement, digest=digest, stream_key=stream_key)


def _is_ours(config: Config, reader: Reader, key: str) -> bool:
    """Return whether the key of an environment's stream is ours, as far as is known."""
    if not key:
        return True
    if not config.environment_key:  # the site may be the stream service of other environments
        return False
    if config.stream_key:
        return key == config.stream_key
    published = reader.current(config.freshness)
    return published is None or published.environment.api_key in ("", key)


def _is_led(config: Config, store: Store) -> bool:
    if get_backend(config.cache).carries_lease:
        return read_holder(store.cache) is not None
    status = store.read_status()  # such a cache can't tell who leads: it is the listener that has just reported
    return status is not None and status.listens and time.time() - status.written_at < config.lease_seconds
