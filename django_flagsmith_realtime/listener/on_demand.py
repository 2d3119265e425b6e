"""Have the flags fetched now: by this process where nobody leads, else by the leader."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..conf import Config
from ..environment.diff import Update
from ..storage.lease import STUCK_SECONDS, Lease, LeaseKeeper
from ..storage.store import Store
from .factory import build_lease, build_publisher, build_store

LOOK_SECONDS = 0.1  # between looks at whether the leader has answered


@dataclass(frozen=True)
class Outcome:
    """Who fetched: the `leader` ("host:pid") that was asked to, else this process, whose `update` is None for no news.

    `is_pending` tells that the leader has not answered yet.
    """

    update: Update | None = None
    leader: str | None = None
    is_pending: bool = False


def refresh_now(config: Config, *, patience: float = 0.0) -> Outcome:
    """Fetch and publish once, or ask the leader and wait for it for some seconds; raise `FlagsmithError`."""
    lease, store = build_lease(config), build_store(config)
    try:
        if lease is None:
            return Outcome(update=_refresh(config))
        return _take_or_ask(config, lease, store, time.monotonic() + patience)
    finally:
        store.close()


def _take_or_ask(config: Config, lease: Lease, store: Store, deadline: float) -> Outcome:
    mark: str | None = None
    while not lease.take():
        if mark is None:
            mark = store.write_nudge()
            continue  # who had the lease may have looked for a nudge just before
        if store.read_nudge() is None:
            return Outcome(leader=lease.leader)
        if time.monotonic() >= deadline:
            return Outcome(leader=lease.leader, is_pending=True)
        time.sleep(LOOK_SECONDS)
    return Outcome(update=_refresh_while_asked(config, lease, store))


def _refresh_while_asked(config: Config, lease: Lease, store: Store) -> Update | None:
    """Refresh, and again where somebody asked meanwhile; return the last update."""
    update, asked = None, store.read_nudge()
    while True:
        mark = asked
        update = _refresh_as_leader(config, lease) or update
        if mark:
            store.clear_nudge(mark)
        asked = store.read_nudge()
        if asked in (None, mark) or not lease.take():
            return update


def _refresh_as_leader(config: Config, lease: Lease) -> Update | None:
    """Refresh while a thread renews the lease, but not for ever: a receiver of the signals may hang."""
    began = time.monotonic()
    keeper = LeaseKeeper(lease)
    keeper.start(is_alive=lambda: time.monotonic() - began < STUCK_SECONDS, wake=lambda: None)
    try:
        return _refresh(config)
    finally:
        keeper.stop()


def _refresh(config: Config) -> Update | None:
    publisher = build_publisher(config)
    try:
        return publisher.refresh()
    finally:
        publisher.close()
