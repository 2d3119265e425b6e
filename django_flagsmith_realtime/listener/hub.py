"""Posts a message for each change to `HUB`, the pub/sub server from which open pages stream in place of Django."""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from ..environment.snapshot import Head
from ..exceptions import HttpError, UnexpectedAnswer
from ..live.events import notification
from .backoff import Backoff
from .event_log import Outage
from .http import TRANSPORT_ERRORS, HttpClient, describe, read_retry_after

SETTING = "FLAGSMITH['HUB']"
# nchan answers when it has written to the last page: after 0.04 s at 2,000 pages, 0.17 s at 9,000, so 2 s at 100,000.
POST_SECONDS = 10.0
# A process that ends, as `flagsmith_listen --once` does, waits this long for its last message: a stop takes no longer.
EXIT_SECONDS = 1.0
# A hub that restarts is back within seconds. One that was away for long gets its message within half a minute.
RETRY = Backoff(first=0.5, limit=30.0, least=0.5)


@dataclass(frozen=True, eq=False)
class Message:
    """A text for the hub; `was_tried` is set once it was accepted or refused."""

    url: str
    text: str
    was_tried: threading.Event = field(default_factory=threading.Event)


class Hub:
    """Posts messages in a thread of its own, each until the hub accepts it or a later one takes its place."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._latest: Message | None = None

    def post(self, url: str, text: str) -> None:
        """Have a text posted; this doesn't wait."""
        if not (self._thread and self._thread.is_alive()):  # the first one, or this process was forked since
            self._queue: SimpleQueue[Message | None] = SimpleQueue()
            self._thread = threading.Thread(target=_deliver, args=(self._queue,), name="flagsmith-hub", daemon=True)
            self._thread.start()
        self._latest = Message(url, text)
        self._queue.put(self._latest)

    def finish(self) -> None:
        """Wait until the latest message was tried, but not for long, and try no more."""
        if self._latest and self._thread and self._thread.is_alive():
            self._latest.was_tried.wait(EXIT_SECONDS)
            self._queue.put(None)
        self._thread = None


def _deliver(queue: SimpleQueue[Message | None]) -> None:
    """Post the latest message; try again after an error. A message is a hint, so the ones before it don't count."""
    client = HttpClient({"Content-Type": "application/json"}, setting=SETTING)
    outage, retry = Outage(time.monotonic), RETRY
    delay: float | None = None
    message = queue.get()
    while message:
        try:
            _post(client, message)
        except HttpError as error:
            outage.begin("Flagsmith hub: %s Trying again; pages see a change when they are loaded.", error)
            delay, retry = retry.next(floor=error.retry_after or 0.0)
        else:
            outage.end("Flagsmith hub: works again after %.0f s")
            delay, retry = None, RETRY
        message.was_tried.set()
        with suppress(Empty):
            message = queue.get(timeout=delay)
            while message:
                message = queue.get_nowait()


def _post(client: HttpClient, message: Message) -> None:
    """Post a message; raise `HttpError` where the hub does not accept it. What it answers besides is not read."""
    try:
        with (
            client.within(POST_SECONDS, server="The hub"),
            client.post(message.url, message.text, timeout=POST_SECONDS) as answer,
        ):
            if not 200 <= answer.status_code < 300:  # nchan: 201 where a page is connected, else 202
                raise UnexpectedAnswer(
                    f"The hub answered with status {answer.status_code}: check PUBLISH_URL in {SETTING}.",
                    retry_after=read_retry_after(answer.headers.get("Retry-After")),
                )
    except TRANSPORT_ERRORS as error:
        raise describe(error, message.url, f"PUBLISH_URL in {SETTING}") from None


_hub = Hub()
atexit.register(_hub.finish)


def post(url: str, head: Head) -> None:
    """Have a message about a version posted to a hub; this doesn't wait."""
    _hub.post(url, notification(head))
