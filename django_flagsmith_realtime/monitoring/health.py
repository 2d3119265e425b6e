"""Whether the deployment is healthy: what is published, who leads, and what the leader last reported."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from django.utils.translation import gettext as _

from ..compat import gettext_noop
from ..conf import Config, hide_password
from ..environment.snapshot import Head
from ..environment.timestamps import to_datetime
from ..exceptions import StoreError
from ..storage.backends import get_backend
from ..storage.status import DAY, HOUR, Content, Status
from ..storage.store import Store
from .formatting import format_duration, format_number

# The worst first; only views and metrics know of the first one, since nothing can be checked then.
SETTINGS = "settings"
CACHE = gettext_noop("cache")
NO_SNAPSHOT = gettext_noop("no snapshot")
NO_LISTENER = gettext_noop("no listener")
FAILING = gettext_noop("failing")
STALE = gettext_noop("stale")
PROBLEMS = (SETTINGS, CACHE, NO_SNAPSHOT, NO_LISTENER, FAILING, STALE)

MISSED = 3  # polls or scheduled fetches, one after the other, that make an outage: one or two are a restart
LEAST_INTERVAL = 60.0  # seconds: a schedule that somebody runs by hand in between is not late 15 s afterwards
LONGEST_INTERVAL = 3_600.0  # seconds: fetches that come more seldom, as with each deploy, are no schedule
PRIVATE = (("leader", "host"), ("leader", "pid"), ("leader", "standbys"), ("stream", "reason"))


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; `text` says what to do about it, in the language active then, and may name hosts."""

    kind: str
    text: str


@dataclass(frozen=True)
class Health:
    """What the cache held at the time `now`, in seconds since the epoch.

    `status` is the report of the last leader, which may have ended since. `leader` leads now, and `standbys` wait to
    take over: all are "host:pid". `open_streams` is how many pages and other programs wait for changes.
    """

    now: float
    head: Head | None = None
    status: Status | None = None
    leader: str | None = None
    standbys: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    open_streams: int | None = None

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
        """Return what docs/reference/status-and-log.md describes; hosts, reasons and errors only if `private`."""
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
                "standbys": list(self.standbys),
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
            "sources": [
                {
                    "name": source.name,
                    "last_at": _iso(source.at),
                    "took": source.took and round(source.took, 3),
                    "last_day": source.announced.within(DAY, now),
                }
                for source in (status.sources if status else ())
            ],
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
            leader = store.read_leader()
        else:  # such a cache can't tell who leads: it is the listener that has just reported
            has_reported = status and status.listens and now - status.written_at < config.lease_seconds
            leader = str(status.leader) if status and has_reported else None
        standbys = tuple(standby for standby in store.read_standbys() if standby != leader)
        health = Health(now, store.read_head(), status, leader, standbys, open_streams=store.read_open_streams())
    except StoreError as error:
        return Health(now, problems=(Problem(CACHE, hide_password(str(error))),))
    problems = []
    if health.head is None:
        text = _("There are no flags in the cache.")
        if leader:
            text += " " + _("The listener fetches them now; where that fails, its last error says why.")
        problems.append(Problem(NO_SNAPSHOT, text))
    if not leader and not _fetches_come(config, status, now):
        text = _(
            "Nobody is listening. Start manage.py flagsmith_listen or the Celery worker that listens; if it ended, its "
            "log says why."
        )
        if config.listener == "inline":
            text = _(
                "Nobody is listening. The processes that serve requests do, from their first request on; else see "
                "their log."
            )
        problems.append(Problem(NO_LISTENER, text))
    if status and status.failing_since is not None:
        failing_for = now - status.failing_since
        if failing_for > MISSED * (status.interval or config.fallback_poll_interval):
            text = _("No flags came for {duration}.").format(duration=format_duration(failing_for))
            problems.append(Problem(FAILING, f"{text} {status.failure.text}" if status.failure else text))
    limit = config.max_stale if max_age is None else max_age
    if limit is not None and health.head and (health.age is None or health.age > limit):
        text = _("The flags were never confirmed; the limit is {limit} s.")
        if health.age is not None:
            text = _("The flags were last confirmed {age} s ago; the limit is {limit} s.")
        age = "" if health.age is None else format_number(health.age)
        problems.append(Problem(STALE, text.format(age=age, limit=f"{limit:g}")))
    return replace(health, problems=tuple(problems))


def _fetches_come(config: Config, status: Status | None, now: float) -> bool:
    """Return whether flags are fetched without a listener: on a schedule, or when a webhook or queue-change comes."""
    if status is None or status.listens or status.fetch is None:
        return False
    if config.webhook_secret or config.realtime_token:
        return True
    interval = status.interval
    if interval is None or interval > LONGEST_INTERVAL:
        return False
    return now - status.fetch.at <= MISSED * max(interval, LEAST_INTERVAL)
