"""A `Health` as lines of text, for the person on call."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..environment.timestamps import to_datetime
from ..storage.status import BACKING_OFF, CONNECTED, DAY, FLAGSMITH, HOUR, POLL_ONLY, Status
from .formatting import format_age, format_duration, format_number, format_utc, printable
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


def status_rows(health: Health, show_date: Callable[[datetime], str] = format_utc) -> Iterator[Row]:
    """Yield the rows of the status in the active language; one without a label continues the row before."""
    now, head, status, report = health.now, health.head, health.status, health.leader_status
    origin = status.origin if status else FLAGSMITH
    if health.is_healthy:
        as_of = _("the flags are what {origin} has, as of {age}")
        text = "" if health.age is None else f": {as_of.format(origin=_(origin), age=format_age(health.age))}"
        yield Row(_("Health"), text, _("good"), SUCCESS)
    for number, problem in enumerate(health.problems):
        yield Row("" if number else _("Health"), f": {problem.text}", _(problem.kind), ERROR)
    if health.leader:
        since = _("since a moment ago")
        if report:
            since = _("for {duration}").format(duration=format_duration(now - report.leader.since))
        if report and now - report.written_at > SILENT_SECONDS:
            since += "; " + _("last seen {age}").format(age=format_age(now - report.written_at))
        yield Row(_("Listener"), f"{_process(health.leader)}, {since}")
    elif status:
        text = (
            _("none; the last was {process}, {age}") if status.listens else _("none; last fetched by {process}, {age}")
        )
        age = format_age(now - status.written_at)
        yield Row(_("Listener"), text.format(process=_process(str(status.leader)), age=age))
    if health.standbys:
        others = len(health.standbys) - 1
        text = ngettext("{process} and {count} more", "{process} and {count} more", others) if others else "{process}"
        yield Row(_("Standby"), text.format(process=_process(health.standbys[0]), count=others))
    if report:
        stream = report.stream
        text = " " + _("for {duration}").format(duration=format_duration(now - stream.since))
        if stream.event_at:
            text += "; " + _("last event {age}").format(age=format_age(now - stream.event_at))
        elif stream.state != POLL_ONLY:
            text += "; " + _("no event yet")
        text += f". {stream.reason}" if stream.reason else ""
        yield Row(_("Stream"), text, _(stream.state), STREAM_LEVELS.get(stream.state, WARNING))
    if head:
        text = _("version {version}").format(version=head.version[:8])
        if content := health.content:
            of = ngettext("{count} flag of {environment}", "{count} flags of {environment}", content.flags)
            text += ", " + of.format(count=content.flags, environment=content.environment)
        yield Row(_("Snapshot"), text)
        changed_at, published_at = to_datetime(head.updated_at), head.published_at / 1_000_000
        changed = f"{show_date(changed_at)}, {format_age(now - changed_at.timestamp())}"
        text = _("changed {date}; published {age}")
        yield Row("", text.format(date=changed, age=format_age(now - published_at)))
    if status:
        yield from _report_rows(health, status)


def _report_rows(health: Health, status: Status) -> Iterator[Row]:
    """Yield the rows of what a leader counted, and of what it warned of."""
    now, report = health.now, health.leader_status
    for number, source in enumerate(status.sources):
        text = _("by {source}: {count} in the last day, the last one {age}").format(
            source=source.name, count=source.announced.within(DAY, now), age=format_age(now - source.at)
        )
        if source.took is not None:
            text += ", " + _("stored after {milliseconds} ms").format(milliseconds=format_number(source.took * 1000))
        yield Row("" if number else _("Changes"), text)
    if status.webhook_missed_at is not None and now - status.webhook_missed_at > WEBHOOK_SECONDS:
        text = _(
            "did not announce the change that a poll found {age}. See in Flagsmith whether it is enabled, and what "
            "your site answered."
        )
        yield Row(_("Webhook"), text.format(age=format_age(now - status.webhook_missed_at)))
    if streams := health.open_streams:
        text = ngettext(
            "{count} open stream of pages and other programs",
            "{count} open streams of pages and other programs",
            streams,
        )
        yield Row(_("Pages"), text.format(count=format_number(streams)))
    if latency := status.latency:
        last, median, worst = (f"{format_number(each * 1000)} ms" for each in (latency.last, latency.p50, latency.p99))
        text = _("{last} from the last event to its flags; median {median}, 99 % within {worst} ({count} measured)")
        yield Row(_("Latency"), text.format(last=last, median=median, worst=worst, count=latency.count))
    if status.origin == FLAGSMITH:
        hour, day = status.requests.within(HOUR, now), status.requests.within(DAY, now)
        text = _("{hour} in the last hour, {day} in the last day").format(hour=hour, day=day)
        if fetch := status.fetch:
            took = _("the last one, {age}, took {seconds} s")
            text += "; " + took.format(age=format_age(now - fetch.at), seconds=format_number(fetch.took, 2))
        yield Row(_("Requests"), text)
    repairs, suppressed = status.repairs.within(DAY, now), status.suppressed.within(DAY, now)
    events = ngettext("{count} suppressed event", "{count} suppressed events", suppressed).format(count=suppressed)
    repaired = ngettext("{count} cache repair", "{count} cache repairs", repairs).format(count=repairs)
    yield Row(_("Last day"), f"{events}, {repaired}")
    for number, warning in enumerate(status.warnings):
        yield Row("" if number else _("Warning"), _(warning))
    said = [report.stream.reason if report else None, *(problem.text for problem in health.problems)]
    if status.failure and not any(text and status.failure.text in text for text in said):
        yield Row(_("Last error"), f"{format_age(now - status.failure.at)}: {status.failure.text}")


def _process(name: str) -> str:
    host, _colon, pid = name.rpartition(":")
    return _("{host}, process {pid}").format(host=host, pid=pid)
