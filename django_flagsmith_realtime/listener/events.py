"""What happens to a listener, as values; the log, the status and the signals about the listener subscribe to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..environment.diff import Update
from ..environment.snapshot import Snapshot
from ..exceptions import FlagsmithError, HttpError, StoreError


class Event:
    """Base of all of them."""


@dataclass(frozen=True)
class Tick(Event):
    """A turn of the listener's loop: time may have passed. `stream_doubt`: why a change would not be announced."""

    stream_doubt: str | None = None


@dataclass(frozen=True)
class BecameLeader(Event):
    """This listener leads from now on."""


@dataclass(frozen=True)
class BecameStandby(Event):
    """Another listener leads: `leader`, as "host:pid"."""

    leader: str


@dataclass(frozen=True)
class StreamConnected(Event):
    """The stream is open."""


@dataclass(frozen=True)
class StreamDisconnected(Event):
    """The stream ended, or could not be opened; the next try is in `delay` seconds.

    `error` is None for a clean end, `is_routine` is one as of a healthy stream: Flagsmith ends it twice a minute.
    """

    error: HttpError | None
    is_routine: bool
    delay: float


@dataclass(frozen=True)
class ChangeAnnounced(Event):
    """Flagsmith announced a change by `source`; one that is not new was announced before, and costs no request.

    `received_at` is when another process received it, in microseconds.
    """

    source: str
    is_new: bool
    received_at: int | None = None


@dataclass(frozen=True)
class Fetched(Event):
    """A document came, `took` seconds after it was asked for."""

    took: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FetchFailed(Event):
    """No document came."""

    error: FlagsmithError


@dataclass(frozen=True)
class Published(Event):
    """A new version is in the cache, `latency` seconds after it was announced; None where nothing announced it."""

    update: Update
    latency: float | None


@dataclass(frozen=True)
class Unchanged(Event):
    """A document said what is published already."""

    published: Snapshot | None


@dataclass(frozen=True)
class StoreFailed(Event):
    """The cache failed, or did not keep what was written."""

    error: StoreError


@dataclass(frozen=True)
class StoreWorked(Event):
    """The cache took all that there was for it."""


@dataclass(frozen=True)
class Repaired(Event):
    """What the cache had lost is back."""


Subscriber = Callable[[Event], None]
