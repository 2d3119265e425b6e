"""Keeps the leader's status up to date from what happens to it."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import singledispatchmethod
from math import ceil
from textwrap import shorten
from typing import Any

from ..conf import hide_password
from ..environment.snapshot import Snapshot
from ..exceptions import FlagsmithError
from ..storage.status import (
    BACKING_OFF,
    CONNECTED,
    CONNECTING,
    POLL_ONLY,
    Content,
    Failure,
    Fetch,
    Latency,
    Leader,
    Status,
    StreamStatus,
)
from .events import (
    BecameLeader,
    Event,
    EventTaken,
    Fetched,
    FetchFailed,
    Published,
    Repaired,
    StoreFailed,
    StreamConnected,
    StreamDisconnected,
    StreamSilent,
)

MEASURED = 100  # latencies
MAX_TEXT = 300  # characters of an error

REALTIME_OFF = "Flagsmith says that the project's real-time updates are off."
SILENT = "A change came without an event: the project's real-time updates seem to be off."


class StatusTracker:
    """A subscriber of the listener's events.

    `poll_only` says why there is no stream, where there is none. `secrets` appear in no text. Fetches are counted where
    they are billed.
    """

    def __init__(
        self,
        *,
        poll_only: str | None = None,
        secrets: Iterable[str | None] = (),
        is_billed: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        self._is_billed = is_billed
        self._latencies: deque[float] = deque(maxlen=MEASURED)
        now = clock()
        self._deaf = {poll_only: now} if poll_only else {}  # why the stream tells nothing, and since when
        self._status = Status(now, Leader(socket.gethostname(), os.getpid(), now), StreamStatus(CONNECTING, now))

    def take_over(self, before: Status | None) -> None:
        """Go on counting where the leader before this one ended."""
        if before:
            self._note(
                content=before.content,
                requests=before.requests,
                suppressed=before.suppressed,
                repairs=before.repairs,
            )

    def status(self, published: Snapshot | None, known_ago: float | None) -> Status:
        """Return the status now; what is published was known to be current so many seconds ago, None: as before."""
        now = self._clock()
        if published:
            environment = published.environment
            known_at = self._known_at(now, known_ago)
            self._note(content=Content(published.version, len(environment.flags), environment.name, known_at))
        return replace(self._status, written_at=now, stream=self._stream())

    def _known_at(self, now: float, known_ago: float | None) -> float | None:
        before = self._status.content.known_at if self._status.content else None
        moments = [before if known_ago is None else now - known_ago, before]
        return max((min(moment, now) for moment in moments if moment is not None), default=None)  # a clock may go back

    def _stream(self) -> StreamStatus:
        for reason, since in self._deaf.items():
            return replace(self._status.stream, state=POLL_ONLY, since=since, reason=reason)
        return self._status.stream

    @singledispatchmethod
    def take(self, event: Event) -> None:
        """Note what happened."""

    @take.register
    def _lead(self, event: BecameLeader) -> None:
        now = self._clock()
        self._deaf = dict.fromkeys(self._deaf, now)
        self._note(leader=replace(self._status.leader, since=now), stream=StreamStatus(CONNECTING, now))

    @take.register
    def _connect(self, event: StreamConnected) -> None:
        self._enter(CONNECTED, None)

    @take.register
    def _disconnect(self, event: StreamDisconnected) -> None:
        if not event.is_routine:
            self._enter(BACKING_OFF, self._fail(event.error) if event.error else "It ended too soon.")

    @take.register
    def _hear_nothing(self, event: StreamSilent) -> None:
        self._deaf.setdefault(SILENT, self._clock())

    @take.register
    def _hear(self, event: EventTaken) -> None:
        self._deaf.pop(SILENT, None)
        self._note(stream=replace(self._status.stream, event_at=self._clock()))
        if not event.is_new:
            self._note(suppressed=self._status.suppressed.add(self._clock()))

    @take.register
    def _fetch(self, event: Fetched) -> None:
        now = self._clock()
        if event.realtime_enabled:
            self._deaf.pop(REALTIME_OFF, None)
        else:
            self._deaf.setdefault(REALTIME_OFF, now)
        self._count_request(now)
        if self._is_billed:
            self._note(fetch=Fetch(now, event.took))

    @take.register
    def _miss(self, event: FetchFailed) -> None:
        self._fail(event.error)
        self._count_request(self._clock())

    def _count_request(self, now: float) -> None:
        if self._is_billed:
            self._note(requests=self._status.requests.add(now))

    @take.register
    def _lose(self, event: StoreFailed) -> None:
        self._fail(event.error)

    @take.register
    def _measure(self, event: Published) -> None:
        if event.latency is not None:
            self._latencies.append(event.latency)
            ordered = sorted(self._latencies)
            self._note(latency=Latency(event.latency, _rank(ordered, 0.5), _rank(ordered, 0.99), len(ordered)))

    @take.register
    def _repair(self, event: Repaired) -> None:
        self._note(repairs=self._status.repairs.add(self._clock()))

    def _note(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)

    def _enter(self, state: str, reason: str | None) -> None:
        stream = self._status.stream
        since = stream.since if stream.state == state else self._clock()
        self._note(stream=replace(stream, state=state, since=since, reason=reason))

    def _fail(self, error: FlagsmithError) -> str:
        text = str(error)
        for secret in self._secrets:
            text = text.replace(secret, "…")
        text = shorten(hide_password(text), MAX_TEXT, placeholder=" …")
        self._note(failure=Failure(self._clock(), text))
        return text


def _rank(ordered: Sequence[float], share: float) -> float:
    """Return the value that a share of the ordered ones do not exceed."""
    return ordered[ceil(len(ordered) * share) - 1]
