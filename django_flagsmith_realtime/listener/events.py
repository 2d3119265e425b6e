"""What happens to a listener, as values; the log, the status and the signals are subscribers of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..environment.diff import Update
from ..environment.snapshot import Snapshot
from ..exceptions import FlagsmithError, StoreError


@dataclass(frozen=True)
class Turned:
    """The listener goes on: time may have passed."""


@dataclass(frozen=True)
class BecameLeader:
    """This listener works from now on."""


@dataclass(frozen=True)
class StoodBy:
    """Another listener works: `leader`, as "host:pid"."""

    leader: str


@dataclass(frozen=True)
class StreamConnected:
    """The stream is open."""


@dataclass(frozen=True)
class StreamDisconnected:
    """The stream ended or could not be opened. `is_routine`: as Flagsmith ends a healthy one twice a minute."""

    error: FlagsmithError | None
    is_routine: bool


@dataclass(frozen=True)
class StreamSilent:
    """A change came without an event."""


@dataclass(frozen=True)
class EventTaken:
    """Flagsmith announced a change; one that is not new was announced before, and costs nothing."""

    is_new: bool


@dataclass(frozen=True)
class Fetched:
    """A document came, `took` seconds after it was asked for."""

    took: float
    realtime_enabled: bool


@dataclass(frozen=True)
class FetchFailed:
    """No document came."""

    error: FlagsmithError


@dataclass(frozen=True)
class Published:
    """A new version is in the cache, `latency` seconds after its first event; None where none announced it."""

    update: Update
    latency: float | None


@dataclass(frozen=True)
class Unchanged:
    """The document says what is published."""

    published: Snapshot | None


@dataclass(frozen=True)
class StoreFailed:
    """The cache failed, or did not keep what was written."""

    error: StoreError


@dataclass(frozen=True)
class StoreWorked:
    """The cache took all that there was for it."""


@dataclass(frozen=True)
class Repaired:
    """What the cache had lost is back."""


Event = (
    Turned
    | BecameLeader
    | StoodBy
    | StreamConnected
    | StreamDisconnected
    | StreamSilent
    | EventTaken
    | Fetched
    | FetchFailed
    | Published
    | Unchanged
    | StoreFailed
    | StoreWorked
    | Repaired
)
Subscriber = Callable[[Event], None]
