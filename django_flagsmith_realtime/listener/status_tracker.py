"""Keeps the leader's status, from what happens to it."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import ceil
from textwrap import shorten
from typing import Any

from ..conf import hide_password
from ..environment.snapshot import Snapshot
from ..exceptions import FlagsmithError
from ..storage.announcements import STREAM, WEBHOOK
from ..storage.status import (
    BACKING_OFF,
    CONNECTED,
    CONNECTING,
    FLAGSMITH,
    POLL,
    POLL_ONLY,
    Content,
    Failure,
    Fetch,
    Latency,
    Leader,
    SourceStatus,
    Status,
    StreamStatus,
)
from . import events
from .events import Event

MEASURED = 100  # latencies: the fewest that have a 99th percentile
MAX_TEXT = 300  # characters of an error: what a terminal shows in four lines

CONTINUED = (
    "content",
    "errors",
    "failing_since",
    "fetch",
    "latencies",
    "leaders",
    "repairs",
    "requests",
    "sources",
    "suppressed",
)
ANNOUNCED_BY_WEBHOOK = frozenset({"enabled", "value"})  # what differs of a flag, also of a new one


class StatusTracker:
    """A subscriber of the listener's events that knows its status.

    `poll_only` says why there is no stream, where there is none. `secrets` appear in no text. Fetches are counted where
    they are billed. `has_webhook`: a webhook should announce what it can. `listens` is False where the process fetches
    once, and `interval` the seconds between two polls where it listens.
    """

    def __init__(
        self,
        *,
        poll_only: str | None = None,
        secrets: Iterable[str | None] = (),
        is_billed: bool = True,
        has_webhook: bool = False,
        listens: bool = True,
        interval: float | None = None,
        origin: str = FLAGSMITH,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        self._is_billed = is_billed
        self._has_webhook = has_webhook
        self._latencies: deque[float] = deque(maxlen=MEASURED)
        now = clock()
        self._poll_only = poll_only
        self._polls_for, self._polls_since = poll_only, now  # why the stream announces nothing
        leader = Leader(socket.gethostname(), os.getpid(), now)
        stream = StreamStatus(CONNECTING, now)
        self._status = Status(now, leader, stream, listens=listens, interval=interval, origin=origin)

    def status(self, published: Snapshot | None, known_ago: float | None) -> Status:
        """Return the status now; what is published was known to be current so many seconds ago, None: as before."""
        now = self._clock()
        if published:
            environment, content = published.environment, self._status.content
            before = content.known_at if content else None
            moments = [before if known_ago is None else now - known_ago, before]
            # A clock may be set back: nothing is known since a moment to come.
            known_at = max((min(moment, now) for moment in moments if moment is not None), default=None)
            self._set(content=Content(published.version, len(environment.flags), environment.name, known_at))
        stream = self._status.stream
        if self._polls_for:
            stream = replace(stream, state=POLL_ONLY, since=self._polls_since, reason=self._polls_for)
        return replace(self._status, written_at=now, stream=stream)

    def continue_from(self, before: Status | None) -> None:
        """Begin to lead: count on from the status of the leader before this one."""
        if before:
            self._set(**{name: getattr(before, name) for name in CONTINUED})
        self._set(leaders=self._status.leaders + self._status.listens)

    def __call__(self, event: Event) -> None:
        """Note what happened."""
        now, status = self._clock(), self._status
        match event:
            case events.Tick(doubt) if (reason := self._poll_only or doubt) != self._polls_for:
                self._polls_for, self._polls_since = reason, now
            case events.BecameLeader():
                self._polls_since = now
                self._set(leader=replace(status.leader, since=now), stream=StreamStatus(CONNECTING, now))
            case events.StreamConnected():
                self._set_stream(CONNECTED, None)
            case events.StreamDisconnected(error, is_routine=False):
                self._set_stream(BACKING_OFF, self._note_failure("stream", error) if error else "It ended too soon.")
            case events.ChangeAnnounced(source, is_new, received_at):
                if is_new or source != STREAM:  # which says the latest time again with each connection
                    self._note_announcement(source, now if received_at is None else received_at / 1_000_000)
                if source == STREAM:
                    suppressed = status.suppressed if is_new else status.suppressed.add(now)
                    self._set(stream=replace(status.stream, event_at=now), suppressed=suppressed)
            case events.Fetched(took, warnings):
                self._set(warnings=warnings)
                if not status.listens and status.fetch:
                    self._set(interval=now - status.fetch.at)
                self._set(failing_since=None, fetch=Fetch(now, took))
                if self._is_billed:
                    self._set(requests=status.requests.add(now))
            case events.FetchFailed(error):
                self._note_failure("fetch", error)
                self._set(failing_since=status.failing_since or now)
                if self._is_billed:
                    self._set(requests=status.requests.add(now))
            case events.StoreFailed(error):
                self._note_failure("cache", error)
            case events.Published(update, None) if update.previous and update.changes:
                self._note_announcement(POLL, now)
                aspects = frozenset().union(*(change.aspects for change in update.changes.values()))
                if self._has_webhook and aspects & ANNOUNCED_BY_WEBHOOK:
                    self._set(webhook_missed_at=now)
            case events.Published(update, float(latency)):
                if announcer := self._status.source(str(update.source)):
                    self._set_source(replace(announcer, took=latency))
                self._latencies.append(latency)
                ordered = sorted(self._latencies)
                p50, p99 = (ordered[ceil(len(ordered) * share) - 1] for share in (0.5, 0.99))
                latencies = status.latencies.add(latency)
                self._set(latency=Latency(latency, p50, p99, len(ordered)), latencies=latencies)
            case events.Repaired():
                self._set(repairs=status.repairs.add(now))

    def _note_announcement(self, name: str, at: float) -> None:
        source = self._status.source(name) or SourceStatus(name, 0.0)
        if at > source.at:  # else it still waits in the cache, and the leader before this one has counted it
            self._set_source(replace(source, at=at, took=None, announced=source.announced.add(at)))
        if name == WEBHOOK:
            self._set(webhook_missed_at=None)

    def _set_source(self, source: SourceStatus) -> None:
        others = (other for other in self._status.sources if other.name != source.name)
        self._set(sources=(source, *others))

    def _set(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)

    def _set_stream(self, state: str, reason: str | None) -> None:
        stream = self._status.stream
        since = stream.since if stream.state == state else self._clock()
        self._set(stream=replace(stream, state=state, since=since, reason=reason))

    def _note_failure(self, kind: str, error: FlagsmithError) -> str:
        text = str(error)
        for secret in self._secrets:
            text = text.replace(secret, "…")
        text = shorten(hide_password(text), MAX_TEXT, placeholder=" …")
        self._set(failure=Failure(self._clock(), text), errors=self._status.errors.add(kind))
        return text
