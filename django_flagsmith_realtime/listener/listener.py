"""The loop that keeps the cache in step with Flagsmith: `run()` is `while not stopping: turn()`.

An update goes one way: `stream` announces it, `schedule` says when to fetch and whether to accept what came,
`publisher` stores it and sends the signals (`maintenance` where the cache fails meanwhile). The stream's reader and
each fetch have a thread of their own and put what happens into one queue, so that neither can hold up a turn, nor a
stop. Everything else, receivers of signals included, runs in the turn. Of all listeners that share a cache one leads
and does so; the others stand by: they read what is published, and ask Flagsmith nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from queue import Empty, SimpleQueue

from ..environment.snapshot import Document
from ..exceptions import FlagsmithError, HttpError
from ..storage.announcements import Announcement
from ..storage.lease import STUCK_SECONDS, Leadership
from . import events
from .events import Event, StreamConnected, StreamDisconnected, Subscriber
from .failover import Failover
from .maintenance import Maintenance
from .publisher import Publisher
from .schedule import Budget, Schedule
from .status_tracker import StatusTracker
from .stream import Message, Stream, StreamReader

logger = logging.getLogger(__name__)

Input = Message | Document | FlagsmithError  # what the stream's reader and the fetch report

MAINTENANCE_SECONDS = 2.0  # a reader finds flags that were evicted, and a nudge its fetch, within this


class Listener:
    """Keeps the published snapshot in step with Flagsmith.

    `open_stream` takes the key of the environment and returns its stream; None: poll only. `stream_key` is that key
    where it is known from the start, else it is in the published document. `leadership` decides when to lead and when
    to stand by. `status_tracker` makes the status that is kept in the cache. `subscribers` are called with each event.
    What other processes leave for the leader is read every `inbox_seconds`.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        schedule: Schedule,
        status_tracker: StatusTracker,
        subscribers: Iterable[Subscriber],
        open_stream: Callable[[str], Stream] | None,
        stream_key: str | None,
        leadership: Leadership,
        inbox_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._publisher = publisher
        self._schedule = schedule
        self._subscribers = tuple(subscribers)
        self._open_stream = open_stream
        self._stream_key = stream_key
        self._leadership = leadership
        self._clock = clock
        self._maintenance = Maintenance(publisher, schedule, status_tracker, notify=self._notify, clock=clock)
        self._maintenance_due = self._inbox_due = -float("inf")
        self._inbox_seconds = inbox_seconds
        self._failover = Failover()
        self._term: int | None = None  # in which this one leads
        self._leader: str | None = None  # the other process that leads, as was last logged
        self._queue: SimpleQueue[tuple[int | None, Input] | None] = SimpleQueue()  # with the term of each input
        self._reader: StreamReader | None = None
        self._is_fetching = False
        self._fetch_began_at = self.turn_began_at = clock()
        self._stopping = False

    def run(self, *, until_idle: bool = False) -> None:
        """Listen until `stop` is called, or until there is nothing to do but to wait for announcements and polls."""
        logger.info("Flagsmith listener started")
        self._leadership.start(
            is_alive=lambda: self._clock() - self.turn_began_at < STUCK_SECONDS, wake=partial(self._queue.put, None)
        )
        try:
            while not self._stopping:
                self.turn()
                self._stopping |= until_idle and self._is_idle()
        finally:
            self._close_stream()
            self._publisher.close()
            self._leadership.stop()
        logger.info("Flagsmith listener stopped")

    def announce(self, announcement: Announcement) -> bool:
        """Handle an announcement that this process received; False where it does not lead. Any thread may call this."""
        term = self._term
        if term is None or term != self._leadership.term:
            return False
        self._put(term, announcement)
        return True

    def has_received(self, announcement: Announcement) -> bool:
        """Return whether this listener, while it last led, fetched for an announcement that another process left."""
        return self._maintenance.has_received(announcement)

    @property
    def budget(self) -> Budget:
        """What is left for requests that bring no change."""
        return self._schedule.budget

    def stop(self) -> None:
        """End `run` soon; a signal handler or any thread may call this."""
        self._stopping = True
        self._queue.put(None)

    def give_way(self) -> None:
        """Let another listener lead although this one does not come to an end."""
        self._leadership.stop()

    def turn(self) -> None:
        """Do what is due, then handle one input, or wait for the next thing that will be due."""
        self.turn_began_at = self._clock()
        self._check_leadership()
        if self._clock() >= self._maintenance_due:
            self._maintenance_due = self._clock() + MAINTENANCE_SECONDS
            if self._term is None:
                self._maintenance.read_published(self._leadership.error)
            else:
                self._maintenance.run()
        next_due = self._maintenance_due
        if self._term is not None:
            if self._clock() >= self._inbox_due:
                self._inbox_due = self._clock() + self._inbox_seconds
                self._maintenance.read_inbox()
            self._maintenance.send_due_signals()
            self._keep_stream_open()
            if not self._is_fetching and self._schedule.due() <= self._clock():
                self._is_fetching, self._fetch_began_at = True, self._clock()
                self._maintenance.begin_fetch()
                self._schedule.begin_fetch(self._clock())
                threading.Thread(target=self._fetch, args=(self._term,), name="flagsmith-fetch", daemon=True).start()
            self._maintenance.write_announcements()
            fetch_due = float("inf") if self._is_fetching else self._schedule.due()
            next_due = min(next_due, self._inbox_due, self._publisher.signals_due_at, fetch_due)
        self._notify(events.Tick(self._schedule.stream_doubt if self._open_stream else None))
        try:
            queued = self._queue.get(timeout=max(next_due - self._clock(), 0.0))
        except Empty:
            return
        if queued and not self._stopping:
            self._handle(*queued)

    def _is_idle(self) -> bool:
        if self._term is None:
            return self._leader is not None
        return not (self._is_fetching or self._schedule.is_pending or self._maintenance.is_pending)

    def _check_leadership(self) -> None:
        """Begin to lead, or to stand by, as the lease says; let another process try where this one is cut off."""
        now, term = self._clock(), self._leadership.term
        if term is not None and self._leadership.has_standby:
            if self._failover.should_ask_api and not self._is_fetching:
                self._schedule.fetch_soon(now)  # where only the stream is gone, the API answers
            if self._failover.should_give_way(now):
                self._failover = self._failover.give_way()
                self._leadership.offer()
        if term != self._term:
            self._close_stream()
            self._maintenance.stand_by()
            self._failover = Failover(patience=self._failover.patience)
            self._schedule.stand_by(now)
            self._schedule.fetch_soon(now)
            self._term, self._maintenance_due = term, -float("inf")
            if term is not None:
                self._notify(events.BecameLeader())
        leader = None if term is not None else self._leadership.leader
        if leader and leader != self._leader:
            self._notify(events.BecameStandby(leader))
        self._leader = leader

    def _keep_stream_open(self) -> None:
        """Open the stream as soon as its key is known; its reader reconnects by itself."""
        published = self._publisher.published
        key = self._stream_key or (published and published.environment.api_key)
        if self._open_stream and not self._reader and key:
            self._reader = StreamReader(self._open_stream(key), partial(self._put, self._term))
            self._reader.start()

    def _close_stream(self) -> None:
        if self._reader:
            self._reader.stop()
        self._reader = None

    def _fetch(self, term: int | None) -> None:
        result: Document | FlagsmithError
        try:
            result = self._publisher.fetch()
        except FlagsmithError as error:
            result = error
        except Exception as error:  # a bug must not end the updates
            logger.exception("Fetching from Flagsmith failed in an unexpected way")
            result = FlagsmithError(f"Fetching failed: {type(error).__name__}.")
        self._put(term, result)

    def _put(self, term: int | None, input: Input) -> None:
        self._queue.put((term, input))

    def _handle(self, term: int | None, input: Input) -> None:
        """Handle what the stream or the fetch reported, unless that is of a term that is over."""
        if isinstance(input, (Document, FlagsmithError)):
            self._is_fetching = False
        if term is None or not term == self._term == self._leadership.term:
            return
        now = self._clock()
        match input:
            case StreamConnected():
                self._failover = self._failover.connect()
                self._schedule.connect(now)
                self._notify(input)
            case Announcement():
                self._maintenance.announce(input)
            case StreamDisconnected(error):
                self._failover = self._failover.disconnect(now, error)
                self._schedule.disconnect(now, clean=error is None)
                self._notify(input)
            case FlagsmithError():
                self._failover = self._failover.fail(now, input)
                self._schedule.fail(now, retry_after=input.retry_after if isinstance(input, HttpError) else None)
                self._notify(events.FetchFailed(input))
            case Document():
                self._failover = self._failover.answer()
                self._notify(events.Fetched(now - self._fetch_began_at, input.warnings))
                is_accepted = self._schedule.accept(input, self._publisher.published, now)
                if not (is_accepted and self._maintenance.publish(input)):
                    self._schedule.spend(now)
                self._maintenance.end_fetch()
                self._maintenance.write_status()

    def _notify(self, event: Event) -> None:
        for subscriber in self._subscribers:
            subscriber(event)
