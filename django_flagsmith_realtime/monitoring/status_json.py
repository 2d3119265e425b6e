"""A `Health` as plain data, for machines."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from ..environment.timestamps import to_datetime
from ..storage.status import DAY, HOUR
from .health import Health

PRIVATE = (("leader", "host"), ("leader", "pid"), ("leader", "standby"), ("stream", "reason"))


def to_plain(health: Health, *, private: bool = True) -> dict[str, Any]:
    """Return what docs/operations.md describes; hosts, reasons and errors only if `private`."""
    now, head, status, content, report = health.now, health.head, health.status, health.content, health.leader_status
    host, _, pid = (health.leader or "").rpartition(":")
    failure = status.failure if status else None
    latency = asdict(status.latency) if status and status.latency else None
    plain: dict[str, Any] = {
        "healthy": health.is_healthy,
        "troubles": [problem.kind for problem in health.problems],
        "leader": health.leader
        and {
            "host": host,
            "pid": int(pid) if pid.isdecimal() else None,
            "since": _iso(report.leader.since) if report else None,
            "seen_at": _iso(report.written_at) if report else None,
            "standby": health.standby,
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
            "age": None if health.age is None else round(health.age, 3),
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
        "remedies": [problem.text for problem in health.problems],
    }
    if not private:
        del plain["error"], plain["warnings"], plain["remedies"]
        for key, name in PRIVATE:
            if plain[key]:
                del plain[key][name]
    return plain


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")
