"""The loop that keeps the cache in step with Flagsmith: `run()` is `while not stopping: turn()`.

The stream's reader and each fetch have a thread of their own and report to one inbox, so that neither can hold
up the turn, nor a stop. Everything else, signals included, happens in the turn. Of all listeners that share a cache
one leads, and does so; the others stand by: they know what is published, and ask Flagsmith nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue

from ..environment.snapshot import Document
from ..exceptions import FlagsmithError, HttpError
from ..storage.lease import STUCK_SECONDS, Alone, Leadership
from .events import (
    BecameLeader,
    EventTaken,
    Fetched,
    FetchFailed,
    StoodBy,
    StreamConnected,
    StreamDisconnected,
    Subscriber,
    Turned,
)
from .failover import Failover
from .publisher import Publisher
from .schedule import Schedule
from .stream import Connected, Disconnected, EnvironmentUpdated, Message, Stream, StreamReader
from .upkeep import Upkeep

logger = logging.getLogger(__name__)

Letter = tuple[int | None, Message | Document | FlagsmithError]  # the term in which it was asked for, and what came

TEND_SECONDS = 2.0  # between looks at what is stored


class Listener:
    """Keeps the published snapshot in step with Flagsmith.

    `open_stream` takes the key of the environment and returns its stream; None: poll only.
    `stream_key` is that key where it is known from the start, else the published document tells it. `leadership`
    tells when to do all that, and when to stand by; `tell` is told what happens.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        upkeep: Upkeep,
        schedule: Schedule,
        tell: Subscriber,
        open_stream: Callable[[str], Stream] | None,
        stream_key: str | None = None,
        leadership: Leadership | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._schedule = schedule
        self._open_stream = open_stream
        self._stream_key = stream_key
        self._leadership = leadership or Alone()
        self._term: int | None = None  # in which this one leads
        self._failover = Failover()
        self._clock = clock
        self._turned_at = clock()
        self._tell = tell
        self._upkeep = upkeep
        self._followed: str | None = None  # who leads, as was last told
        self._asked_at = clock()
        self._inbox: SimpleQueue[Letter | None] = SimpleQueue()
        self._reader: StreamReader | None = None
        self._fetching = False
        self._stopping = False
        self._tend_at = -float("inf")

    def run(self) -> None:
        """Listen until `stop` is called."""
        logger.info("Started")
        self._leadership.start(is_alive=self._is_moving, wake=self._wake)
        try:
            while not self._stopping:
                self.turn()
        finally:
            self._close_stream()
            self._publisher.close()
            self._leadership.stop()
        logger.info("Stopped")

    def stop(self) -> None:
        """End `run` soon; a signal handler or any thread may call this."""
        self._stopping = True
        self._wake()

    def give_way(self) -> None:
        """Let another listener lead although this one does not come to an end."""
        self._leadership.stop()

    def turn(self) -> None:
        """Do what is due, then take one message, or wait for the next thing that will be due."""
        self._turned_at = self._clock()
        self._follow_leadership()
        self._tend_cache_if_due()
        if self._term is not None:
            self._subscribe()
            self._fetch_if_due()
            self._upkeep.keep_memory()
        self._tell(Turned())
        try:
            letter = self._inbox.get(timeout=max(self._due() - self._clock(), 0.0))
        except Empty:
            return
        if letter and not self._stopping:
            self._open(letter)

    def _tend_cache_if_due(self) -> None:
        if self._clock() >= self._tend_at:
            self._tend_at = self._clock() + TEND_SECONDS
            self._upkeep.tend() if self._term is not None else self._upkeep.follow()

    def _due(self) -> float:
        is_waiting = self._fetching or self._term is None
        return self._tend_at if is_waiting else min(self._tend_at, self._schedule.due())

    def _wake(self) -> None:
        self._inbox.put(None)

    def _is_moving(self) -> bool:
        return self._clock() - self._turned_at < STUCK_SECONDS

    def _follow_leadership(self) -> None:
        """Begin to lead, or stand by, as the lease says."""
        term = self._leadership.term
        if term is not None and self._leadership.has_standby:
            self._doubt()
        if term != self._term:
            self._stand_by()
            self._term = term
            self._tend_at = -float("inf")
            self._schedule.want(self._clock())
            if term is not None:
                self._tell(BecameLeader())
        self._follow(None if term is not None else self._leadership.leader)

    def _doubt(self) -> None:
        """Let another try where Flagsmith seems to be out of reach; where only the stream is gone, ask the API."""
        if self._failover.is_in_doubt and not self._fetching:
            self._schedule.want(self._clock())
        if self._failover.is_hopeless(self._clock()):
            self._failover = self._failover.give_way()
            self._leadership.offer()

    def _follow(self, leader: str | None) -> None:
        if leader and leader != self._followed:
            self._tell(StoodBy(leader))
        self._followed = leader

    def _stand_by(self) -> None:
        self._close_stream()
        self._upkeep.stand_by()
        self._failover = Failover(patience=self._failover.patience)
        self._schedule.stand_by(self._clock())

    def _close_stream(self) -> None:
        if self._reader:
            self._reader.stop()
        self._reader = None

    def _open(self, letter: Letter) -> None:
        """Take a message, unless it is of a term that is over."""
        term, message = letter
        if isinstance(message, (Document, FlagsmithError)):
            self._fetching = False
        if term is not None and term == self._term == self._leadership.term:
            self._take(message)

    def _take(self, message: Message | Document | FlagsmithError) -> None:
        match message:
            case Connected():
                self._failover = self._failover.connect()
                self._schedule.connect(self._clock())
                self._tell(StreamConnected())
            case EnvironmentUpdated(time):
                is_new = self._schedule.announce(time, self._clock())
                self._tell(EventTaken(is_new))
                if is_new:
                    self._upkeep.notice()
            case Disconnected():
                self._take_disconnected(message)
            case Document():
                self._take_document(message)
            case FlagsmithError():
                self._take_failure(message)

    def _take_disconnected(self, message: Disconnected) -> None:
        self._failover = self._failover.lose_stream(self._clock(), message.error)
        self._schedule.disconnect(self._clock(), clean=message.error is None)
        self._tell(StreamDisconnected(message.error, message.is_routine))

    def _take_document(self, document: Document) -> None:
        self._failover = self._failover.reach()
        took, is_told = self._clock() - self._asked_at, document.realtime_enabled or not self._open_stream
        self._tell(Fetched(took, is_told))
        self._upkeep.take(document)

    def _take_failure(self, error: FlagsmithError) -> None:
        self._failover = self._failover.fail(self._clock(), error)
        self._schedule.fail(self._clock(), retry_after=error.retry_after if isinstance(error, HttpError) else None)
        self._tell(FetchFailed(error))

    def _subscribe(self) -> None:
        """Open the stream as soon as its key is known."""
        if self._reader or not self._open_stream:
            return
        published = self._upkeep.published
        if key := self._stream_key or (published and published.environment.api_key):
            self._reader = StreamReader(self._open_stream(key), partial(self._deliver, self._term))
            self._reader.start()

    def _fetch_if_due(self) -> None:
        if not self._fetching and self._schedule.due() <= self._clock():
            self._fetching, self._asked_at = True, self._clock()
            self._upkeep.begin_request()
            self._schedule.begin(self._clock())
            threading.Thread(target=self._fetch, args=(self._term,), name="flagsmith-fetch", daemon=True).start()

    def _fetch(self, term: int | None) -> None:
        self._deliver(term, self._try_to_fetch())

    def _try_to_fetch(self) -> Document | FlagsmithError:
        try:
            return self._publisher.fetch()
        except FlagsmithError as error:
            return error
        except Exception as error:  # a bug must not end the updates
            logger.exception("Fetching failed in an unexpected way")
            return FlagsmithError(f"Fetching failed: {type(error).__name__}.")

    def _deliver(self, term: int | None, message: Message | Document | FlagsmithError) -> None:
        self._inbox.put((term, message))
