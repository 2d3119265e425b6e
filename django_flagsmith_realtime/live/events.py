"""What the open streams of a process send: one task per event loop reads the head once a second, and sends to all."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from weakref import WeakKeyDictionary

from ..conf import get_read_config
from ..environment.snapshot import Head
from ..reading.reader import get_reader

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two reads of the head: one small key per process, however many streams are open

# Pages ask for their flags 50 ms after they were notified, without a delay of their own. At this rate they are as many
# requests per second as one process serves.
NOTIFIED_PER_SECOND = 1_000
SLICE_SECONDS = 0.02  # between two slices of the clients: a slice is the 20 of them that are due at this rate

REPEAT_SECONDS = 2.0  # Flagsmith's JavaScript client drops an event that comes while it loads: it gets each time twice
PING_SECONDS = 15.0  # as often as Flagsmith's stream service; proxies close what is silent for 30 to 60 s
UNREAD_SECONDS = 60.0  # a client that has not taken what waits for it for so long is gone, or blocked

PING = b": ping\r\n\r\n"


def notification(head: Head) -> str:
    """Return the JSON that tells an OFREP client, or a page, that it should ask for its flags again."""
    changed_at = head.changed_at / 1_000_000
    return json.dumps({"type": "refetchEvaluation", "etag": str(head.sequence), "lastModified": changed_at})


def page_event(head: Head) -> bytes:
    """Return the event of `ofrep/v1/stream`."""
    return f"id: {head.sequence}\r\nevent: message\r\ndata: {notification(head)}\r\n\r\n".encode()


def environment_event(changed_at: int) -> bytes:
    """Return the event of Flagsmith's stream service, with a time in microseconds."""
    data = json.dumps({"updated_at": changed_at / 1_000_000})
    return f"event: environment_updated\r\ndata: {data}\r\nretry: 15000\r\n\r\n".encode()


def retry_event(seconds: float) -> bytes:
    """Return what makes a client wait for some seconds before it connects again; it sees no event."""
    return f"retry: {round(seconds * 1_000)}\r\n\r\n".encode()


class Subscriber:
    """One open stream. What waits to be sent is replaced by what comes later: the client needs the latest only.

    `key` names the environment whose times it gets; None stands for the notifications of ours.
    """

    __slots__ = ("_wakeup", "is_last", "key", "repeat_at", "sent", "sent_at", "task", "waiting", "waiting_since")

    def __init__(self, key: str | None) -> None:
        self.key = key
        self.sent: bytes | None = None  # the last event; pings are none
        self.sent_at = self.waiting_since = 0.0
        self.repeat_at: float | None = None
        self.waiting: bytes | None = None
        self.is_last = False
        self.task = asyncio.current_task()
        self._wakeup: asyncio.Future[None] | None = None

    def put(self, message: bytes, now: float) -> None:
        """Let a message be the next that is sent, instead of one that still waits."""
        if self.waiting is None:
            self.waiting_since = now
        self.waiting, self.sent_at = message, now
        if self._wakeup and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def get(self) -> bytes:
        """Wait for a message."""
        if self.waiting is None:
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup
            self._wakeup = None
        message, self.waiting = self.waiting, None
        assert message is not None
        return message


class Fanout:
    """The open streams of one event loop.

    A task runs while there are any. It has the only timer: a stream costs a slot here, and no look of its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._subscribers: set[Subscriber] = set()
        self._latest: Mapping[str | None, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._subscribers)

    @contextmanager
    def subscribed(self, subscriber: Subscriber) -> Iterator[None]:
        """Send to a subscriber within the block."""
        subscriber.sent_at = self._clock()
        self._subscribers.add(subscriber)
        if self._task is None or self._task.done():
            # In a context of its own: that of the first client's request would be kept as long as the task runs.
            self._task = Context().run(asyncio.get_running_loop().create_task, self._run())
        try:
            yield
        finally:
            self._subscribers.discard(subscriber)

    async def look(self) -> Head | None:
        """Read the head, at most once a second; note what each stream should have sent, and return the head."""
        config = get_read_config()
        snapshot = await get_reader(config).acurrent(LOOK_SECONDS)
        if snapshot is None:
            return None
        own_key = config.stream_key or snapshot.environment.api_key
        self._latest = {None: page_event(snapshot.head), own_key: environment_event(snapshot.head.changed_at)}
        return snapshot.head

    def latest(self, key: str | None) -> bytes | None:
        """Return the latest event of a stream; None where nothing is known."""
        return self._latest.get(key)

    def due(self, now: float) -> list[tuple[Subscriber, bytes]]:
        """Return whom to send what within the next second, in the order in which to do it: changes first."""
        changed, pings = [], []
        for subscriber in self._subscribers:
            latest = self._latest.get(subscriber.key)
            is_repeat_due = subscriber.repeat_at is not None and subscriber.repeat_at <= now
            if latest is not None and (latest != subscriber.sent or is_repeat_due):
                changed.append((subscriber, latest))
            elif now - subscriber.sent_at >= PING_SECONDS:
                pings.append((subscriber, PING))
        random.shuffle(changed)
        return (changed + pings)[: round(NOTIFIED_PER_SECOND * LOOK_SECONDS)]

    def send(self, subscriber: Subscriber, message: bytes) -> None:
        """Send a message; a new time is due again two seconds later."""
        now = self._clock()
        if message is not PING:
            is_new_time = subscriber.key is not None and message != subscriber.sent
            subscriber.repeat_at = now + REPEAT_SECONDS if is_new_time else None
            subscriber.sent = message
        elif subscriber.waiting is not None:  # it has not read what came before
            return
        subscriber.put(message, now)

    def drop_unread(self, now: float) -> None:
        """End the streams whose clients do not read."""
        for subscriber in self._subscribers:
            is_stuck = subscriber.waiting is not None and now - subscriber.waiting_since >= UNREAD_SECONDS
            if is_stuck and subscriber.task:
                subscriber.task.cancel()

    async def _run(self) -> None:
        while self._subscribers:
            began = self._clock()
            try:
                await self.look()
                self.drop_unread(began)
                await self._send_all(self.due(began))
            except Exception:
                logger.exception("Sending to open streams failed in an unexpected way")
            await asyncio.sleep(max(began + LOOK_SECONDS - self._clock(), SLICE_SECONDS))

    async def _send_all(self, due: list[tuple[Subscriber, bytes]]) -> None:
        size = round(NOTIFIED_PER_SECOND * SLICE_SECONDS)
        for start in range(0, len(due), size):
            for subscriber, message in due[start : start + size]:
                self.send(subscriber, message)
            await asyncio.sleep(SLICE_SECONDS)


_fanouts: WeakKeyDictionary[asyncio.AbstractEventLoop, Fanout] = WeakKeyDictionary()


def get_fanout() -> Fanout:
    """Return the fan-out of the event loop that runs."""
    return _fanouts.setdefault(asyncio.get_running_loop(), Fanout())
