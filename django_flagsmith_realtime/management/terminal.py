"""How the commands write to a terminal: letters that it lacks, and flags as a table."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

from django.core.management.base import OutputWrapper
from flagsmith.models import Flag

from ..monitoring.formatting import format_value, printable

GAP = "  "
MIN_VALUE_WIDTH = 12  # columns; a narrow terminal wraps lines rather than show less of a value
MAX_SHARE = 0.4  # of a line; a longer name or reason shifts its own line, and leaves the others room for their values
HEADINGS = ("flag", "state", "reason", "variant", "value")

ELLIPSIS = "…"

Paint = Callable[[str], str]  # colors "on" and "off", which may be padded with spaces


class Output(OutputWrapper):
    """Writes letters that the terminal's encoding lacks as escapes, instead of raising UnicodeEncodeError."""

    def __init__(self, out: Any) -> None:
        super().__init__(out)

    def write(  # type: ignore[override]  # the stubs differ from Django
        self, msg: str = "", style_func: Callable[[str], str] | None = None, ending: str | None = None
    ) -> None:
        encoding = getattr(self, "encoding", None) or "utf-8"
        super().write(msg.encode(encoding, "backslashreplace").decode(encoding), style_func, ending)


def format_table(flags: Iterable[Flag], width: int, paint: Paint = str) -> str:
    """Return a line for each flag; values, which come last, are cut to fit into `width`."""
    rows = [HEADINGS]
    for flag in flags:
        cells = (flag.feature_name, _state(flag), flag.reason, flag.variant, format_value(flag.value))
        rows.append(tuple(printable(cell or "") for cell in cells))  # type: ignore[arg-type]
    columns = list(zip(*rows, strict=True))[:-1]
    widths = [
        max((size for size in map(text_width, cells) if size <= width * MAX_SHARE), default=0) for cells in columns
    ]
    lines = []
    for *texts, value in rows:
        padded = [text + " " * (size - text_width(text)) for text, size in zip(texts, widths, strict=True)]
        left = width - sum(text_width(cell) + len(GAP) for cell in padded)
        name, state, *rest = padded
        lines.append(GAP.join([name, paint(state), *rest, cut(value, max(MIN_VALUE_WIDTH, left))]).rstrip())
    return "\n".join(lines)


def format_flag(flag: Flag, paint: Paint = str, usage: str | None = None) -> str:
    """Return all of one flag, with its whole value."""
    value = flag.value if isinstance(flag.value, str) else format_value(flag.value) or None
    lines = [f"{printable(flag.feature_name)} is {paint(_state(flag))}"]
    for label, text in {"usage": usage, "reason": flag.reason, "variant": flag.variant, "value": value}.items():
        if text is not None:
            first, *more = map(printable, text.split("\n"))
            lines += [f"{head:9}{line}".rstrip() for head, line in ((label, first), *(("", line) for line in more))]
    return "\n".join(lines)


def _state(flag: Flag) -> str:
    return "on" if flag.enabled else "off"


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
