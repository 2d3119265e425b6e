"""A `Health` as text, for a person on call."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..environment.snapshot import Head
from ..environment.timestamps import to_datetime
from ..storage.status import BACKING_OFF, CONNECTED, DAY, HOUR, POLL_ONLY, Status
from .health import Health

LABEL = 12  # columns
SILENT_SECONDS = 10  # after which a leader is told to be slow
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

Style = Callable[[str], str]


@dataclass(frozen=True)
class Row:
    """A label and what stands beside it; the words of `mark` come first and are styled."""

    label: str
    text: str
    mark: str = ""
    style: Style = str

    def render(self, width: int) -> str:
        indent = " " * LABEL
        text = f"{self.mark}{self.text}"
        lines = textwrap.wrap(text, max(width, LABEL + 20), initial_indent=indent, subsequent_indent=indent)
        rendered = f"{self.label:<{LABEL}}" + "\n".join(lines or [indent])[LABEL:]
        return rendered.replace(self.mark, self.style(self.mark), 1) if self.mark else rendered


@dataclass(frozen=True)
class Styles:
    """How to show what is well, what is not, and what is out of the ordinary."""

    good: Style = str
    bad: Style = str
    odd: Style = str


def to_text(health: Health, *, styles: Styles = Styles(), width: int = 100) -> str:
    """Return lines for a terminal of some columns."""
    return "\n".join(row.render(width) for row in to_rows(health, styles))


def to_rows(health: Health, styles: Styles = Styles()) -> Iterator[Row]:
    """Return what is told, line by line; one without a label belongs to the one before."""
    yield from _verdict(health, styles)
    status, now = health.status, health.now
    if health.leader:
        yield _leader(health.leader, health.leading, now)
    elif status:
        yield Row("Listener", f"none; the last was {_process(str(status.leader))}, {ago(now - status.written_at)}")
    if health.standby:
        yield Row("Standby", _process(health.standby))
    if health.leading:
        yield _stream(health.leading, now, styles)
    if health.head:
        yield _snapshot(health.head, status)
        yield Row("", _dates(health.head, now))
    if status:
        yield from _figures(status, now)
        shown = health.leading and health.leading.stream.reason
        if status.failure and status.failure.text != shown:
            yield Row("Last error", f"{ago(now - status.failure.at)}: {status.failure.text}")


def _verdict(health: Health, styles: Styles) -> Iterator[Row]:
    if health.is_healthy:
        known = "" if health.age is None else f": the flags are what Flagsmith has, as of {ago(health.age)}"
        yield Row("Health", known, "good", styles.good)
    for label, trouble in zip(("Health", *[""] * 9), health.troubles, strict=False):
        yield Row(label, f": {trouble.text}", trouble.kind, styles.bad)


def _leader(leader: str, status: Status | None, now: float) -> Row:
    if status is None:
        return Row("Listener", f"{_process(leader)}, since a moment ago")
    silent = now - status.written_at
    seen = f"; last heard of {ago(silent)}" if silent > SILENT_SECONDS else ""
    return Row("Listener", f"{_process(leader)}, for {span(now - status.leader.since)}{seen}")


def _process(name: str) -> str:
    host, _, pid = name.rpartition(":")
    return f"{host}, process {pid}"


def _stream(status: Status, now: float, styles: Styles) -> Row:
    stream = status.stream
    never = "" if stream.state == POLL_ONLY else "; no event yet"
    event = f"; last event {ago(now - stream.event_at)}" if stream.event_at else never
    style = {CONNECTED: styles.good, BACKING_OFF: styles.bad}.get(stream.state, styles.odd)
    reason = f". {stream.reason}" if stream.reason else ""
    return Row("Stream", f" for {span(now - stream.since)}{event}{reason}", stream.state, style)


def _snapshot(head: Head, status: Status | None) -> Row:
    content = status.content if status and status.content and status.content.version == head.version else None
    flags = f", {content.flags} flags of {content.environment}" if content else ""
    return Row("Snapshot", f"version {head.version[:8]}{flags}")


def _dates(head: Head, now: float) -> str:
    changed = to_datetime(head.updated_at)
    return (
        f"changed {changed:%Y-%m-%d %H:%M:%S} UTC, {ago(now - changed.timestamp())}; "
        f"published {ago(now - head.published_at / 1_000_000)}"
    )


def _figures(status: Status, now: float) -> Iterator[Row]:
    if latency := status.latency:
        last, median, worst = (f"{seconds * 1000:,.0f} ms" for seconds in (latency.last, latency.p50, latency.p99))
        of = f"median {median}, 99 % within {worst} ({latency.count} measured)"
        yield Row("Latency", f"{last} from the last event to its flags; {of}")
    requests = status.requests
    fetch = f"; the last one, {ago(now - status.fetch.at)}, took {status.fetch.took:.2f} s" if status.fetch else ""
    hour, day = requests.within(HOUR, now), requests.within(DAY, now)
    yield Row("Requests", f"{hour} in the last hour, {day} in the last day{fetch}")
    repairs, suppressed = status.repairs.within(DAY, now), status.suppressed.within(DAY, now)
    yield Row("Last day", f"{suppressed} suppressed events, {repairs} cache repairs")


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
