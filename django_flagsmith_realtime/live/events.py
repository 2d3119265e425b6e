"""What the open streams of a process send: one task per event loop reads the head once a second, and sends to all."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context
from functools import lru_cache, partial
from math import inf
from weakref import WeakKeyDictionary

from ..compat import abort_request
from ..conf import get_read_config
from ..environment.snapshot import Head
from ..exceptions import StoreError
from ..reading.reader import RETRY_SECONDS, WAIT_SECONDS, Reader, get_reader
from ..storage.store import Store
from .shutdown import calls_on_signal

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two reads of the head: one small key per process, however many streams are open

# A page asks for its flags as soon as it is notified. So N pages ask over N/1000 s; one process serves a few hundred
# such requests per second.
NOTIFIED_PER_SECOND = 1_000
SLICE_SECONDS = 0.02  # between two slices of the clients that are due: 20 clients at this rate

REPEAT_SECONDS = 2.0  # Flagsmith's JavaScript client drops an event that comes while it loads: it gets each time twice
PING_SECONDS = 15.0  # as often as Flagsmith's stream service; proxies close what is silent for 30 to 60 s
UNREAD_SECONDS = 60.0  # a client that has not read what waits for it for so long is gone, or blocked
COUNTED_SECONDS = 10.0  # between two times that the number of streams is stored, for metrics
END_SECONDS = 5.0  # for all streams to send their last bytes when the process ends: 1,000 take 0.1 s
RETURN_SECONDS = (1.0, 10.0)  # at random: the clients of a process that ends come back over this long
MAX_OTHERS = 500  # environments whose times are read in one look, those with the most streams first

PING = b": ping\r\n\r\n"


def notification(head: Head) -> str:
    """Return the JSON that tells an OFREP client, or a page, to ask for its flags again."""
    changed_at = head.changed_at / 1_000_000
    return json.dumps({"type": "refetchEvaluation", "etag": str(head.sequence), "lastModified": changed_at})


@lru_cache(maxsize=1)
def page_event(head: Head) -> bytes:
    """Return the event of `ofrep/v1/stream`."""
    return f"id: {head.sequence}\r\nevent: message\r\ndata: {notification(head)}\r\n\r\n".encode()


@lru_cache(maxsize=MAX_OTHERS)
def environment_event(changed_at: int) -> bytes:
    """Return the event of Flagsmith's stream service, with a time in microseconds."""
    data = json.dumps({"updated_at": changed_at / 1_000_000})
    return f"event: environment_updated\r\ndata: {data}\r\nretry: 15000\r\n\r\n".encode()


def retry_event(between: tuple[float, float] = RETURN_SECONDS) -> bytes:
    """Return what lets a client wait for some seconds, at random, before it connects again. No event comes of it."""
    return f"retry: {round(random.uniform(*between) * 1_000)}\r\n\r\n".encode()


class Subscriber:
    """An open stream. What waits to be sent is replaced by what comes later: the client needs the latest only.

    `key` names the environment whose times it gets; None stands for the notifications of ours.
    """

    __slots__ = (
        "_wakeup",
        "is_dropped",
        "is_last",
        "key",
        "repeat_at",
        "sent",
        "sent_at",
        "task",
        "waiting",
        "waiting_since",
    )

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.sent: bytes | None = None  # the last event: neither a ping nor `retry:`
        self.sent_at = self.waiting_since = 0.0
        self.repeat_at: float | None = None
        self.waiting: bytes | None = None
        self.is_last = False  # the stream ends with what waits
        self.is_dropped = False  # its client does not read
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
        while self.waiting is None:
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup
        message, self.waiting, self._wakeup = self.waiting, None, None
        return message


