"""What reads and updates cost the cache, counted by a real Redis: commands, connections and bytes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from django.test import AsyncClient, Client, override_settings
from flag_engine import engine

from benchmarks.documents import MEDIUM, make_body
from django_flagsmith_realtime import Flags, Identity, get_flags
from django_flagsmith_realtime.environment.snapshot import Document, parse_document
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.live.visible import visible_flags
from django_flagsmith_realtime.reading.reader import drop_readers, get_reader
from tests.support.cases import each_case
from tests.support.documents import HEAD, configured_store, payload_key, publish
from tests.support.processes import RedisServer
from tests.support.sources import FakeSource

OVERHEAD = {"info", "quit", "hello", "client|setinfo"}  # commands of connecting, and of asking for the counters
Get = Callable[[str], Any]
HANDLERS: dict[str, Get] = {
    "wsgi": lambda url: Client().get(url),
    "asgi": lambda url: asyncio.run(AsyncClient().get(url)),
}


@pytest.fixture
def redis(redis_server: RedisServer, settings: Any) -> RedisServer:
    settings.CACHES = {"default": redis_server.cache()}
    settings.MIDDLEWARE = ["django_flagsmith_realtime.middleware.FlagsmithMiddleware"]
    return redis_server


@pytest.fixture
def commands(redis: RedisServer) -> Callable[[Callable[[], object]], dict[str, int]]:
    """Return what Redis has to do for a call."""

    def count_commands(call: Callable[[], object]) -> dict[str, int]:
        before = Counter(redis.commands())
        assert call()
        found = Counter(redis.commands()) - before
        return {name: times for name, times in found.items() if name not in OVERHEAD}

    return count_commands


@each_case("handler", HANDLERS)
@each_case("prefix", ["", "a"])
def test_fifty_flags_cost_one_get_within_freshness_nothing_and_no_flag_never_anything(
    commands: Any, handler: str, prefix: str
) -> None:
    get = HANDLERS[handler]
    drop_readers()
    publish()
    assert commands(lambda: get(f"/{prefix}none/")) == {}
    assert commands(lambda: get(f"/{prefix}many/")) == {"get": 2}, "the head, and the payload that it names"
    assert commands(lambda: get(f"/{prefix}many/")) == {"get": 1}, "the head"
    with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": "ser.tests", "FRESHNESS": 3_600}):
        assert commands(lambda: get(f"/{prefix}many/")) == {}


def test_an_update_costs_ten_commands_and_each_process_two(commands: Any) -> None:
    publisher = Publisher(source=FakeSource(map(document, count(1)).__next__), store=configured_store())
    publisher.refresh()
    publisher.refresh()  # the first change reads the history too, which is empty
    get_reader().current()
    assert commands(publisher.refresh) == {"get": 4, "set": 4, "expire": 1, "persist": 1}
    assert commands(get_reader().current) == {"get": 2}


def test_the_threads_and_event_loops_of_a_process_share_one_connection(redis: RedisServer) -> None:
    publish()
    with redis.client() as observer, ThreadPoolExecutor(8) as threads:
        before = {client["id"] for client in observer.client_list()}
        pages = [threads.submit(get, url) for get in HANDLERS.values() for url in ["/many/", "/amany/"] * 2]
        assert {page.result().status_code for page in pages} == {200}
        assert len({client["id"] for client in observer.client_list()} - before) == 1


def test_a_request_of_a_page_costs_one_get(commands: Any, settings: Any) -> None:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "FRESHNESS": 3_600, "BROWSER_FLAGS": "all"}
    publish()
    get_reader().current()
    assert commands(lambda: Client().post("/flagsmith/ofrep/v1/evaluate/flags", {}, "application/json")) == {"get": 1}
    assert commands(lambda: Client().get("/flagsmith/api/v1/flags/")) == {"get": 1}


@each_case("read", [lambda flags: flags.all_flags(), visible_flags])
def test_all_flags_of_an_identity_are_evaluated_at_once(
    read: Callable[[Flags], object], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """One by one, 500 flags took a second: the SDK goes through all overrides of a segment for each."""
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "BROWSER_FLAGS": "all"}
    publish()
    get_reader().current()  # which evaluates the environment's
    evaluated: list[int] = []
    evaluate = engine.get_evaluation_result

    def note(context: Any) -> Any:
        evaluated.append(len(context["features"]))
        return evaluate(context)

    monkeypatch.setattr(engine, "get_evaluation_result", note)
    assert read(get_flags(identity=Identity("user_alice")))
    assert evaluated == [len(get_flags())]


def test_bytes_in_the_cache(redis: RedisServer) -> None:
    snapshot = configured_store().publish(document(), after=None)
    with redis.client() as client:
        assert client.strlen(f":1:{HEAD}") == 86
        assert client.strlen(f":1:{payload_key(snapshot)}") < 3_500  # how well zlib compresses differs a little


def document(revision: int = 0) -> Document:
    return parse_document(json.loads(make_body(MEDIUM, revision)))
