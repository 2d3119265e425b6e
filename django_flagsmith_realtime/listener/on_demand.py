"""Have the flags fetched now: by this process where no listener leads, else by the leader."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from ..conf import Config
from ..environment.diff import Update
from ..exceptions import HttpError, InvalidDocument, SnapshotFileError, StoreError, WrongEnvironment
from ..storage.lease import STUCK_SECONDS, Alone, Leadership, LeaseKeeper
from ..storage.store import Store
from . import events
from .factory import build_lease, build_publisher, build_status_tracker

POLL_SECONDS = 0.1  # between two reads of the nudge, which the leader removes when it has fetched


@dataclass(frozen=True)
class Outcome:
    """Who fetched: the `leader` ("host:pid") that was asked to, or else this process, with its `update`, if any.

    `is_pending`: the leader has not fetched yet.
    """

    update: Update | None = None
    leader: str | None = None
    is_pending: bool = False


def refresh_now(config: Config, *, patience: float = 0.0) -> Outcome:
    """Fetch, publish and send the signals, or wait until the leader has, for some seconds. Raise `FlagsmithError`."""
    lease, store = build_lease(config), Store(config.cache, config.namespace)
    deadline = time.monotonic() + patience
    nudge: str | None = None
    try:
        while lease and not lease.acquire():
            if nudge is None:
                nudge = store.write_nudge()
                continue  # try again first: the leader may have ended just before it could see the nudge
            if store.read_nudge() is None:
                return Outcome(leader=lease.leader)
            if time.monotonic() >= deadline:
                return Outcome(leader=lease.leader, is_pending=True)
            time.sleep(POLL_SECONDS)
        if not lease:
            return Outcome(_refresh(config, Alone()))
        update, (nudge, announcements) = None, store.read_inbox()
        while True:  # and once more for each process that asked, or received an announcement, meanwhile
            update = _refresh(config, LeaseKeeper(lease)) or update
            answered, received = nudge, announcements
            if answered:
                store.clear_nudge(answered)
            nudge, announcements = store.read_inbox()
            is_asked = nudge not in (None, answered) or not set(announcements) <= set(received)
            if not is_asked or not lease.acquire():
                return Outcome(update)
    finally:
        store.close()


def _refresh(config: Config, leadership: Leadership) -> Update | None:
    """Refresh as the leader, but not for ever: a receiver of the signals may hang."""
    began = time.monotonic()
    publisher = build_publisher(config)
    status_tracker = build_status_tracker(config, publisher.source, listens=False)
    leadership.start(is_alive=lambda: time.monotonic() - began < STUCK_SECONDS, wake=lambda: None)
    try:
        status_tracker.continue_from(publisher.store.read_status())
        return publisher.refresh(status_tracker)
    except (HttpError, InvalidDocument, SnapshotFileError, WrongEnvironment) as error:
        status_tracker(events.FetchFailed(error))
        raise
    finally:
        with suppress(StoreError):  # the next one is written
            publisher.store.write_status(status_tracker.status(publisher.published, 0.0))
        publisher.close()
        leadership.stop()
