"""One leader at a time among the processes that share a cache.

The lease saves streams and requests. Should two ever lead at once, the store still keeps the data right.
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
from .cache import Cache
from .lock_file import LockFile, is_abandoned

# Seconds by which the cache forgets the lease before LEASE_SECONDS are over, so that a standby leads by then: a
# cache that counts whole seconds is up to 1 s late, the standby's check 0.5 s, and its requests to a slow cache take
# the rest.
EXPIRY_MARGIN = 3.0

# Seconds by which the holder stops relying on the lease before the cache forgets it: 1 s for a cache that counts whole
# seconds, and 1 s by which clocks may drift, or a renewal be stored before the holder began to count.
HOLD_MARGIN = 2.0

RENEWALS = 4  # in the time that the cache keeps the lease, 12 s by default: two may fail before the holder gives up
CHECK_SECONDS = 0.5  # between two checks: a leader that stops is replaced this soon, for two small requests a second
OFFER_SECONDS = 5.0  # others check and try to connect (2 s) in these, before the leader that is cut off leads again
STUCK_SECONDS = 60.0  # a leader whose loop hangs for longer loses the lease; receivers of signals may take a while
RELEASE_SECONDS = 0.3  # in which a stop waits for the cache: it has a second for all that it does


def parse_standbys(plain: object) -> list[tuple[str, float]]:
    """Return the tokens of the processes that wait for a lease, and when each was written, by its own clock."""
    found = []
    for item in plain if isinstance(plain, (list, tuple)) else ():
        match item:
            case [str(token), float(at)]:
                found.append((token, at))
    return found


class Lease:
    """A key in the cache that one process at a time holds; `seconds` is `LEASE_SECONDS`. Methods raise `StoreError`.

    `holder` is the token, "host:pid:…", of the process that held it at the last check.
    """

    def __init__(
        self, alias: str, namespace: str, *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.cache = Cache(alias, namespace)
        self.token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self.timeout = seconds - EXPIRY_MARGIN
        self.holder: str | None = None
        self._lock_file = LockFile(self.token)
        self._clock = clock
        self._held_until = self._renew_at = -float("inf")

    @property
    def is_held(self) -> bool:
        """Whether this process holds it. Unless the cache loses it, nobody else can before this turns false."""
        return self._clock() < self._held_until

    @property
    def leader(self) -> str | None:
        """The process that holds it, as "host:pid"; None also where this process was frozen and lost it."""
        is_lost = self.holder == self.token and not self.is_held
        return self.holder.rpartition(":")[0] if self.holder and not is_lost else None

    def acquire(self) -> bool:
        """Acquire the lease where it is free, or renew it when that is due; return whether this process holds it."""
        began = self._clock()
        self.holder = read_holder(self.cache)
        if self.holder == self.token and began < min(self._renew_at, self._held_until):
            return True
        if self.holder is None or (self.holder == self.token and not self.cache.touch("lease", self.timeout)):
            self._lock_file.lock()  # before another process can read the token
            try:
                self.cache.add("lease", self.token, self.timeout)
                self.holder = self.cache.read_back("lease", self.token, lambda found: isinstance(found, str))
            finally:
                if self.holder != self.token:
                    self._lock_file.remove()
        self._renew_at = began + self.timeout / RENEWALS
        self._held_until = began + self.timeout - HOLD_MARGIN if self.holder == self.token else -float("inf")
        return self.is_held

    def release(self) -> None:
        """Let another process acquire it at once."""
        was_held, self._held_until, self.holder = self.is_held, -float("inf"), None
        if was_held and read_holder(self.cache) == self.token:
            self.cache.delete("lease")
        self._lock_file.remove()

    def offer(self) -> None:
        """Release it to processes that reach Flagsmith: this one does not."""
        self.cache.set("offer", self.token, OFFER_SECONDS)
        self.release()

    def read_offer(self) -> str | None:
        """Return the token of the process that offered it within the last `OFFER_SECONDS`."""
        offer = self.cache.get("offer")
        return offer if isinstance(offer, str) else None

    def write_standby(self) -> None:
        """Let the holder know that this process waits for it."""
        now = time.time()
        found = parse_standbys(self.cache.get("standby"))
        others = [[token, at] for token, at in found if token != self.token and abs(now - at) < self.timeout]
        self.cache.set("standby", [*others, [self.token, now]], self.timeout)

    def has_standby(self) -> bool:
        """Return whether another process waits for it."""
        return any(token != self.token for token, _ in parse_standbys(self.cache.get("standby")))

    def close(self) -> None:
        """Close the connections to the cache."""
        self._lock_file.close()
        self.cache.close()


def read_holder(cache: Cache) -> str | None:
    """Return the token of the process that holds the lease; that of a process of this machine that died is removed."""
    holder = cache.get("lease")
    if holder is None or (isinstance(holder, str) and not is_abandoned(holder)):
        return holder
    cache.delete("lease")  # not a lease, which would stay for ever, or that of a process that died
    return None


class Leadership(Protocol):
    """Whether this process leads. `term` grows each time that it begins to; it is None while it stands by.

    `error` is why it can't, where the cache can be read and not written.
    """

    @property
    def term(self) -> int | None: ...

    @property
    def leader(self) -> str | None: ...

    @property
    def has_standby(self) -> bool: ...

    @property
    def error(self) -> StoreError | None: ...

    def start(self, *, is_alive: Callable[[], bool], wake: Callable[[], None]) -> None: ...

    def offer(self) -> None: ...

    def stop(self) -> None: ...


class Alone:
    """Leads for ever: for a cache that can't carry a lease."""

    term, leader, has_standby, error = 1, None, False, None

    def start(self, *, is_alive: Callable[[], bool], wake: Callable[[], None]) -> None: ...

    def offer(self) -> None: ...

    def stop(self) -> None: ...


