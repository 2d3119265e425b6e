"""What the cache can do to a deployment: reads go on, and the listener repairs without asking Flagsmith."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from standin.server import StandIn

from django_flagsmith_realtime.environment.snapshot import Head, Snapshot
from django_flagsmith_realtime.storage.snapshot_file import write_snapshot_file
from tests.faults.conftest import Healing
from tests.faults.deployment import Deployment, delete, deployed, is_there, put, read_in_new_process
from tests.support.documents import FIRST, HEAD, PREFIX, configured_store, make_document, payload_key, publish
from tests.support.processes import MemcachedServer, RedisServer, wait_until

Server = RedisServer | MemcachedServer
Deploy = Callable[..., AbstractContextManager[Deployment]]
HEALS_WITHIN = 5.0  # seconds


@pytest.fixture(params=["redis", "memcached"])
def server(request: pytest.FixtureRequest, settings: Any) -> Server:
    server: Server = request.getfixturevalue(f"{request.param}_server")
    settings.CACHES = {"default": server.cache()}
    return server


@pytest.fixture
def redis(redis_server: RedisServer, settings: Any) -> Iterator[RedisServer]:
    """A Redis whose configuration the test may change."""
    settings.CACHES = {"default": redis_server.cache()}
    yield redis_server
    with redis_server.client() as client:
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")


@pytest.fixture
def deploy(standin: StandIn) -> Deploy:
    return partial(deployed, standin)


def wait_for_repair(deployment: Deployment, held: Snapshot) -> None:
    """Wait until all of the listener's keys are back, as they were."""

    def is_whole() -> bool:
        stored, store = deployment.stored(), configured_store()
        return bool(stored and stored.head == held.head and store.read_signaled() and store.read_events()[1])

    wait_until(is_whole, "the repair", timeout=HEALS_WITHIN)


def test_the_cache_is_flushed(server: Server, deploy: Deploy, healing: Healing) -> None:
    with deploy() as deployment:
        held = deployment.settle()
        server.reset()
        with healing():
            wait_for_repair(deployment, held)
        deployment.readers.go_on()
        healing.requests = deployment.requests
        assert healing.requests == 0
        assert deployment.signaled == [FIRST], "a repair is no change"


def test_the_cache_is_killed_and_comes_back_empty(server: Server, deploy: Deploy, healing: Healing) -> None:
    with deploy() as deployment:
        held = deployment.settle()
        server.kill()
        deployment.readers.go_on()
        server.restart()
        with healing():
            wait_for_repair(deployment, held)
        deployment.standin.set_flag("banner_text", value="Sale")
        wait_until(lambda: deployment.has("Sale"), timeout=HEALS_WITHIN)
        healing.requests = deployment.requests - 1
        assert healing.requests == 0


def test_memcached_is_away_for_so_long_that_its_client_gives_it_up_for_a_minute(
    memcached_server: MemcachedServer, deploy: Deploy, healing: Healing, settings: Any
) -> None:
    settings.CACHES = {"default": memcached_server.cache(retry_attempts=1, retry_timeout=0.1)}
    with deploy() as deployment:
        held = deployment.settle()
        memcached_server.kill()
        ended = time.monotonic() + 6  # three tries of the listener
        wait_until(lambda: time.monotonic() > ended)
        deployment.readers.go_on()
        memcached_server.restart()
        with healing():
            wait_for_repair(deployment, held)
        deployment.standin.set_flag("banner_text", value="Sale")
        wait_until(lambda: deployment.has("Sale"), timeout=HEALS_WITHIN)
        healing.requests = deployment.requests - 1
        assert healing.requests == 0


def test_the_cache_hangs(server: Server, deploy: Deploy, healing: Healing) -> None:
    with deploy() as deployment:
        deployment.settle()
        server.freeze()
        wait_until(lambda: len(deployment.readers.slow) == 2, "two tries")
        deployment.readers.go_on()
        deployment.readers.check_tries()
        server.thaw()
        deployment.standin.set_flag("banner_text", value="Sale")
        with healing():
            wait_until(lambda: deployment.has("Sale"), timeout=HEALS_WITHIN)
        healing.requests = deployment.requests
        assert healing.requests == 1


@pytest.mark.parametrize("fault", ["down", "hanging"])
def test_an_update_comes_while_the_cache_is_away(server: Server, deploy: Deploy, healing: Healing, fault: str) -> None:
    with deploy() as deployment:
        deployment.settle()
        server.kill() if fault == "down" else server.freeze()
        deployment.standin.set_flag("banner_text", value="Sale")
        wait_until(lambda: deployment.requests == 1, "the request")
        if fault == "hanging":
            wait_until(lambda: len(deployment.readers.slow) == 2, "two tries")
        deployment.readers.go_on()
        assert deployment.readers.have(FIRST)
        server.restart() if fault == "down" else server.thaw()
        with healing():
            wait_until(lambda: deployment.has("Sale"), timeout=HEALS_WITHIN)
        wait_until(lambda: deployment.signaled == [FIRST, "Sale"], "the signals")
        stored, store = deployment.stored(), configured_store()
        wait_until(lambda: stored and stored.head.updated_at in store.read_events()[1], "the memory of the event")
        healing.requests = deployment.requests
        assert healing.requests == 1, "what was fetched is not fetched again"


