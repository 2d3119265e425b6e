"""A `Health` as plain data, for machines."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from ..environment.timestamps import to_datetime
from ..storage.status import DAY, HOUR, Status
from .health import Health


def to_plain(health: Health, *, private: bool = True) -> dict[str, Any]:
    """Return plain data; without hosts, reasons and errors unless it is `private`."""
    status = health.status
    plain = {
        "healthy": health.is_healthy,
        "troubles": [trouble.kind for trouble in health.troubles],
        "leader": _leader(health) if health.leader else None,
        "stream": _stream(health.leading, health.now) if health.leading else None,
        "snapshot": _snapshot(health),
        "requests": _requests(status, health.now) if status else None,
        "error": {"at": _iso(status.failure.at), "text": status.failure.text} if status and status.failure else None,
        "remedies": [trouble.text for trouble in health.troubles],
    }
    return plain if private else _redact(plain)


def _redact(plain: dict[str, Any]) -> dict[str, Any]:
    hidden = {"leader": ("host", "pid", "standby"), "stream": ("reason",)}
    public = {key: value for key, value in plain.items() if key not in ("error", "remedies")}
    for key, names in hidden.items():
        if public[key]:
            public[key] = {name: value for name, value in public[key].items() if name not in names}
    return public


def _leader(health: Health) -> dict[str, Any]:
    host, _, pid = (health.leader or "").rpartition(":")
    status = health.leading
    return {
        "host": host,
        "pid": int(pid) if pid.isdecimal() else None,
        "since": _iso(status.leader.since) if status else None,
        "seen_at": _iso(status.written_at) if status else None,
        "standby": health.standby,
    }


def _stream(status: Status, now: float) -> dict[str, Any]:
    stream = status.stream
    return {
        "state": stream.state,
        "since": _iso(stream.since),
        "reason": stream.reason,
        "last_event_at": _iso(stream.event_at),
        "suppressed_events_last_day": status.suppressed.within(DAY, now),
    }


def _snapshot(health: Health) -> dict[str, Any] | None:
    head, status = health.head, health.status
    if head is None:
        return None
    content = status.content if status and status.content and status.content.version == head.version else None
    return {
        "version": head.version,
        "environment": content and content.environment,
        "flags": content and content.flags,
        "updated_at": to_datetime(head.updated_at).isoformat(),
        "published_at": to_datetime(head.published_at).isoformat(),
        "age": None if health.age is None else round(health.age, 3),
        "latency": {name: round(value, 6) for name, value in asdict(status.latency).items()}
        if status and status.latency
        else None,
        "cache_repairs_last_day": status.repairs.within(DAY, health.now) if status else 0,
    }


def _requests(status: Status, now: float) -> dict[str, Any]:
    return {
        "last_hour": status.requests.within(HOUR, now),
        "last_day": status.requests.within(DAY, now),
        "last_at": _iso(status.fetch.at) if status.fetch else None,
        "took": round(status.fetch.took, 3) if status.fetch else None,
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")
