"""Flags as text for a terminal."""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from flagsmith.models import Flag

GAP = "  "
CUT = "…"
MIN_VALUE_WIDTH = 12
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))

Row = tuple[str, str, str, str, str]
Paint = Callable[[str], str]  # colours "on" and "off", with spaces around them or not
HEADINGS: Row = ("flag", "state", "reason", "variant", "value")


def format_table(flags: Iterable[Flag], width: int, paint: Paint = str) -> str:
    """Return a line for each flag; values, which come last, are cut where a line would be longer than `width`."""
    rows = [HEADINGS, *map(_row, flags)]
    widths = [max(map(text_width, column)) for column in list(zip(*rows, strict=True))[:-1]]
    room = max(MIN_VALUE_WIDTH, width - sum(widths) - len(GAP) * len(widths))
    return "\n".join(_line(row, widths, room, paint) for row in rows)


def format_flag(flag: Flag, paint: Paint = str) -> str:
    """Return all of one flag, its value whole."""
    value = flag.value if flag.value is None or isinstance(flag.value, str) else json.dumps(flag.value)
    parts = {"reason": flag.reason, "variant": flag.variant, "value": value}
    lines = [f"{printable(flag.feature_name)} is {paint(_state(flag))}"]
    for label, text in parts.items():
        lines += [] if text is None else _labelled(label, text)
    return "\n".join(lines)


def format_age(seconds: float) -> str:
    """Return an age in its largest unit: "12 s", "3 min", "5 h", "2 d"."""
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def printable(text: str) -> str:
    """Return text that does nothing to a terminal but be shown on one line."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def text_width(text: str) -> int:
    """Return how many columns printable text takes."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):  # drawn over the one before
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _row(flag: Flag) -> Row:
    value = "" if flag.value is None else printable(json.dumps(flag.value, ensure_ascii=False))
    return (
        printable(flag.feature_name),
        _state(flag),
        printable(flag.reason or ""),
        printable(flag.variant or ""),
        value,
    )


def _state(flag: Flag) -> str:
    return "on" if flag.enabled else "off"


def _line(row: Row, widths: Sequence[int], room: int, paint: Paint) -> str:
    name, state, *rest = (cell + " " * (width - text_width(cell)) for cell, width in zip(row, widths, strict=False))
    return GAP.join([name, paint(state), *rest, _cut(row[-1], room)]).rstrip()


def _cut(text: str, room: int) -> str:
    ends = list(accumulate(map(_columns, text)))
    if not ends or ends[-1] <= room:
        return text
    return text[: bisect_right(ends, room - len(CUT))] + CUT


def _labelled(label: str, text: str) -> list[str]:
    first, *more = map(printable, text.split("\n"))
    return [f"{each:9}{line}".rstrip() for each, line in ((label, first), *(("", line) for line in more))]
