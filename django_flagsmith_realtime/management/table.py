"""Flags as text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flagsmith.models import Flag

from ..monitoring.formatting import cut, format_state, format_value, printable, text_width

GAP = "  "
MIN_VALUE_WIDTH = 12  # columns; a narrow terminal wraps lines rather than show less of a value
HEADINGS = ("flag", "state", "reason", "variant", "value")

Paint = Callable[[str], str]  # colors "on" and "off", which may be padded with spaces


def format_table(flags: Iterable[Flag], width: int, paint: Paint = str) -> str:
    """Return a line for each flag; values, which come last, are cut where a line would be longer than `width`."""
    rows = [HEADINGS]
    for flag in flags:
        cells = (flag.feature_name, format_state(flag.enabled), flag.reason, flag.variant, format_value(flag.value))
        rows.append(tuple(printable(cell or "") for cell in cells))  # type: ignore[arg-type]
    widths = [max(map(text_width, column)) for column in list(zip(*rows, strict=True))[:-1]]
    value_width = max(MIN_VALUE_WIDTH, width - sum(widths) - len(GAP) * len(widths))
    lines = []
    for row in rows:
        name, state, *rest = (cell + " " * (width - text_width(cell)) for cell, width in zip(row, widths, strict=False))
        lines.append(GAP.join([name, paint(state), *rest, cut(row[-1], value_width)]).rstrip())
    return "\n".join(lines)


def format_flag(flag: Flag, paint: Paint = str) -> str:
    """Return all of one flag, with its whole value."""
    value = flag.value if isinstance(flag.value, str) else format_value(flag.value) or None
    lines = [f"{printable(flag.feature_name)} is {paint(format_state(flag.enabled))}"]
    for label, text in {"reason": flag.reason, "variant": flag.variant, "value": value}.items():
        if text is not None:
            first, *more = map(printable, text.split("\n"))
            lines += [f"{head:9}{line}".rstrip() for head, line in ((label, first), *(("", line) for line in more))]
    return "\n".join(lines)
