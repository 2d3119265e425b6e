"""Whether all is well, for a person or a probe that asks: what is published, and what the leader wrote of itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..conf import Config, hide_password
from ..environment.snapshot import Head
from ..exceptions import StoreError
from ..storage.backends import get_backend
from ..storage.status import Status
from ..storage.store import Store

CACHE, NO_SNAPSHOT, NO_LISTENER, STALE = "cache", "no snapshot", "no listener", "stale"  # the worst first

SEE_LISTENER = "Start manage.py flagsmith_listen, or see in its log why it ended."


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong; `text` says what to do, and may name hosts."""

    kind: str
    text: str


@dataclass(frozen=True)
class Health:
    """What was found at a moment: `status` is the last leader's, which may be gone.

    `leader` leads and `standby` waits to, both as "host:pid".
    """

    now: float
    head: Head | None = None
    status: Status | None = None
    leader: str | None = None
    standby: str | None = None
    troubles: tuple[Trouble, ...] = ()

    @property
    def is_healthy(self) -> bool:
        return not self.troubles

    @property
    def leading(self) -> Status | None:
        """The status, where it is that of the process that leads."""
        return self.status if self.status and self.leader == str(self.status.leader) else None

    @property
    def age(self) -> float | None:
        """The seconds since the published flags were last known to be what Flagsmith has; None where nobody knows."""
        known_at = self.status.content.known_at if self.status and self.status.content else None
        return None if self.head is None or known_at is None else max(self.now - known_at, 0.0)


def examine(config: Config, store: Store, *, max_age: float | None = None, now: float | None = None) -> Health:
    """Look at the cache; flags of more than `max_age` seconds, by default `MAX_STALE`, are stale."""
    now = time.time() if now is None else now
    try:
        status = store.read_status()
        leader = (
            store.read_process("lease") if get_backend(config.cache).carries_lease else _recent(status, now, config)
        )
        standby = store.read_process("standby")
        health = Health(now, store.read_head(), status, leader, standby if standby != leader else None)
    except StoreError as error:
        return Health(now, troubles=(Trouble(CACHE, hide_password(str(error))),))
    limit = config.max_stale if max_age is None else max_age
    return replace(health, troubles=tuple(_find_troubles(health, limit)))


def _recent(status: Status | None, now: float, config: Config) -> str | None:
    """Return who leads where no lease tells: whoever wrote within its time."""
    return str(status.leader) if status and now - status.written_at < config.lease_seconds else None


def _find_troubles(health: Health, limit: float | None) -> Iterator[Trouble]:
    if health.head is None:
        remedy = " The leader is about to fetch them, or says in its last error why it can't." if health.leader else ""
        yield Trouble(NO_SNAPSHOT, f"There are no flags in the cache.{remedy}")
    if not health.leader:
        yield Trouble(NO_LISTENER, f"Nobody is listening. {SEE_LISTENER}")
    if limit is not None and health.head and (health.age is None or health.age > limit):
        known = "never" if health.age is None else f"last {health.age:.0f} s ago"
        yield Trouble(STALE, f"The flags were known to be current {known}; the limit is {limit:g} s.")
