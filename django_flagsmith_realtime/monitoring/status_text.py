"""A `Health` as lines of text, for the person on call."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..environment.timestamps import to_datetime
from ..storage.status import BACKING_OFF, CONNECTED, DAY, FLAGSMITH, HOUR, POLL_ONLY
from .formatting import format_age, format_date, format_duration, printable
from .health import Health

LABEL_WIDTH = 12  # columns
WEBHOOK_SECONDS = 10  # Flagsmith waits so long for an answer, so later than that none comes
SILENT_SECONDS = 10  # a leader reports every 2 s: five reports are missing

SUCCESS, ERROR, WARNING = "success", "error", "warning"  # as Django's styles for the terminal are called
STREAM_LEVELS = {CONNECTED: SUCCESS, BACKING_OFF: ERROR}  # else a warning


@dataclass(frozen=True)
class Row:
    """A label and a text; the text begins with `mark`, which is highlighted as its level says."""

    label: str
    text: str
    mark: str = ""
    level: str = ""


def to_text(health: Health, *, width: int = 100, style: Callable[[str, str], str] = lambda level, text: text) -> str:
    """Return lines of at most `width` columns; `style` gets a level and the text to highlight."""
    lines = []
    indent = " " * LABEL_WIDTH
    for row in status_rows(health):
        line = f"{row.label:<{LABEL_WIDTH}}{row.mark}{printable(row.text)}"
        line = textwrap.fill(line, max(width, LABEL_WIDTH + 20), subsequent_indent=indent)
        lines.append(line.replace(row.mark, style(row.level, row.mark), 1) if row.mark else line)
    return "\n".join(lines)


def status_rows(health: Health) -> Iterator[Row]:
    """Yield the rows of the status; one without a label continues the row before."""
    now, head, status, report = health.now, health.head, health.status, health.leader_status
    origin = status.origin if status else FLAGSMITH
    if health.is_healthy:
        as_of = "" if health.age is None else f": the flags are what {origin} has, as of {format_age(health.age)}"
        yield Row("Health", as_of, "good", SUCCESS)
    for number, problem in enumerate(health.problems):
        yield Row("" if number else "Health", f": {problem.text}", problem.kind, ERROR)
    if health.leader:
        since = f"for {format_duration(now - report.leader.since)}" if report else "since a moment ago"
        silent = now - report.written_at if report else 0
        seen = f"; last seen {format_age(silent)}" if silent > SILENT_SECONDS else ""
        yield Row("Listener", f"{_process(health.leader)}, {since}{seen}")
    elif status:
        last = f"{_process(str(status.leader))}, {format_age(now - status.written_at)}"
        yield Row("Listener", f"none; {'the last was' if status.listens else 'last fetched by'} {last}")
    if health.standbys:
        more = f" and {len(health.standbys) - 1} more" if len(health.standbys) > 1 else ""
        yield Row("Standby", f"{_process(health.standbys[0])}{more}")
    if report:
        stream = report.stream
        no_event = "" if stream.state == POLL_ONLY else "; no event yet"
        event = f"; last event {format_age(now - stream.event_at)}" if stream.event_at else no_event
        reason = f". {stream.reason}" if stream.reason else ""
        text = f" for {format_duration(now - stream.since)}{event}{reason}"
        yield Row("Stream", text, stream.state, STREAM_LEVELS.get(stream.state, WARNING))
    if head:
        flags = f", {health.content.flags} flags of {health.content.environment}" if health.content else ""
        yield Row("Snapshot", f"version {head.version[:8]}{flags}")
        changed = format_date(to_datetime(head.updated_at), now)
        yield Row("", f"changed {changed}; published {format_age(now - head.published_at / 1_000_000)}")
    if not status:
        return
    for number, source in enumerate(status.sources):
        took = f", stored after {source.took * 1000:,.0f} ms" if source.took is not None else ""
        count = source.announced.within(DAY, now)
        last = f"the last one {format_age(now - source.at)}{took}"
        yield Row("" if number else "Changes", f"by {source.name}: {count} in the last day, {last}")
    if status.webhook_missed_at is not None and now - status.webhook_missed_at > WEBHOOK_SECONDS:
        found = format_age(now - status.webhook_missed_at)
        what_to_do = "See in Flagsmith whether it is enabled, and what your site answered."
        yield Row("Webhook", f"did not announce the change that a poll found {found}. {what_to_do}")
    if health.open_streams:
        yield Row("Pages", f"{health.open_streams:,} open streams of pages and other programs")
    if latency := status.latency:
        last, median, worst = (f"{seconds * 1000:,.0f} ms" for seconds in (latency.last, latency.p50, latency.p99))
        of = f"median {median}, 99 % within {worst} ({latency.count} measured)"
        yield Row("Latency", f"{last} from the last event to its flags; {of}")
    fetch = status.fetch
    took = f"; the last one, {format_age(now - fetch.at)}, took {fetch.took:.2f} s" if fetch else ""
    hour, day = status.requests.within(HOUR, now), status.requests.within(DAY, now)
    if status.origin == FLAGSMITH:
        yield Row("Requests", f"{hour} in the last hour, {day} in the last day{took}")
    repairs, suppressed = status.repairs.within(DAY, now), status.suppressed.within(DAY, now)
    yield Row("Last day", f"{suppressed} suppressed events, {repairs} cache repairs")
    for number, warning in enumerate(status.warnings):
        yield Row("" if number else "Warning", warning)
    said = [report.stream.reason if report else None, *(problem.text for problem in health.problems)]
    if status.failure and not any(text and status.failure.text in text for text in said):
        yield Row("Last error", f"{format_age(now - status.failure.at)}: {status.failure.text}")


def _process(name: str) -> str:
    host, _, pid = name.rpartition(":")
    return f"{host}, process {pid}"
