"""What a run came to, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.fleet.faults import Figure
from tests.fleet.signals import Signals
from tests.fleet.workers import Cost


def spread(values: Sequence[float]) -> str:
    """Return the median and the greatest of some values."""
    return ", ".join(f"{value:.1f}" for value in sorted({statistics.median(values), max(values)}))


COLUMNS = (
    "fault",
    "times",
    "seconds to takeover",
    "seconds until seen",
    "updates",
    "document requests",
    "streams at once",
    "seconds an older head stood",
    "steps back",
    "errors",
)


def row(figures: Sequence[Figure]) -> list[str]:
    """Return the cells of one fault's figures."""
    return [
        figures[0].fault,
        str(len(figures)),
        spread([figure.takeover for figure in figures]),
        spread([figure.seen for figure in figures]),
        str(sum(figure.updates for figure in figures)),
        str(sum(figure.requests for figure in figures)),
        str(max(figure.streams for figure in figures)),
        f"{max(figure.stood_back for figure in figures):.1f}",
        str(sum(figure.back for figure in figures)),
        str(sum(figure.errors for figure in figures)),
    ]


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def fault_table(figures: Iterable[Figure]) -> str:
    """Return a row per fault; where it was made more than once, times are the median and the greatest."""
    by_fault: dict[str, list[Figure]] = {}
    for figure in figures:
        by_fault.setdefault(figure.fault, []).append(figure)
    return markdown(COLUMNS, map(row, by_fault.values()))


def signal_table(figure: Signals) -> str:
    """Return a row per count."""
    rows = {
        "versions published": figure.published,
        "listeners killed": figure.kills,
        "· of them, leaders": figure.leaders_killed,
        "versions never signaled": figure.missed,
        "versions signaled by a listener other than the publisher": figure.made_up_for,
        "signals beyond the first": figure.duplicates,
        "seconds": round(figure.seconds),
    }
    return markdown(("", ""), [(name, str(count)) for name, count in rows.items()])


def cost_table(costs: Iterable[Cost]) -> str:
    """Return a row per way of reading."""
    header = ("flags come from", "gunicorn workers", "streams open", "document requests at the start", "per update")
    rows = [
        (cost.reader, cost.workers, cost.streams, cost.requests_at_start, f"{cost.requests_per_update:g}")
        for cost in costs
    ]
    return markdown(header, [[str(cell) for cell in row] for row in rows])


def put_into(path: Path, name: str, table: str) -> None:
    """Replace the table of a name in a page."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = path.read_text().partition(begin)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        raise ValueError(f"{path} has no {begin.strip()} with an {end.strip()} after it.")
    path.write_text(f"{before}{begin}\n{table}\n{end}{after}")
