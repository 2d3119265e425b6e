"""Lengths of time in words."""

from __future__ import annotations

UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def ago(seconds: float) -> str:
    """Return how long ago something was that took place some seconds ago."""
    return f"{span(seconds)} ago" if seconds >= 1 else "just now"


def span(seconds: float) -> str:
    """Return a duration in its two largest units."""
    parts: list[str] = []
    left = max(int(seconds), 0)
    for size, unit in UNITS:
        if left >= size or (size == 1 and not parts):
            parts.append(f"{left // size} {unit}")
        left %= size
    return " ".join(parts[:2])
