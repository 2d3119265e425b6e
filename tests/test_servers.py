"""Real web servers in processes of their own, with a real Redis."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .documents import publish
from .processes import RedisServer, ServerProcess, wait_until

REQUESTS = 1_000
THREADS = 4

pytestmark = pytest.mark.slow


class WebServer(ServerProcess):
    """`arguments` are those of a Python module that serves; `{port}` in them is replaced."""

    program = sys.executable

    def __init__(self, cache: dict[str, Any], *arguments: str) -> None:
        super().__init__()
        self.cache = cache
        self.arguments = arguments

    def command(self) -> list[str]:
        return [self.path, "-m", *(argument.format(port=self.port) for argument in self.arguments)]

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.project_settings",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "TEST_CACHES": json.dumps({"default": self.cache}),
            "TEST_FLAGSMITH": json.dumps({"ENVIRONMENT_KEY": "ser.tests"}),
        }

    def answers(self) -> bool:
        try:
            return self.get("/none/") == "none"
        except OSError:
            return False

    @contextmanager
    def connect(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            yield connection
        finally:
            connection.close()

    def get(self, *paths: str) -> str:
        """Return the last answer's text; all come over one connection."""
        text = ""
        with self.connect() as connection:
            for path in paths:
                connection.request("GET", path)
                response = connection.getresponse()
                text = response.read().decode()
                assert response.status == 200, f"{response.status} {text}"
        return text

    def end(self) -> None:
        self.terminate()
        super().end()


@contextmanager
def serving(*arguments: Any) -> Iterator[WebServer]:
    server = WebServer(*arguments)
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.fixture
def cache(redis_server: RedisServer, settings: Any) -> dict[str, Any]:
    settings.CACHES = {"default": redis_server.cache()}
    return redis_server.cache()


def uvicorn(cache: dict[str, Any]) -> Any:
    return serving(cache, "uvicorn", "tests.asgi:application", "--port={port}", "--log-level=warning", "--lifespan=off")


@pytest.mark.parametrize("urls", [("/many/",), ("/amany/",), ("/many/", "/amany/")], ids=["sync", "async", "mixed"])
def test_a_thousand_requests_share_a_handful_of_connections(
    redis_server: RedisServer, cache: dict[str, Any], urls: tuple[str, ...]
) -> None:
    publish()
    paths = (urls * REQUESTS)[: REQUESTS // THREADS]
    with uvicorn(cache) as server, redis_server.client() as client:
        connections = client.info("stats")["total_connections_received"]
        gets = client.info("commandstats")["cmdstat_get"]["calls"]
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda _: server.get(*paths), range(THREADS)))
        connections = client.info("stats")["total_connections_received"] - connections
        gets = client.info("commandstats")["cmdstat_get"]["calls"] - gets
    print(f"\n{REQUESTS} requests to {' and '.join(urls)}: {connections} connections to Redis, {gets} GETs")
    assert 1 <= connections <= 8
    assert 1 <= gets <= REQUESTS + 1


@pytest.mark.parametrize("url", ["/banner/", "/abanner/"])
def test_the_next_request_under_uvicorn_sees_an_update(cache: dict[str, Any], url: str) -> None:
    publish(banner_text="one")
    with uvicorn(cache) as server:
        for text in ("one", "two", "three"):
            publish(banner_text=text)
            assert server.get(url).split(" ", 1)[1] == text


def test_workers_that_gunicorn_forks_after_preloading_see_each_update(cache: dict[str, Any]) -> None:
    publish(banner_text="one")
    arguments = ("gunicorn", "tests.wsgi:application", "--preload", "--workers=2", "--bind=127.0.0.1:{port}")
    with serving(cache, *arguments) as server:
        for text in ("two", "three"):
            publish(banner_text=text)
            pids: set[str] = set()

            def see_both(text: str = text, pids: set[str] = pids) -> bool:
                pid, seen = server.get("/banner/").split(" ", 1)
                assert seen == text
                pids.add(pid)
                return len(pids) == 2

            wait_until(see_both, "an answer of each worker")
