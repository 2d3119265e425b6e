"""Pass on what Flagsmith announces to a process that serves requests: to the leader, or fetch here where none leads."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime

from django.db import connections

from ..conf import Config
from ..exceptions import FlagsmithError, StoreError
from ..reading.reader import get_reader
from ..storage.announcements import Announcement
from ..storage.store import Store
from . import inline

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0  # for the cache: Flagsmith's API waits two seconds for an answer, and repeats what took longer


def announce(config: Config, announcement: Announcement, *, digest: str = "", stream_key: str = "") -> None:
    """Leave an announcement for the leader; raise `StoreError` where the cache fails, or takes longer than a second.

    One that repeats the `digest` of the last hour is dropped, and so is one for another environment than that of
    `stream_key`. If nobody leads, this process fetches the flags after it has answered, in a thread: should it end
    meanwhile, the next leader finds the announcement.
    """
    left: Future[bool] = Future()
    args = (config, announcement, digest, stream_key, left)
    threading.Thread(target=_announce, args=args, name="flagsmith-announce", daemon=True).start()
    try:
        left.result(ANSWER_SECONDS)
    except NotInTime:
        raise StoreError(f"The cache took longer than {ANSWER_SECONDS:g} s.") from None


def _announce(config: Config, announcement: Announcement, digest: str, key: str, left: Future[bool]) -> None:
    reader = get_reader(config)
    try:
        published = reader.current(config.freshness)
        own_key = config.stream_key or (published and published.environment.api_key)
        if key and own_key and key != own_key:
            left.set_result(False)
            return
        left.set_result(reader.store.announce(announcement, digest))
        if left.result() and not inline.announce(announcement):
            _fetch_where_nobody_leads(config, reader.store)
    except Exception as error:
        if not left.done():
            left.set_exception(error)
        elif isinstance(error, FlagsmithError):
            logger.warning("The fetch after a %s failed: %s", announcement.source, error)
        else:
            logger.exception("The fetch after a %s failed in an unexpected way", announcement.source)
    finally:
        connections.close_all()  # those of this thread, which DatabaseCache opened


def _fetch_where_nobody_leads(config: Config, store: Store) -> None:
    from .factory import build_listener  # only a process that fetches loads it

    while store.read_leader() is None:
        listener = build_listener(config, with_stream=False)
        listener.run(until_idle=True)
        if all(map(listener.has_heard, store.read_inbox()[1])):
            return  # else another process left one because it saw this one lead
