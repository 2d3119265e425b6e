"""What the leader knows of itself: a value that it keeps in the cache for whoever is on call.

Points in time are seconds since the epoch by the leader's clock, durations are seconds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, get_args, get_type_hints

STEP = 300  # seconds that a tally counts together
HOUR, DAY = 3_600, 86_400

CONNECTING, CONNECTED, BACKING_OFF, POLL_ONLY = "connecting", "connected", "backing off", "poll only"

LIMIT = 1e11  # of any figure; a point in time in the year 5138


@dataclass(frozen=True)
class Tally:
    """How often something happened in the last day: pairs of a step's number and a count."""

    counts: tuple[tuple[int, int], ...] = ()

    def add(self, now: float) -> Tally:
        step = int(now // STEP)
        counts = {number: count for number, count in self.counts if step - DAY // STEP <= number <= step}
        return Tally(tuple({**counts, step: counts.get(step, 0) + 1}.items()))

    def within(self, seconds: float, now: float) -> int:
        """Return the count of the last seconds, to a step."""
        return sum(count for number, count in self.counts if now - seconds < (number + 1) * STEP <= now + STEP)


@dataclass(frozen=True)
class Leader:
    """The process that listens."""

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


@dataclass(frozen=True)
class StreamStatus:
    """`state` is one of the four; `reason` says why it is not connected."""

    state: str
    since: float
    reason: str | None = None
    event_at: float | None = None


@dataclass(frozen=True)
class Fetch:
    """The last document that came."""

    at: float
    took: float


@dataclass(frozen=True)
class Failure:
    """The last thing that went wrong."""

    at: float
    text: str


@dataclass(frozen=True)
class Latency:
    """From an event to the published version, in seconds: the last one, and of the last `count`."""

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
    """What the leader wrote of itself, and when."""

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

    def to_plain(self) -> dict[str, Any]:
        """Return plain data, which any of Django's serializers takes."""
        return asdict(self)


def parse_status(plain: object) -> Status | None:
    """Read what `to_plain` returned; None for anything else."""
    try:
        status: Status = _read(Status, plain)
    except (TypeError, KeyError, ValueError):
        return None
    return status


def _read(kind: Any, plain: Any) -> Any:
    """Return a dataclass from plain data; raise where that does not fit its annotations."""
    if kind is Tally:
        return kind(tuple((_scalar(int, step), _scalar(int, count)) for step, count in plain["counts"]))
    hints = get_type_hints(kind)
    return kind(**{name: _read_value(hints[name], plain[name]) for name in hints})


def _read_value(hint: Any, plain: Any) -> Any:
    kind, *is_optional = get_args(hint) or (hint,)
    if plain is None and is_optional:
        return None
    return _read(kind, plain) if is_dataclass(kind) else _scalar(kind, plain)


def _scalar(kind: Any, plain: Any) -> Any:
    if type(plain) not in ((int, float) if kind is float else (kind,)):
        raise TypeError(f"not {kind.__name__}: {plain!r}")
    if kind is not str and not -LIMIT < plain < LIMIT:  # NaN neither
        raise ValueError(f"no figure: {plain!r}")
    return plain
