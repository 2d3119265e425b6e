"""The subscription to Flagsmith's server-sent events: one connection's life, and the reader that renews it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urljoin

from ..environment.timestamps import parse_time
from ..exceptions import HttpError, TimedOut, UnexpectedAnswer
from ..storage.announcements import Announcement
from . import backoff
from .backoff import Backoff
from .events import StreamConnected, StreamDisconnected
from .http import TRANSPORT_ERRORS, HttpClient, check_status, describe
from .sse import EventFramer

logger = logging.getLogger(__name__)

CHUNK = 64 * 1024  # bytes
ANSWER_SECONDS = 10.0  # for the answer's headers: as long as REQUEST_TIMEOUT allows a document by default
LIVED_SECONDS = 10.0  # Flagsmith ends a stream after 30 s: one that lived this long was not cut off by a fault
MAX_EVENTS_PER_SECOND = 100  # Flagsmith's service asks for news once a second, and sends the latest time
MAX_RETRY_DIGITS = 6  # of `retry:`, milliseconds: 17 minutes at most
SETTING = "FLAGSMITH['REALTIME_URL']"
KEY_REMEDY = "check FLAGSMITH['STREAM_KEY'] and FLAGSMITH['REALTIME_URL']."


Message = StreamConnected | Announcement | StreamDisconnected


class Stream:
    """`GET {realtime_url}sse/environments/{key}/stream`. `timeout`: seconds without a complete line."""

    def __init__(self, key: str, *, realtime_url: str, timeout: float, headers: Mapping[str, str]) -> None:
        self._url = urljoin(realtime_url, f"sse/environments/{quote(key, safe='')}/stream")
        self._timeout = timeout
        # With gzip, which requests asks for by default, Flagsmith's service holds events back until the stream ends.
        self._client = HttpClient(
            {**headers, "Accept": "text/event-stream", "Accept-Encoding": "identity"}, setting=SETTING
        )
        self.retry = 0.0  # seconds, the server's last `retry:`

    def listen(self) -> Iterator[StreamConnected | Announcement]:
        """Connect, and yield what happens until the stream ends; raise `HttpError` unless that is clean."""
        try:
            with self._client.within(ANSWER_SECONDS):
                response = self._client.get(self._url, timeout=self._timeout)
            with response:
                check_status(response, SETTING, KEY_REMEDY)
                content_type = response.headers.get("Content-Type", "")
                if content_type.partition(";")[0].strip().lower() != "text/event-stream":
                    raise UnexpectedAnswer(
                        f"{SETTING} answers with {content_type[:80] or 'no content type'!r}, not with an event stream."
                    )
                yield StreamConnected()
                yield from self._read(response.raw)
        except TRANSPORT_ERRORS as error:
            raise describe(error, self._url, SETTING) from None  # what it was made from holds the stream's key

    def interrupt(self) -> None:
        """End the connection under way and all to come; any thread may call this."""
        self._client.close()

    def _read(self, raw: Any) -> Iterator[Announcement]:
        framer = EventFramer()
        latest: deque[float] = deque(maxlen=MAX_EVENTS_PER_SECOND)  # when each of these came
        lines, deadline = 0, time.monotonic() + self._timeout
        while chunk := raw.read1(CHUNK, decode_content=True):
            for event in framer.feed(chunk):  # also None, for a comment or an event without data
                now = time.monotonic()
                if len(latest) == latest.maxlen and now - latest[0] < 1:
                    raise UnexpectedAnswer(
                        f"The stream sent more than {MAX_EVENTS_PER_SECOND} events within a second: check {SETTING}."
                    )
                latest.append(now)
                if event is None:
                    continue
                retry = event.retry or ""
                if retry.isascii() and retry.isdigit() and len(retry) <= MAX_RETRY_DIGITS:
                    self.retry = int(retry) / 1000
                if event.event in ("environment_updated", "message"):
                    yield Announcement(read_event_time(event.data))
            if framer.lines > lines:
                lines, deadline = framer.lines, time.monotonic() + self._timeout
            if (patience := deadline - time.monotonic()) <= 0:
                raise TimedOut(f"The stream sent no complete line for {self._timeout:g} s.")
            self._client.limit_wait(patience)


def read_event_time(data: str) -> int | None:
    """Return the `updated_at` of an event's data in microseconds; None where there is no time to read."""
    try:
        return parse_time(json.loads(data, parse_float=Decimal)["updated_at"])
    except (ValueError, TypeError, KeyError, RecursionError, ArithmeticError):
        return None


def next_wait(state: Backoff, error: HttpError | None, lived: float, retry: float) -> tuple[float, Backoff]:
    """Return the seconds to wait after a stream that ended, and the state after; `retry` is what its server said."""
    if lived >= LIVED_SECONDS:
        state = backoff.STREAM
        if error is None:
            return backoff.RENEWAL.next()[0], state
    return state.next(floor=max(retry, (error and error.retry_after) or 0.0))


class StreamReader(threading.Thread):
    """Keeps a stream open and reports what happens to `report`; never reconnects without a wait."""

    def __init__(self, stream: Stream, report: Callable[[Message], None]) -> None:
        super().__init__(name="flagsmith-stream", daemon=True)
        self._stream = stream
        self._report = report
        self._stopping = threading.Event()

    def run(self) -> None:
        state = backoff.STREAM
        while not self._stopping.is_set():
            connected_at: float | None = None
            error: HttpError | None = None
            try:
                for message in self._stream.listen():
                    connected_at = connected_at or time.monotonic()
                    if self._stopping.is_set():
                        break
                    self._report(message)
            except HttpError as failure:
                error = failure
            except Exception as failure:  # a bug must not end the subscription
                logger.exception("The Flagsmith stream failed in an unexpected way")
                error = HttpError(f"The stream failed: {type(failure).__name__}.")
            lived = time.monotonic() - connected_at if connected_at else 0.0
            delay, state = next_wait(state, error, lived, self._stream.retry)
            is_routine = error is None and lived >= LIVED_SECONDS
            self._report(StreamDisconnected(error, is_routine, delay))
            self._stopping.wait(delay)

    def stop(self) -> None:
        """End the thread, also while it waits for the network."""
        self._stopping.set()
        self._stream.interrupt()