class Fanout:
    """The open streams of one event loop.

    One task sends to all of them while there are any. A stream has no timer and no task of its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_ended = False
        self._clock = clock
        self._name = secrets.token_hex(8)
        self._count_due = -inf
        self._subscribers: set[Subscriber] = set()
        self._head: Head | None = None  # the one that clients are notified of
        self._next: tuple[Head | None, float] = None, 0.0  # the latest one, and when they may be
        self._ours: Mapping[str | None, bytes] = {}  # what each kind of stream should have sent
        self._others: Mapping[str | None, bytes] = {}
        self._reading: asyncio.Future[dict[str, int]] | None = None
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
        except GeneratorExit:
            if subscriber.is_dropped:
                abort_request()
            raise
        finally:
            self._subscribers.discard(subscriber)

    async def look(self) -> Head | None:
        """Read the head, and return the one that clients are notified of; note what our streams should have sent.

        Clients are notified when no process answers with the flags of before any more: after `FRESHNESS`, and after the
        time in which one that could not reach the cache asks it again.
        """
        config = get_read_config()
        reader = get_reader(config)
        pause = max(config.freshness, RETRY_SECONDS if reader.is_failing else 0.0)
        snapshot = await reader.acurrent(min(config.freshness, LOOK_SECONDS))
        if snapshot is None:
            return None
        if self._next[0] != snapshot.head:
            self._next = snapshot.head, self._clock() + pause
        head, wait = snapshot.head, self._next[1] - self._clock()
        if wait > LOOK_SECONDS:
            return self._head  # a later look does it
        await asyncio.sleep(wait)
        key = config.stream_key or snapshot.environment.api_key
        self._head, self._ours = head, {None: page_event(head), key: environment_event(head.changed_at)}
        return head

    def latest(self, key: str | None) -> bytes | None:
        """Return the latest event of a stream; None where none is known."""
        return self._ours.get(key) or self._others.get(key)

    def due(self, now: float) -> list[tuple[Subscriber, bytes]]:
        """Return whom to send what within the next second, changes first."""
        changed, pings = [], []
        for subscriber in self._subscribers:
            latest, repeat_at = self.latest(subscriber.key), subscriber.repeat_at
            if latest and (latest != subscriber.sent or (repeat_at and repeat_at <= now)):
                changed.append((subscriber, latest))
            elif now - subscriber.sent_at >= PING_SECONDS:
                pings.append((subscriber, PING))
        random.shuffle(changed)
        return (changed + pings)[: round(NOTIFIED_PER_SECOND * LOOK_SECONDS)]

    def send(self, subscriber: Subscriber, message: bytes) -> None:
        """Send a message; a new time is due once more two seconds later."""
        if subscriber.is_last or (message is PING and subscriber.waiting):
            return
        now = self._clock()
        if message is not PING:
            is_new_time = subscriber.key is not None and message != subscriber.sent
            subscriber.repeat_at = now + REPEAT_SECONDS if is_new_time else None
            subscriber.sent = message
        subscriber.put(message, now)

    def end(self) -> None:
        """End all streams, and those that begin later at once: their clients come back over some seconds."""
        self.is_ended = True
        for subscriber in self._subscribers:
            subscriber.is_last = True
            subscriber.put(retry_event(), self._clock())
        asyncio.get_running_loop().call_later(END_SECONDS, self.drop_unread, self._clock(), 0.0)

    def drop_unread(self, now: float, unread_seconds: float = UNREAD_SECONDS) -> None:
        """End the streams whose clients have not read what waits for them, as if they had disconnected."""
        for subscriber in self._subscribers:
            if subscriber.waiting and subscriber.task and now - subscriber.waiting_since >= unread_seconds:
                subscriber.is_dropped = True
                subscriber.task.cancel()

    async def _run(self) -> None:
        try:
            with calls_on_signal(self.end):
                while self._subscribers:
                    began = self._clock()
                    try:
                        await self._turn(began)
                    except Exception:
                        logger.exception("Sending flag changes to open streams failed in an unexpected way")
                    await asyncio.sleep(max(began + LOOK_SECONDS - self._clock(), SLICE_SECONDS))
        finally:
            self._task = None  # it would keep its event loop, which may have ended

    async def _turn(self, now: float) -> None:
        config = get_read_config()
        await self.look()
        if config.realtime_token:  # else nothing is known of other environments
            await self._look_at_others(get_reader(config))
        if now >= self._count_due:
            self._count_due = now + COUNTED_SECONDS
            get_reader(config).run_in_reading_thread(partial(self._store_count, get_reader(config).store, len(self)))
        self.drop_unread(now)
        due, size = self.due(now), round(NOTIFIED_PER_SECOND * SLICE_SECONDS)
        for start in range(0, len(due), size):
            for subscriber, message in due[start : start + size]:
                self.send(subscriber, message)
            await asyncio.sleep(SLICE_SECONDS)

    def _store_count(self, store: Store, count: int) -> None:
        with suppress(StoreError):  # which the reader logs
            store.write_open_streams(self._name, count)

    async def _look_at_others(self, reader: Reader) -> None:
        """Read the times of the other environments that streams are open for, which `queue-change` has stored."""
        counts = Counter(subscriber.key for subscriber in self._subscribers)
        keys = [key for key, _ in counts.most_common() if key is not None and key not in self._ours][:MAX_OTHERS]
        if not keys:
            return
        if self._reading is None:
            self._reading = reader.run_in_reading_thread(lambda: reader.store.read_stream_times(keys))
        await asyncio.wait([self._reading], timeout=WAIT_SECONDS)
        if self._reading.done():
            reading, self._reading = self._reading, None
            with suppress(StoreError):  # which the reader logs
                self._others = {key: environment_event(time) for key, time in reading.result().items()}


_fanouts: WeakKeyDictionary[asyncio.AbstractEventLoop, Fanout] = WeakKeyDictionary()


def get_fanout() -> Fanout:
    """Return the fan-out of the event loop that runs."""
    return _fanouts.setdefault(asyncio.get_running_loop(), Fanout())
