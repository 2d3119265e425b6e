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

from .agenda import Agenda
from .conf import Config
from .exceptions import FlagsmithError, HttpError
from .refresh import Refresher, Update, build_refresher
from .snapshot import Document
from .stream import Connected, Disconnected, EnvironmentUpdated, Message, Stream, StreamReader

logger = logging.getLogger(__name__)

LONGEST_WAIT = 60.0  # seconds between turns in which nothing happens


class Outage:
    """Says when something stopped working and when it works again, once each."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._said = ""

    def begin(self, message: str, error: object) -> None:
        if self._since is None:
            self._since = self._clock()
        if self._said != str(error):
            self._said = str(error)
            logger.warning(message, error)

    def end(self, message: str) -> None:
        if self._since is not None:
            logger.info(message, self._clock() - self._since)
        self._since, self._said = None, ""


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
        self._inbox: SimpleQueue[Message | Document | FlagsmithError | None] = SimpleQueue()
        self._reader: StreamReader | None = None
        self._fetching = False
        self._stopping = False
        self._noticed_at: float | None = None  # the first event since the last publish
        self._connected_before = False
        self._is_up_to_date = False
        self._realtime_enabled = True
        self._api_outage = Outage(clock)
        self._stream_outage = Outage(clock)

    def run(self) -> None:
        """Listen until `stop` is called."""
        logger.info("Started")
        try:
            self._load()
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
        self._subscribe()
        self._fetch_if_due()
        wait = LONGEST_WAIT if self._fetching else self._agenda.due() - self._clock()
        try:
            message = self._inbox.get(timeout=min(max(wait, 0.0), LONGEST_WAIT))
        except Empty:
            return
        if message is not None and not self._stopping:
            self._take(message)

    def _load(self) -> None:
        try:
            self._refresher.load()
        except FlagsmithError as error:
            self._api_outage.begin("No update: %s Trying again.", error)

    def _take(self, message: Message | Document | FlagsmithError) -> None:
        match message:
            case Connected():
                self._take_connected()
            case EnvironmentUpdated(time):
                self._noticed_at = self._noticed_at or self._clock()
                self._agenda.announce(time, self._clock())
            case Disconnected(error, delay=delay):
                self._agenda.disconnect(self._clock(), clean=error is None)
                if error or delay > 1:
                    self._stream_outage.begin("Stream: %s Polling until it is back.", error or "it ended at once.")
            case Document():
                self._fetching = False
                self._take_document(message)
            case FlagsmithError():
                self._fetching = False
                self._take_failure(message)

    def _take_connected(self) -> None:
        self._agenda.connect(self._clock())
        self._stream_outage.end("Stream: connected again after %.0f s")
        if not self._connected_before:
            self._connected_before = True
            logger.info("Stream: connected")

    def _take_document(self, document: Document) -> None:
        now = self._clock()
        self._note_realtime(document.realtime_enabled)
        try:
            if self._refresher.has_moved():
                self._refresher.load()
                self._agenda.want(now)
            else:
                self._publish(document, now)
        except FlagsmithError as error:
            self._take_failure(error)

    def _publish(self, document: Document, now: float) -> None:
        believed = self._agenda.believe(document, self._refresher.published, now)
        update = self._refresher.publish(document) if believed else None
        self._api_outage.end("Updates work again after %.0f s")
        if update:
            self._log_update(update)
        else:
            self._agenda.spend(now)
            self._log_up_to_date()

    def _take_failure(self, error: FlagsmithError) -> None:
        self._agenda.fail(self._clock(), retry_after=error.retry_after if isinstance(error, HttpError) else None)
        self._api_outage.begin("No update: %s The flags stay as they are; trying again.", error)

    def _log_update(self, update: Update) -> None:
        self._is_up_to_date = True
        took = f" in {(self._clock() - self._noticed_at) * 1000:.0f} ms" if self._noticed_at else ""
        self._noticed_at = None
        flags = ", ".join(map(str, update.changes.values())) if update.previous else f"{len(update.changes)} flags"
        logger.info("Updated%s to version %s: %s", took, update.snapshot.version[:8], flags or "no flag changed")

    def _log_up_to_date(self) -> None:
        published = self._refresher.published
        if published and not self._is_up_to_date:
            self._is_up_to_date = True
            logger.info("Up to date: version %s, %d flags", published.version[:8], len(published.environment.flags))

    def _note_realtime(self, enabled: bool) -> None:
        if self._realtime_enabled and not enabled and self._open_stream:
            logger.warning(
                "Flagsmith's project has no real-time updates: polling. "
                "Switch them on in Flagsmith under Project Settings; the plan must include them."
            )
        self._realtime_enabled = enabled

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
