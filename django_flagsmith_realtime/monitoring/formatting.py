"""How ages, dates, states and values are written: for the commands, the admin page and the toolbar's panel."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: "1 h 2 min"."""
    parts: list[str] = []
    left = max(int(seconds), 0)
    for size, unit in UNITS:
        if left >= size or (size == 1 and not parts):
            parts.append(f"{left // size} {unit}")
        left %= size
    return " ".join(parts[:2])


def format_age(seconds: float) -> str:
    """Return how long ago something happened: "1 h 2 min ago"."""
    return f"{format_duration(seconds)} ago" if seconds >= 1 else "just now"


def format_date(moment: datetime, now: float) -> str:
    """Return a date in UTC and its age; `now` is in seconds since the epoch."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC, {format_age(now - moment.timestamp())}"


def format_value(value: Any) -> str:
    """Return a flag's value as JSON, and None as ""; what JSON can't hold, such as a caller's default, as its repr."""
    try:
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def printable(text: str) -> str:
    """Escape whatever would move the cursor of a terminal or change its colors."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
