from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches

from django_flagsmith_realtime import api, store

from .processes import MemcachedServer, RedisServer, ServerProcess

RECORDINGS = Path(__file__).parent / "recordings"


@pytest.fixture(autouse=True)
def fresh_process() -> None:
    """Let each test begin as a process does that has read no flag yet, with an empty cache."""
    store._readers.clear()
    api._names_logged.clear()
    caches["default"].clear()


@pytest.fixture
def recorded_document() -> Any:
    """The body of a real Flagsmith's answer; the test's own copy."""
    return json.loads((RECORDINGS / "api" / "environment_document.json").read_bytes())


def run(server: ServerProcess) -> Iterator[Any]:
    try:
        server.start()
        yield server
    finally:
        server.end()


def lend(server: RedisServer | MemcachedServer) -> Iterator[Any]:
    """Give a test an empty server that runs, whatever the test does to it."""
    if not server.is_running:
        server.restart()
    server.reset()
    yield server
    if server.is_running:
        server.thaw()


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    yield from run(RedisServer())


@pytest.fixture(scope="session")
def memcached_process() -> Iterator[MemcachedServer]:
    yield from run(MemcachedServer())


@pytest.fixture
def redis_server(redis_process: RedisServer) -> Iterator[RedisServer]:
    """An empty Redis of its own for the test, which may freeze and kill it."""
    yield from lend(redis_process)


@pytest.fixture
def memcached_server(memcached_process: MemcachedServer) -> Iterator[MemcachedServer]:
    """An empty memcached of its own for the test, which may freeze and kill it."""
    yield from lend(memcached_process)
