"""How ages, dates, states and values are written: for the commands, the admin page and the toolbar's panel."""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from datetime import datetime, timezone
from itertools import accumulate
from typing import Any

UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
ELLIPSIS = "…"


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


def format_state(enabled: bool) -> str:
    return "on" if enabled else "off"


def format_value(value: Any) -> str:
    """Return a flag's value as JSON, and None as ""; what JSON can't hold, such as a caller's default, as its repr."""
    try:
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def printable(text: str) -> str:
    """Escape whatever would move the cursor of a terminal or change its colors."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def text_width(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    return sum(map(_columns, text))


def cut(text: str, width: int) -> str:
    """Cut a printable text to some columns of a terminal."""
    ends = list(accumulate(map(_columns, text)))
    if not ends or ends[-1] <= width:
        return text
    return text[: bisect_right(ends, width - len(ELLIPSIS))] + ELLIPSIS


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):  # drawn over the character before
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
