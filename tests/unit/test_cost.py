"""What an update and a read cost, in counts that are the same on every machine: a change that doubles one fails here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

from benchmarks.documents import MEDIUM, make_body
from django_flagsmith_realtime.environment.snapshot import Document, parse_document
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.reading.reader import get_reader
from tests.support.documents import configured_store
from tests.support.processes import RedisServer
from tests.support.sources import FakeSource

OVERHEAD = {"info", "hello", "client|setinfo"}  # commands of connecting, and of asking for the counters


def document(revision: int = 0) -> Document:
    return parse_document(json.loads(make_body(MEDIUM, revision)))


def test_bytes_in_the_cache() -> None:
    assert len(document().environment.payload) < 3_500


def test_operations_of_the_cache_and_connections(redis_server: RedisServer, settings: Any) -> None:
    settings.CACHES = {"default": redis_server.cache()}
    opened = redis_server.info("stats")["total_connections_received"]
    read = get_reader().current
    publisher = Publisher(source=FakeSource(map(document, count(1)).__next__), store=configured_store())
    publisher.refresh()
    publisher.refresh()  # the first change reads the history too, which is empty
    read()

    def commands(action: Callable[[], object]) -> dict[str, int]:
        before = Counter(redis_server.commands())
        assert action()
        return {
            name: times for name, times in (Counter(redis_server.commands()) - before).items() if name not in OVERHEAD
        }

    assert commands(publisher.refresh) == {"get": 4, "set": 4, "expire": 1, "persist": 1}
    assert commands(read) == {"get": 2}, "the head, and the payload that it names"
    assert commands(read) == {"get": 1}, "the head"
    to_count = 7
    assert redis_server.info("stats")["total_connections_received"] - opened == to_count + 2, (
        "a writer's and a reader's"
    )
