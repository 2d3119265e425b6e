"""One Flagsmith environment: its document, its keys, and the streams that are open on it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import EllipsisType
from typing import NamedTuple

from .channel import Channel
from .counts import Counter, Counts
from .deliveries import Delivery, deliver_in_background
from .document import Document, Value, find_state, updated_at
from .state import State
from .stream import StreamTimes

SERVER_KEY = "ser.demo-only-not-a-secret"
logger = logging.getLogger(__name__)


class UsagePost(NamedTuple):
    """How often flags were read, by name, as posted at a time in seconds since the epoch."""

    at: float
    counts: dict[str, int]


class Environment:
    """Hold the flags and announce their changes."""

    def __init__(self, state: State, *, server_key: str, times: StreamTimes) -> None:
        self.server_key = server_key
        self.times = times
        self.counter = Counter()
        self.deliveries: list[Delivery] = []
        self.usage: list[UsagePost] = []
        self._state = state
        self._channel = Channel()

    @property
    def document(self) -> Document:
        """Return the environment document as it is now."""
        return self._state.document

    @property
    def client_key(self) -> str:
        """Return the client-side key, which is part of the stream's URL."""
        return str(self.document["api_key"])

    @property
    def counts(self) -> Counts:
        """Return the number of requests per route and of open streams."""
        return self.counter.counts

    def channel(self, client_key: str) -> Channel:
        """Return the announcements for a key; as at Flagsmith, an unknown key gets a stream without any."""
        return self._channel if client_key == self.client_key else Channel()

    def add_usage(self, body: bytes) -> None:
        """Note a post of usage figures; as at Flagsmith, what is no count of a known flag is dropped."""
        names = {state["feature"]["name"] for state in self.document["feature_states"]}
        with suppress(ValueError, AttributeError):
            counts = {name: count for name, count in json.loads(body).items() if name in names and type(count) is int}
            self.usage.append(UsagePost(time.time(), counts))
            logger.info("usage: %d reads of %d flags", sum(counts.values()), len(counts))

    def set_flag(self, name: str, *, enabled: bool | None = None, value: Value | EllipsisType = ...) -> bool:
        """Change one flag and announce it; return whether anything changed."""
        before = self.document
        if not self._state.set_flag(name, enabled=enabled, value=value):
            return False
        state = find_state(self.document, name)
        switched = "on" if state["enabled"] else "off"
        value = "" if state["feature_state_value"] is None else f" with {state['feature_state_value']!r}"
        logger.info("%s is %s%s", name, switched, value)
        for delivery in self.deliveries:
            deliver_in_background(delivery, before, self.document, name)
        self._channel.announce(updated_at(self.document))
        if streams := self.counts.open_streams:
            logger.info("stream: announced to %d", streams)
        return True

    @contextmanager
    def open_stream(self, client_key: str) -> Iterator[None]:
        """Count a stream while the block sends it."""
        with self.counter.stream():
            logger.debug("stream opened for %s, %d open", client_key, self.counts.open_streams)
            try:
                yield
            finally:
                logger.debug("stream ended")
