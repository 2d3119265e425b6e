"""Whether the deployment is healthy: what is published, who leads, and what the leader last reported."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from ..conf import Config, hide_password
from ..environment.snapshot import Head
from ..environment.timestamps import to_datetime
from ..exceptions import StoreError
from ..storage.backends import get_backend
from ..storage.status import DAY, HOUR, Content, Status
from ..storage.store import Store

CACHE, NO_SNAPSHOT, NO_LISTENER, STALE = "cache", "no snapshot", "no listener", "stale"  # the worst first
PRIVATE = (("leader", "host"), ("leader", "pid"), ("leader", "standby"), ("stream", "reason"))


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; `text` says what to do about it, and may name hosts."""

    kind: str
    text: str


@dataclass(frozen=True)
class Health:
    """What the cache held at the time `now`, in seconds since the epoch.

    `status` is the report of the last leader, which may have ended since. `leader` leads now, and `standby` waits to
    take over: both are "host:pid".
    """

    now: float
    head: Head | None = None
    status: Status | None = None
    leader: str | None = None
    standby: str | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def is_healthy(self) -> bool:
        return not self.problems

    @property
    def leader_status(self) -> Status | None:
        """The report of the process that leads now; None where it has not written one yet."""
        return self.status if self.status and self.leader == str(self.status.leader) else None

    @property
    def content(self) -> Content | None:
        """What the report says of the published snapshot; None where it describes another version."""
        content = self.status.content if self.status else None
        return content if content and self.head and content.version == self.head.version else None

    @property
    def age(self) -> float | None:
        """The seconds since a leader last knew that Flagsmith had nothing newer; None where no leader said so."""
        known_at = self.status.content.known_at if self.status and self.status.content else None
        return None if self.head is None or known_at is None else max(self.now - known_at, 0.0)

    def to_plain(self, *, private: bool = True) -> dict[str, Any]:
        """Return what docs/operations.md describes, for JSON; hosts, reasons and errors only if `private`."""
        now, head, status, content, report = self.now, self.head, self.status, self.content, self.leader_status
        host, _, pid = (self.leader or "").rpartition(":")
        failure = status.failure if status else None
        latency = asdict(status.latency) if status and status.latency else None
        plain: dict[str, Any] = {
            "healthy": self.is_healthy,
            "troubles": [problem.kind for problem in self.problems],
            "leader": self.leader
            and {
                "host": host,
                "pid": int(pid) if pid.isdecimal() else None,
                "since": _iso(report.leader.since) if report else None,
                "seen_at": _iso(report.written_at) if report else None,
                "standby": self.standby,
            },
            "stream": report
            and {
                "state": report.stream.state,
                "since": _iso(report.stream.since),
                "reason": report.stream.reason,
                "last_event_at": _iso(report.stream.event_at),
                "suppressed_events_last_day": report.suppressed.within(DAY, now),
            },
            "snapshot": head
            and {
                "version": head.version,
                "environment": content and content.environment,
                "flags": content and content.flags,
                "updated_at": to_datetime(head.updated_at).isoformat(),
                "published_at": to_datetime(head.published_at).isoformat(),
                "age": None if self.age is None else round(self.age, 3),
                "latency": latency and {name: round(value, 6) for name, value in latency.items()},
                "cache_repairs_last_day": status.repairs.within(DAY, now) if status else 0,
            },
            "requests": status
            and {
                "last_hour": status.requests.within(HOUR, now),
                "last_day": status.requests.within(DAY, now),
                "last_at": _iso(status.fetch.at) if status.fetch else None,
                "took": round(status.fetch.took, 3) if status.fetch else None,
            },
            "error": failure and {"at": _iso(failure.at), "text": failure.text},
            "warnings": list(status.warnings) if status else [],
            "remedies": [problem.text for problem in self.problems],
        }
        if not private:
            del plain["error"], plain["warnings"], plain["remedies"]
            for key, name in PRIVATE:
                if plain[key]:
                    del plain[key][name]
        return plain


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")


def check_health(config: Config, store: Store, *, max_age: float | None = None, now: float | None = None) -> Health:
    """Read the cache, and find what is wrong; flags older than `max_age` seconds, by default `MAX_STALE`, are stale."""
    now = time.time() if now is None else now
    try:
        status = store.read_status()
        if get_backend(config.cache).carries_lease:
            leader = store.read_process("lease")
        else:  # such a cache can't tell who leads: it is the listener that has just reported
            leader = str(status.leader) if status and now - status.written_at < config.lease_seconds else None
        standby = store.read_process("standby")
        health = Health(now, store.read_head(), status, leader, standby if standby != leader else None)
    except StoreError as error:
        return Health(now, problems=(Problem(CACHE, hide_password(str(error))),))
    problems = []
    if health.head is None:
        soon = " The listener fetches them now; where that fails, its last error says why." if leader else ""
        problems.append(Problem(NO_SNAPSHOT, f"There are no flags in the cache.{soon}"))
    if not leader:
        what_to_do = "Start manage.py flagsmith_listen, or see in its log why it ended."
        problems.append(Problem(NO_LISTENER, f"Nobody is listening. {what_to_do}"))
    limit = config.max_stale if max_age is None else max_age
    if limit is not None and health.head and (health.age is None or health.age > limit):
        confirmed = "never confirmed" if health.age is None else f"last confirmed {health.age:.0f} s ago"
        problems.append(Problem(STALE, f"The flags were {confirmed}; the limit is {limit:g} s."))
    return replace(health, problems=tuple(problems))
