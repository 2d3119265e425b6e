"""What reads and updates cost, in counts that are the same on every machine: a change that doubles one fails here."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse

import django_flagsmith_realtime
from benchmarks.documents import MEDIUM, OVERRIDDEN, OVERRIDE, PLAIN, make_body
from django_flagsmith_realtime import Identity, flags_scope, get_flags
from django_flagsmith_realtime.environment.diff import diff
from django_flagsmith_realtime.environment.snapshot import Document, Environment, parse_document
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from django_flagsmith_realtime.reading.reader import get_reader
from tests.support.documents import configured_store
from tests.support.processes import RedisServer
from tests.support.sources import FakeSource

PACKAGE = str(Path(django_flagsmith_realtime.__file__).parent)
OVERHEAD = {"info", "hello", "client|setinfo"}  # commands of connecting, and of asking for the counters


def instructions(function: Callable[[], object]) -> int:
    """Return how many of Python's instructions in this package a call takes, the second time."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    for _ in range(2):  # Python 3.12 gives no instructions to the first who asks for them
        count = 0
        sys.settrace(trace)
        try:
            function()
        finally:
            sys.settrace(before)
    return count


def document(revision: int = 0) -> Document:
    return parse_document(json.loads(make_body(MEDIUM, revision)))


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


SOMEBODY = Identity("somebody", {"plan": "free"})
READS: dict[str, tuple[Callable[[], object], int]] = {
    "another flag": (lambda: get_flags().is_feature_enabled(PLAIN), 32),
    "another value": (lambda: get_flags().get_feature_value(PLAIN, ""), 45),
    "the first flag of a request": (lambda: get_flags(HttpRequest()).is_feature_enabled(PLAIN), 122),
    "an identity's": (lambda: get_flags(HttpRequest(), identity=SOMEBODY).is_feature_enabled(PLAIN), 199),
    "an identity's own": (lambda: get_flags(HttpRequest(), identity=Identity(OVERRIDDEN)).get_flag(OVERRIDE), 321),
    "a page without flags": (lambda: FlagsmithMiddleware(page)(HttpRequest()), 67),
}
BODY = json.loads(make_body(MEDIUM))
ENVIRONMENT, NEXT = document().environment, document(1).environment
UPDATES: dict[str, tuple[Callable[[], object], int]] = {
    "a body that is parsed": (lambda: parse_document(BODY), 81_800),
    "its version": (lambda: Environment(ENVIRONMENT.document).version, 27_400),
    "its payload, which a reader adopts": (lambda: Environment.from_payload(ENVIRONMENT.payload), 7_850),
    "changes that are found": (lambda: diff(ENVIRONMENT, NEXT), 9_230),
}


@pytest.fixture
def _held(settings: Any) -> Iterator[None]:
    """Let this process hold a snapshot that it need not ask the cache for."""
    settings.FLAGSMITH = {**settings.FLAGSMITH, "FRESHNESS": 3_600}
    configured_store().publish(document(), after=None)
    with flags_scope():
        assert get_flags().snapshot
        yield


def check(read: Callable[[], object], usual: int) -> None:
    """Allow for Python's versions, which differ by a quarter, and for no doubling."""
    assert usual / 1.6 < instructions(read) < usual * 1.6


@pytest.mark.usefixtures("_held")
@pytest.mark.parametrize("name", READS)
def test_instructions_of_a_read(name: str) -> None:
    check(*READS[name])


@pytest.mark.parametrize("name", UPDATES)
def test_instructions_of_an_update(name: str) -> None:
    check(*UPDATES[name])


def test_bytes_in_the_cache() -> None:
    assert len(ENVIRONMENT.payload) < 3_500


def commands(server: RedisServer, before: Counter[str]) -> dict[str, int]:
    found = Counter(server.commands()) - before
    return {name: count for name, count in found.items() if name not in OVERHEAD}


def test_operations_of_the_cache(redis_server: RedisServer, settings: Any) -> None:
    settings.CACHES = {"default": redis_server.cache()}
    opened = redis_server.info("stats")["total_connections_received"]
    publisher = Publisher(source=FakeSource(map(document, count(1)).__next__), store=configured_store())
    publisher.refresh()
    publisher.refresh()  # the first change reads what is kept of those before
    get_reader().current()
    before = Counter(redis_server.commands())
    assert publisher.refresh()
    assert commands(redis_server, before) == {"get": 4, "set": 4, "expire": 1, "persist": 1}
    before = Counter(redis_server.commands())
    get_reader().current()
    assert commands(redis_server, before) == {"get": 2}
    before = Counter(redis_server.commands())
    get_reader().current()
    assert commands(redis_server, before) == {"get": 1}
    assert redis_server.info("stats")["total_connections_received"] - opened <= 9  # two, and seven to count
