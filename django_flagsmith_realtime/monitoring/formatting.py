"""How ages, dates, numbers and values are written: in the active language, which is English for commands and JSON."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from django.utils.formats import date_format, number_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

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
    return _("{duration} ago").format(duration=format_duration(seconds)) if seconds >= 1 else _("just now")


def format_utc(moment: datetime) -> str:
    """Return a date in UTC, as logs have it."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def format_local(moment: datetime) -> str:
    """Return a date in the current time zone, as the active language writes it."""
    return date_format(localtime(moment), "DATETIME_FORMAT")


def format_number(number: float, decimals: int = 0) -> str:
    """Return a number with the separators of the active language: "1,234.50"."""
    return number_format(f"{number:.{decimals}f}", decimals, force_grouping=True)


def format_value(value: Any) -> str:
    """Return a flag's value as JSON, and None as ""; what JSON can't hold, such as a caller's default, as its repr."""
    try:
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def printable(text: str) -> str:
    """Escape whatever would move the cursor of a terminal or change its colors."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
