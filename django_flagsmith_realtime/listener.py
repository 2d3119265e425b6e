"""The loop that keeps the cache in step with Flagsmith: `run()` is `while not stopping: turn()`.

The stream's reader and each fetch have a thread of their own and report to one inbox, so that neither can hold
up the turn, nor a stop. Everything else, signals included, happens in the turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from .agenda import Agenda, Budget
from .backoff import Backoff
from .conf import Config
from .exceptions import FlagsmithError, HttpError, Overtaken, StoreError
from .reception import NEVER
from .refresh import Refresher, Update, build_refresher
from .report import Report
from .snapshot import Document
from .snapshot_file import SnapshotFileError
from .stream import Connected, Disconnected, EnvironmentUpdated, Message, Stream, StreamReader

logger = logging.getLogger(__name__)

FILE_SECONDS = 0.5  # between looks at a file that is edited by hand
TEND_SECONDS = 2.0  # between looks at what is stored


class Listener:
    """Keeps the published snapshot in step with Flagsmith.

    `open_stream` takes the key of the environment and returns its stream; None: poll only.
    `stream_key` is that key where it is known from the start, else the published document tells it.
    """

    def __init__(
        self,
        *,
        refresher: Refresher,
        agenda: Agenda,
        open_stream: Callable[[str], Stream] | None,
        stream_key: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refresher = refresher
        self._agenda = agenda
        self._open_stream = open_stream
        self._stream_key = stream_key
        self._clock = clock
        self._report = Report(clock)
        self._inbox: SimpleQueue[Message | Document | FlagsmithError | None] = SimpleQueue()
        self._reader: StreamReader | None = None
        self._fetching = False
        self._stopping = False
        self._unpublished: Document | None = None  # believed, and not in the cache yet
        self._tend_at = -float("inf")
        self._resumed = False
        self._cache_works = True  # as far as the last step can tell
        self._kept: object = None  # what the cache holds of the agenda's memory

    def run(self) -> None:
        """Listen until `stop` is called."""
        logger.info("Started")
        try:
            while not self._stopping:
                self.turn()
        finally:
            if self._reader:
                self._reader.stop()
            self._refresher.close()
        logger.info("Stopped")

    def stop(self) -> None:
        """End `run` soon; a signal handler or any thread may call this."""
        self._stopping = True
        self._inbox.put(None)

    def turn(self) -> None:
        """Do what is due, then take one message, or wait for the next thing that will be due."""
        self._tend_cache_if_due()
        self._subscribe()
        self._fetch_if_due()
        self._keep_memory()
        self._report.settle()
        due = self._tend_at if self._fetching else min(self._tend_at, self._agenda.due())
        try:
            message = self._inbox.get(timeout=max(due - self._clock(), 0.0))
        except Empty:
            return
        if message is not None and not self._stopping:
            self._take(message)

    def _take(self, message: Message | Document | FlagsmithError) -> None:
        match message:
            case Connected():
                self._agenda.connect(self._clock())
                self._report.connected()
            case EnvironmentUpdated(time):
                if self._agenda.announce(time, self._clock()):
                    self._report.noticed()
            case Disconnected():
                self._take_disconnected(message)
            case Document():
                self._fetching = False
                self._take_document(message)
            case FlagsmithError():
                self._fetching = False
                self._take_failure(message)

    def _take_disconnected(self, message: Disconnected) -> None:
        self._agenda.disconnect(self._clock(), clean=message.error is None)
        if message.error or not message.is_routine:
            self._report.disconnected(message.error)

    def _take_document(self, document: Document) -> None:
        self._report.fetched(realtime_enabled=document.realtime_enabled or not self._open_stream)
        believed = self._agenda.believe(document, self._refresher.published, self._clock())
        waiting = self._unpublished
        if believed and (waiting is None or document.updated_at >= waiting.updated_at):
            self._unpublished = document
            self._store(self._publish)
        else:
            self._agenda.spend(self._clock())

    def _take_failure(self, error: FlagsmithError) -> None:
        self._agenda.fail(self._clock(), retry_after=error.retry_after if isinstance(error, HttpError) else None)
        self._report.failed(error)

    def _tend_cache_if_due(self) -> None:
        """Look after what is stored: publish what could not be, put back what is gone."""
        if self._clock() >= self._tend_at:
            self._tend_at = self._clock() + TEND_SECONDS
            if self._unpublished:  # before this one takes over: what it finds then is newer than what it fetched before
                self._store(self._publish)
            self._store(self._repair if self._resumed else self._resume)

    def _store(self, step: Callable[[], None]) -> None:
        """Take a step that needs the cache; what fails is tried again when the cache is tended."""
        try:
            step()
        except StoreError as error:
            self._cache_works = False
            self._report.failed(error)
            return
        except Overtaken:
            self._unpublished = None
            self._agenda.want(self._clock())
        self._cache_works = True
        if not self._unpublished:
            self._report.stored()

    def _publish(self) -> None:
        assert self._unpublished
        update = self._refresher.publish(self._unpublished)
        self._unpublished = None
        self._save()
        if update:
            self._report.updated(update)
        else:
            self._agenda.spend(self._clock())
            self._report.unchanged(self._refresher.published)
        self._doubt_stream(update)

    def _save(self) -> None:
        try:
            self._refresher.save()
        except SnapshotFileError as error:
            logger.warning("%s", error)

    def _doubt_stream(self, update: Update | None) -> None:
        """Poll more often where a poll found what a stream that is open should have told."""
        reception = self._agenda.reception
        is_change = update and update.previous and update.changes
        if is_change and reception.was_listening and not reception.is_silent:
            reception.is_silent = True
            self._report.deaf("A change came without an event: the project's real-time updates seem to be off")

    def _resume(self) -> None:
        """Go on where the listener before this one ended."""
        self._refresher.resume()
        pending, seen = self._refresher.store.read_events()
        self._agenda.recall(pending, seen, self._clock())
        self._resumed = True

    def _keep_memory(self) -> None:
        """Keep what is known of announced times where the next listener finds it."""
        if self._resumed and self._cache_works and self._agenda.memory != self._kept:
            self._store(self._write_memory)

    def _write_memory(self) -> None:
        memory = self._agenda.memory
        self._refresher.store.write_events(*memory)
        self._kept = memory

    def _repair(self) -> None:
        self._kept = self._refresher.store.read_events()
        if self._refresher.repair():
            self._report.repaired()

    def _subscribe(self) -> None:
        """Open the stream as soon as its key is known."""
        if self._reader or not self._open_stream:
            return
        published = self._refresher.published
        if key := self._stream_key or (published and published.environment.api_key):
            self._reader = StreamReader(self._open_stream(key), self._inbox.put)
            self._reader.start()

    def _fetch_if_due(self) -> None:
        if not self._fetching and self._agenda.due() <= self._clock():
            self._fetching = True
            self._agenda.begin(self._clock())
            threading.Thread(target=self._fetch, name="flagsmith-fetch", daemon=True).start()

    def _fetch(self) -> None:
        try:
            self._inbox.put(self._refresher.fetch())
        except FlagsmithError as error:
            self._inbox.put(error)
        except Exception as error:  # a bug must not end the updates
            logger.exception("Fetching failed in an unexpected way")
            self._inbox.put(FlagsmithError(f"Fetching failed: {type(error).__name__}."))


def build_listener(config: Config) -> Listener:
    """Return the listener that the settings describe."""
    if not config.environment_key:
        return build_file_listener(config)
    realtime_url = config.realtime_url

    def open_stream(key: str) -> Stream:
        return Stream(realtime_url=realtime_url or "", key=key, timeout=config.stream_timeout, headers=config.headers)

    agenda = Agenda(
        poll_interval=config.poll_interval,
        fallback_poll_interval=config.fallback_poll_interval if realtime_url else config.poll_interval,
        now=time.monotonic(),
    )
    return Listener(
        refresher=build_refresher(config),
        agenda=agenda,
        open_stream=open_stream if realtime_url else None,
        stream_key=config.stream_key,
    )


def build_file_listener(config: Config) -> Listener:
    """Return the listener that watches the file which is edited in place of an account with Flagsmith."""
    agenda = Agenda(
        poll_interval=FILE_SECONDS,
        fallback_poll_interval=FILE_SECONDS,
        budget=Budget(capacity=NEVER),
        retry=Backoff(first=FILE_SECONDS, limit=FILE_SECONDS, least=1.0),
        holds_back=False,
        now=time.monotonic(),
    )
    return Listener(refresher=build_refresher(config), agenda=agenda, open_stream=None)
