"""The status of the leader, which it writes to the cache for `flagsmith_status`, `health/` and the admin page.

Times are seconds since the epoch by the leader's clock, durations are seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from ..compat import gettext_noop

HOUR, DAY = 3_600, 86_400  # seconds
STEP = 300  # seconds that a tally counts together: a day takes 288 pairs at most, 5 kB

POLL = "poll"  # beside the sources of announcements
FLAGSMITH = "Flagsmith"
CONNECTING = gettext_noop("connecting")  # pages translate these, the cache and JSON don't
CONNECTED = gettext_noop("connected")
BACKING_OFF = gettext_noop("backing off")
POLL_ONLY = gettext_noop("poll only")
STREAM_STATES = (CONNECTING, CONNECTED, BACKING_OFF, POLL_ONLY)

# Seconds: upper bounds for latencies. A change is stored within 0.1 s as a rule; within 1 to 60 s where Flagsmith's API
# still answers with a document that it has cached.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

LIMIT = 1e11  # of any number, so that none of them, NaN included, breaks a page: a time in the year 5138


@dataclass(frozen=True)
class Tally:
    """How often something happened: in the last day, and at all since the first leader wrote a status.

    `counts` are pairs: the number of a step (since the epoch) and a count.
    """

    counts: tuple[tuple[int, int], ...] = ()
    total: int = 0

    def add(self, now: float) -> Tally:
        step = int(now // STEP)
        counts = {number: count for number, count in self.counts if step - DAY // STEP <= number <= step}
        return Tally(tuple({**counts, step: counts.get(step, 0) + 1}.items()), self.total + 1)

    def within(self, seconds: float, now: float) -> int:
        """Return the count of the last seconds, rounded to whole steps."""
        return sum(count for number, count in self.counts if now - seconds < (number + 1) * STEP <= now + STEP)


@dataclass(frozen=True)
class Histogram:
    """How many latencies lay within each of `BUCKETS` and above the last of them, and the sum of all, in seconds."""

    counts: tuple[int, ...] = (0,) * (len(BUCKETS) + 1)
    sum: float = 0.0

    def __post_init__(self) -> None:
        if len(self.counts) != len(BUCKETS) + 1:
            raise ValueError(f"not a count for each bucket: {self.counts!r}")

    def add(self, seconds: float) -> Histogram:
        counts = list(self.counts)
        counts[bisect_left(BUCKETS, seconds)] += 1
        return Histogram(tuple(counts), self.sum + seconds)


@dataclass(frozen=True)
class Errors:
    """How often the stream, a fetch or the cache failed, since the first leader wrote a status."""

    stream: int = 0
    fetch: int = 0
    cache: int = 0

    def add(self, kind: str) -> Errors:
        return replace(self, **{kind: getattr(self, kind) + 1})


@dataclass(frozen=True)
class Leader:
    """The process that leads."""

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


@dataclass(frozen=True)
class StreamStatus:
    """`state` is one of the four above, `reason` says why it isn't connected, `event_at` is when it last announced."""

    state: str
    since: float
    reason: str | None = None
    event_at: float | None = None


@dataclass(frozen=True)
class SourceStatus:
    """What announced changes, or found them as a poll does: when it last did, and how often.

    `took` is the seconds until the flags of the last one were stored; None where nothing had changed.
    """

    name: str
    at: float
    took: float | None = None
    announced: Tally = Tally()


@dataclass(frozen=True)
class Fetch:
    """The last document that was fetched, and how long that took."""

    at: float
    took: float


@dataclass(frozen=True)
class Failure:
    """The last error."""

    at: float
    text: str


@dataclass(frozen=True)
class Latency:
    """The seconds from an event to the published version: of the last one, and percentiles of the last `count`."""

    last: float
    p50: float
    p99: float
    count: int


@dataclass(frozen=True)
class Content:
    """The published snapshot; `known_at` is when it was last known to be what Flagsmith has."""

    version: str
    flags: int
    environment: str
    known_at: float | None


@dataclass(frozen=True)
class Status:
    """What the leader wrote, and when. Each leader counts on from the status of the one before."""

    written_at: float
    leader: Leader
    stream: StreamStatus
    content: Content | None = None
    fetch: Fetch | None = None
    failure: Failure | None = None
    latency: Latency | None = None
    requests: Tally = Tally()
    suppressed: Tally = Tally()
    repairs: Tally = Tally()
    latencies: Histogram = Histogram()
    errors: Errors = Errors()
    leaders: int = 0  # how often a listener began to lead
    warnings: tuple[str, ...] = ()  # of the document
    sources: tuple[SourceStatus, ...] = ()
    webhook_missed_at: float | None = None  # a change that the webhook should have announced
    listens: bool = True  # False: the process fetched, on demand or on a schedule, and went on with something else
    interval: float | None = None  # seconds between two polls, or between the last two fetches where nobody listens
    failing_since: float | None = None  # no document came since then
    origin: str = FLAGSMITH  # where the flags come from

    def source(self, name: str) -> SourceStatus | None:
        """Return what is known of a source of announcements."""
        return next((source for source in self.sources if source.name == name), None)

    def to_plain(self) -> dict[str, Any]:
        """Return dicts, lists, numbers and texts, which every serializer of a cache can carry."""
        return asdict(self)


def parse_status(plain: object) -> Status | None:
    """Parse what `to_plain` returned; None for anything else."""
    try:
        status: Status = _parse(Status, plain)
    except (TypeError, KeyError, ValueError):
        return None
    return status


def _parse(kind: Any, plain: Any) -> Any:
    """Return a dataclass from plain data; raise where that doesn't fit its annotations."""
    if kind is Tally:
        counts = tuple((_scalar(int, step), _scalar(int, count)) for step, count in plain["counts"])
        return Tally(counts, _scalar(int, plain["total"]))
    hints = _hints(kind)
    return kind(**{name: _parse_field(hints[name], plain[name]) for name in hints})


_hints = cache(get_type_hints)  # compiles each annotation: 1.2 of the 1.4 ms that a status took


def _parse_field(hint: Any, plain: Any) -> Any:
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        return tuple(_parse(kind, item) if is_dataclass(kind) else _scalar(kind, item) for item in plain)
    kind, *is_optional = get_args(hint) or (hint,)
    if plain is None and is_optional:
        return None
    return _parse(kind, plain) if is_dataclass(kind) else _scalar(kind, plain)


def _scalar(kind: Any, plain: Any) -> Any:
    if type(plain) not in ((int, float) if kind is float else (kind,)):
        raise TypeError(f"not {kind.__name__}: {plain!r}")
    if kind is not str and not -LIMIT < plain < LIMIT:
        raise ValueError(f"out of range: {plain!r}")
    return plain
