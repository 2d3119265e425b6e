"""One leader at a time among the processes that share a cache.

The lease saves streams and requests; what keeps the data right, should two ever lead at once, is the store.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from django.db import connections

from ..exceptions import StoreError
from .cache import CacheHandle, cache_errors, cache_key, read

EXPIRY_MARGIN = 3.0  # the cache forgets the lease this much before LEASE_SECONDS
BELIEF_MARGIN = 2.0  # its holder stops believing in it before that: some caches count whole seconds, others hang
RENEWALS = 4  # within the lease's life
LOOK_SECONDS = 0.5  # between looks at who has it
OFFER_SECONDS = 5.0  # in which only who reaches Flagsmith takes what a leader gave back that does not
STUCK_SECONDS = 60.0  # a process that does not get on for longer may not lead
GIVE_BACK_SECONDS = 0.3  # for a cache that hangs while the process stops


class Lease:
    """A key that one process at a time has, which says who: "host:pid:…". `seconds` is `LEASE_SECONDS`.

    Methods raise `StoreError`. `holder` is who had it when this process last looked; `standby` who waited for it.
    """

    def __init__(
        self, alias: str, namespace: str, *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.handle = CacheHandle(alias)
        self.token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self.timeout = seconds - EXPIRY_MARGIN
        self.holder: str | None = None
        self.standby: str | None = None
        self._key, self._standby_key, self._offer_key = (
            cache_key(namespace, name) for name in ("lease", "standby", "offer")
        )
        self._clock = clock
        self._held_until = self._renew_at = -float("inf")

    @property
    def leader(self) -> str | None:
        """Who has it, as "host:pid"; a process that was frozen does not take itself for its own leader."""
        is_gone = self.holder == self.token and not self.is_held
        return self.holder.rpartition(":")[0] if self.holder and not is_gone else None

    @property
    def is_held(self) -> bool:
        """Whether this process has it. Unless the cache loses it, nobody else can before this turns false."""
        return self._clock() < self._held_until

    @cache_errors
    def take(self) -> bool:
        """Take the lease where nobody has it, or renew it when it is time; tell whether this process has it now."""
        began = self._clock()
        self.holder = self._find()
        if self.holder == self.token and began < min(self._renew_at, self._held_until):
            return True
        if self.holder is None or (self.holder == self.token and not self._touch()):
            self.handle.get().add(self._key, self.token, self.timeout)
            self.holder = self._find()
        self._renew_at = began + self.timeout / RENEWALS
        self._held_until = began + self.timeout - BELIEF_MARGIN if self.holder == self.token else -float("inf")
        return self.is_held

    @cache_errors
    def give_back(self) -> None:
        """Let another process take it at once."""
        was_held, self._held_until, self.holder = self.is_held, -float("inf"), None
        if was_held and self._find() == self.token:
            self.handle.get().delete(self._key)

    @cache_errors
    def offer(self) -> None:
        """Give it back and leave word that Flagsmith can't be reached from here."""
        self.handle.get().set(self._offer_key, self.token, OFFER_SECONDS)
        self.give_back()

    @cache_errors
    def find_offer(self) -> str | None:
        """Return the token of a holder that offered it lately."""
        offer = read(self.handle.get(), self._offer_key)
        return offer if isinstance(offer, str) else None

    @cache_errors
    def stand_by(self) -> None:
        """Leave word that this process waits for it."""
        self.handle.get().set(self._standby_key, self.token, self.timeout)

    @cache_errors
    def look_for_standby(self) -> None:
        """See whether another process waits for it."""
        standby = read(self.handle.get(), self._standby_key)
        self.standby = standby if isinstance(standby, str) and standby != self.token else None

    def close(self) -> None:
        """Close the connections to the cache."""
        self.handle.close()

    def _find(self) -> str | None:
        holder = read(self.handle.get(), self._key, unreadable=b"")
        if holder is None or isinstance(holder, str):
            return holder
        self.handle.get().delete(self._key)  # it is no lease, and might stay for ever
        return None

    def _touch(self) -> bool:
        return self.handle.get().touch(self._key, self.timeout)


class Leadership(Protocol):
    """Whether this process leads. `term` grows each time that it begins to; it is None while it does not."""

    @property
    def term(self) -> int | None: ...

    @property
    def leader(self) -> str | None: ...

    @property
    def has_standby(self) -> bool: ...

    def start(self, *, is_alive: Callable[[], bool], wake: Callable[[], None]) -> None: ...

    def offer(self) -> None: ...

    def stop(self) -> None: ...


class Alone:
    """Leads for ever: for a cache that can't carry a lease."""

    term, leader, has_standby = 1, None, False

    def start(self, *, is_alive: Callable[[], bool], wake: Callable[[], None]) -> None: ...

    def offer(self) -> None: ...

    def stop(self) -> None: ...


class LeaseKeeper:
    """Takes a lease as soon as it is free, and keeps it, in a thread of its own.

    It does so only while `is_alive` says that its owner still moves, and calls `wake` when the leader changes. What
    another offers it takes only if `can_reach` says that this host reaches Flagsmith.
    """

    def __init__(self, lease: Lease, can_reach: Callable[[], bool] = lambda: True) -> None:
        self._lease = lease
        self._can_reach = can_reach
        self._term = 0
        self._stopping = False
        self._offering = False
        self._woken = threading.Event()
        self._word_at = -float("inf")  # when to leave word of a standby next, or to look for it
        self._thread = threading.Thread(target=self._run, name="flagsmith-lease", daemon=True)

    @property
    def term(self) -> int | None:
        return self._term if self._lease.is_held else None

    @property
    def leader(self) -> str | None:
        """Who leads, as "host:pid"; None where nobody does."""
        return self._lease.leader

    @property
    def has_standby(self) -> bool:
        """Whether another process waits to lead."""
        return self._lease.standby is not None

    def start(self, *, is_alive: Callable[[], bool], wake: Callable[[], None]) -> None:
        self._is_alive, self._wake = is_alive, wake
        self._thread.start()

    def offer(self) -> None:
        """Give the lease back, to whoever reaches Flagsmith; take it again if nobody does."""
        self._offering = True
        self._woken.set()

    def stop(self) -> None:
        """Give the lease back; do not wait for a cache that hangs."""
        self._stopping = True
        self._woken.set()
        self._thread.join(GIVE_BACK_SECONDS)

    def _run(self) -> None:
        while not self._stopping:
            before = self.term, self.leader
            self._step()
            if (self.term, self.leader) != before:
                self._wake()
            self._woken.wait(LOOK_SECONDS)
            self._woken.clear()
        self._give_back()
        self._lease.close()
        connections.close_all()  # of DatabaseCache, in this thread

    def _step(self) -> None:
        if self._offering:
            self._offering = False
            with suppress(StoreError):  # it expires
                self._lease.offer()
        elif self._is_alive():
            with suppress(StoreError):  # the owner meets the same cache, and reports it
                self._keep()

    def _keep(self) -> None:
        was_held = self._lease.is_held
        if not was_held and self._declines():
            return
        is_held = self._lease.take()
        self._term += is_held and not was_held
        if (now := time.monotonic()) >= self._word_at:
            self._word_at = now + self._lease.timeout / RENEWALS
            self._lease.look_for_standby() if is_held else self._lease.stand_by()

    def _declines(self) -> bool:
        """Tell whether the lease was offered to hosts that are better off."""
        offer = self._lease.find_offer()
        return offer is not None and (offer == self._lease.token or not self._can_reach())

    def _give_back(self) -> None:
        with suppress(StoreError):  # it expires
            self._lease.give_back()