@pytest.mark.parametrize("key", ["head", "payload", "signaled", "event"])
def test_a_key_is_evicted(server: Server, deploy: Deploy, healing: Healing, key: str) -> None:
    with deploy() as deployment:
        held = deployment.settle()
        delete(payload_key(held) if key == "payload" else f"{PREFIX}:{key}")
        with healing():
            wait_for_repair(deployment, held)
        healing.requests = deployment.requests
        assert healing.requests == 0


@pytest.mark.parametrize("each_cache", ["database", "file", "locmem"], indirect=True)
def test_a_cache_at_max_entries_culls_our_keys(
    each_cache: str, deploy: Deploy, healing: Healing, settings: Any
) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "OPTIONS": {"MAX_ENTRIES": 20}}}
    with deploy() as deployment:
        held = deployment.settle()
        strangers = count()
        wait_until(lambda: put(f"stranger-{next(strangers)}", 1) or not is_there(payload_key(held)), "the culling")
        with healing():
            wait_for_repair(deployment, held)
        healing.requests = deployment.requests
        assert healing.requests == 0


def test_redis_is_full_and_refuses_to_store(
    redis: RedisServer, deploy: Deploy, healing: Healing, caplog: pytest.LogCaptureFixture
) -> None:
    with deploy() as deployment, redis.client() as client:
        deployment.settle()
        client.config_set("maxmemory", 1)
        deployment.standin.set_flag("banner_text", value="Sale")
        wait_until(lambda: deployment.requests == 1, "the request")
        refused = client.info("errorstats")["errorstat_OOM"]["count"]
        wait_until(lambda: client.info("errorstats")["errorstat_OOM"]["count"] > refused + 1, "two more tries")
        assert "Raise Redis's maxmemory" in caplog.text
        assert deployment.has(FIRST)
        client.config_set("maxmemory", 0)
        with healing():
            wait_until(lambda: deployment.has("Sale"), timeout=HEALS_WITHIN)
        wait_until(lambda: deployment.signaled == [FIRST, "Sale"], "the signals")
        healing.requests = deployment.requests
        assert healing.requests == 1
        assert len(caplog.records) == 1, "an outage is said once"


def test_redis_is_full_and_evicts_our_keys(redis: RedisServer, deploy: Deploy, healing: Healing) -> None:
    with deploy() as deployment, redis.client() as client:
        held = deployment.settle()
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 8_000_000)
        strangers = (f"stranger-{number}" for number in count())
        wait_until(
            lambda: client.set(next(strangers), b"x" * 100_000) and not is_there(payload_key(held)), "the eviction"
        )
        with healing():
            wait_for_repair(deployment, held)
        healing.requests = deployment.requests
        assert healing.requests == 0