class LeaseKeeper:
    """A thread that acquires a lease as soon as it is free, and renews it.

    It does so only while `is_alive` says that its owner's loop still turns, and calls `wake` when the leader changes.
    A lease that another process offers is left alone unless `can_reach` says that this host reaches Flagsmith.
    """

    def __init__(self, lease: Lease, can_reach: Callable[[], bool] = lambda: True) -> None:
        self._lease = lease
        self._can_reach = can_reach
        self._term = 0
        self.has_standby = False  # as far as it has read
        self.error: StoreError | None = None  # of the last step
        self._stopping = False
        self._offering = False
        self._woken = threading.Event()
        self._standby_due = -float("inf")  # when to write that this process waits, or to read whether another does
        self._thread = threading.Thread(target=self._run, name="flagsmith-lease", daemon=True)

    @property
    def term(self) -> int | None:
        return self._term if self._lease.is_held else None

    @property
    def leader(self) -> str | None:
        """The process that leads, as "host:pid"; None where none does."""
        return self._lease.leader

    def start(self, *, is_alive: Callable[[], bool], wake: Callable[[], None]) -> None:
        self._is_alive, self._wake = is_alive, wake
        self._thread.start()

    def offer(self) -> None:
        """Release the lease to a process that reaches Flagsmith; acquire it again where there is none."""
        self._offering = True
        self._woken.set()

    def stop(self) -> None:
        """Release the lease; do not wait for a cache that hangs."""
        self._stopping = True
        self._woken.set()
        self._thread.join(RELEASE_SECONDS)

    def _run(self) -> None:
        while not self._stopping:
            before = self.term, self.leader
            try:
                self._step()
                self.error = None
            except StoreError as error:  # the lease expires; the owner reports it
                self.error = error
            if (self.term, self.leader) != before:
                self._wake()
            self._woken.wait(CHECK_SECONDS)
            self._woken.clear()
        with suppress(StoreError):  # it expires
            self._lease.release()
        self._lease.close()
        connections.close_all()  # those of this thread, which DatabaseCache opened

    def _step(self) -> None:
        """Offer the lease, or acquire or renew it."""
        if self._offering:
            self._offering = False
            self._lease.offer()
            return
        was_held = self._lease.is_held
        if not self._is_alive() or (not was_held and self._is_offered_to_others()):
            return
        is_held = self._lease.acquire()
        self._term += is_held and not was_held
        if (now := time.monotonic()) >= self._standby_due:
            self._standby_due = now + self._lease.timeout / RENEWALS
            if is_held:
                self.has_standby = self._lease.has_standby()
            else:
                self._lease.write_standby()

    def _is_offered_to_others(self) -> bool:
        offer = self._lease.read_offer()
        return offer is not None and (offer == self._lease.token or not self._can_reach())