def test_the_flags_are_larger_than_memcached_takes(
    memcached_server: MemcachedServer,
    deploy: Deploy,
    healing: Healing,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.CACHES = {"default": memcached_server.cache()}
    with deploy() as deployment:
        deployment.settle()
        deployment.standin.set_flag("banner_text", value=random.Random(1).randbytes(1_500_000).hex())
        wait_until(lambda: "its option -I" in caplog.text, "the advice")
        deployment.readers.go_on()
        assert deployment.has(FIRST)
        deployment.standin.set_flag("banner_text", value="Sale")
        with healing():
            wait_until(lambda: deployment.has("Sale"), timeout=HEALS_WITHIN)
        healing.requests = deployment.requests
        assert healing.requests == 2
        assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_set_stores_nothing_as_on_a_locked_database(
    database_cache: Any,
    deploy: Deploy,
    healing: Healing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = connections.settings["cache"]
    monkeypatch.setitem(database, "OPTIONS", {**database["OPTIONS"], "timeout": 0.1})
    with deploy() as deployment, closing(sqlite3.connect(database["NAME"], timeout=5)) as other:
        deployment.settle()
        other.execute("BEGIN IMMEDIATE")
        deployment.standin.set_flag("banner_text", value="Sale")
        wait_until(lambda: "did not keep 'payload'" in caplog.text, "the error")
        assert deployment.has(FIRST)
        other.rollback()
        with healing():
            wait_until(lambda: deployment.has("Sale"), timeout=HEALS_WITHIN)
        healing.requests = deployment.requests
        assert healing.requests == 1


@pytest.mark.parametrize("key", ["head", "payload"])
@pytest.mark.parametrize("value", ["text", [1, 2, 3], b"garbage\n", b"cut"], ids=["text", "list", "garbage", "cut"])
def test_a_foreign_value_is_under_our_key(
    server: Server, deploy: Deploy, healing: Healing, key: str, value: object
) -> None:
    with deploy() as deployment:
        held = deployment.settle()
        name = HEAD if key == "head" else payload_key(held)
        server.put_raw(name, value) if isinstance(value, bytes) else put(name, value)
        with healing():
            wait_for_repair(deployment, held)
        healing.requests = deployment.requests
        assert healing.requests == 0


def test_a_payload_vanishes_between_the_reads_of_head_and_payload(
    server: Server, deploy: Deploy, healing: Healing
) -> None:
    with deploy() as deployment:
        held = deployment.settle()
        store = configured_store()
        store.publish(make_document(banner_text="of another writer"), after=held.head)
        delete(payload_key(Head(held.sequence, "", 0, 0, 0)))
        newer = store.read_head()
        assert newer
        delete(payload_key(newer))
        with healing():
            wait_until(lambda: (stored := deployment.stored()) and stored.head != newer, timeout=HEALS_WITHIN)
        wait_until(lambda: deployment.has(FIRST))
        healing.requests = deployment.requests
        assert healing.requests == 1, "only Flagsmith knows who of two writers is right"


def test_a_writer_that_slept_puts_an_older_version_back(server: Server, deploy: Deploy, healing: Healing) -> None:
    with deploy() as deployment:
        older = deployment.settle()
        deployment.standin.set_flag("banner_text", value="Sale")
        wait_until(lambda: deployment.has("Sale"))
        newer = deployment.stored()
        assert newer
        configured_store().confirm(older, older.head.updated_at)
        with healing():
            wait_for_repair(deployment, newer)
        wait_until(lambda: deployment.requests == 2, "one to be sure")
        healing.requests = deployment.requests - 1
        assert deployment.signaled == [FIRST, "Sale"]


def test_another_writer_publishes_and_dies_before_it_tells(server: Server, deploy: Deploy, healing: Healing) -> None:
    with deploy() as deployment:
        deployment.settle()
        publish(banner_text="of another writer")
        with healing():
            wait_until(lambda: deployment.signaled[1:] == ["of another writer", FIRST], timeout=HEALS_WITHIN)
        wait_until(lambda: deployment.has(FIRST))
        healing.requests = deployment.requests
        assert healing.requests == 1


@pytest.mark.parametrize("fault", ["down", "hanging"])
def test_the_listener_starts_while_the_cache_is_away(
    server: Server, deploy: Deploy, healing: Healing, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill() if fault == "down" else server.freeze()
    with deploy() as deployment:
        wait_until(lambda: "Flagsmith cache: The cache failed" in caplog.text, "the warning")
        assert deployment.requests == 0, "nobody knows who leads"
        server.restart() if fault == "down" else server.thaw()
        with healing():
            wait_until(lambda: deployment.has(FIRST), timeout=HEALS_WITHIN)
        healing.requests = deployment.requests
        assert healing.requests == 1


def test_the_listener_starts_while_a_cache_that_holds_flags_hangs(
    server: Server, deploy: Deploy, healing: Healing, caplog: pytest.LogCaptureFixture
) -> None:
    publish(banner_text="of before")
    server.freeze()
    with deploy() as deployment:
        wait_until(lambda: "Flagsmith cache: The cache failed" in caplog.text, "the warning")
        wait_until(lambda: deployment.readers.slow, "another try")
        server.thaw()
        with healing():
            wait_until(lambda: deployment.has(FIRST), timeout=HEALS_WITHIN)
        healing.requests = deployment.requests
        assert healing.requests == 1
        assert deployment.signaled == ["of before", FIRST]


@pytest.mark.parametrize("source", ["SNAPSHOT_FILE", "DEFAULTS"])
@pytest.mark.parametrize("fault", ["down", "hanging", "empty"])
def test_a_process_starts_while_the_cache_is_away(
    server: Server, tmp_path: Path, healing: Healing, fault: str, source: str
) -> None:
    path = tmp_path / "snapshot.json"
    write_snapshot_file(path, publish(banner_text="of the file"))
    {"down": server.kill, "hanging": server.freeze, "empty": server.reset}[fault]()
    setting = {"SNAPSHOT_FILE": str(path)} if source == "SNAPSHOT_FILE" else {"DEFAULTS": {"banner_text": "default"}}
    with healing():
        shown = read_in_new_process(server.cache(), **setting)
    assert shown == ("of the file" if source == "SNAPSHOT_FILE" else "default")
