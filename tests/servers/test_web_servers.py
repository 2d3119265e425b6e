"""Real web servers in processes of their own, with a real Redis."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import override_settings
from standin.server import StandIn

from django_flagsmith_realtime.signals import flags_updated
from tests.support.documents import FIRST, publish
from tests.support.listening import listening
from tests.support.processes import RedisServer, wait_until
from tests.support.web_servers import GUNICORN, UVICORN, WebServer

REQUESTS = 1_000
CLIENTS = 100
UPDATES = 50
THREADS = 4


@pytest.fixture
def cache(redis_server: RedisServer, settings: Any) -> dict[str, Any]:
    settings.CACHES = {"default": redis_server.cache()}
    return redis_server.cache()


def uvicorn(cache: dict[str, Any]) -> Any:
    return WebServer(cache, *UVICORN)


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
    with WebServer(cache, *UVICORN, FRESHNESS=0) as server:
        for text in ("one", "two", "three"):
            publish(banner_text=text)
            assert server.get(url).split(" ", 1)[1] == text


def test_workers_that_gunicorn_forks_after_preloading_see_each_update(cache: dict[str, Any]) -> None:
    publish(banner_text="one")
    arguments = (
        "gunicorn",
        "tests.support.project.wsgi:application",
        "--preload",
        "--workers=2",
        "--bind=127.0.0.1:{port}",
    )
    with WebServer(cache, *arguments, FRESHNESS=0) as server:
        for text in ("two", "three"):
            publish(banner_text=text)
            pids: set[str] = set()

            def see_both(text: str = text, pids: set[str] = pids) -> bool:
                pid, seen = server.get("/banner/").split(" ", 1)
                assert seen == text
                pids.add(pid)
                return len(pids) == 2

            wait_until(see_both, "an answer of each worker")


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (GUNICORN, "/banner/"),
        (UVICORN, "/abanner/"),
    ],
    ids=["WSGI", "ASGI"],
)
def test_a_receiver_of_flags_updated_finds_no_process_with_the_flags_of_before(
    cache: dict[str, Any], arguments: tuple[str, ...], url: str, standin: StandIn
) -> None:
    """It may purge a page cache, which must not be filled again with the old flags."""
    found: list[str] = []
    ended = threading.Event()
    with (
        override_settings(FLAGSMITH={**standin.setting, "FRESHNESS": 1}),
        listening(),
        WebServer(cache, *arguments, FRESHNESS=1) as server,
        ThreadPoolExecutor(1) as visitors,
    ):

        def read() -> str:
            return server.get(url).split(" ", 1)[1]

        def visit() -> None:
            while not ended.is_set():
                read()

        def note(*, changes: Any, **kwargs: Any) -> None:
            if changes.keys() == {"banner_text"}:  # not the first publication, whose signal may still be due
                found.append(read())

        wait_until(lambda: standin.counts.open_streams == 1 and read() == FIRST)
        flags_updated.connect(note)
        visits = visitors.submit(visit)
        try:
            standin.set_flag("banner_text", value="Sale")
            wait_until(lambda: found)
        finally:
            ended.set()
            flags_updated.disconnect(note)
        visits.result()
    assert found == ["Sale"]


def gunicorn(*options: str) -> tuple[str, ...]:
    return (*GUNICORN, "--workers=2", *options)


STACKS = {
    "WSGI threads": (gunicorn("--worker-class=gthread", "--threads=50"), "/consistent/"),
    "WSGI gevent": (gunicorn("--worker-class=gevent"), "/consistent/"),
    "WSGI async view": (gunicorn("--worker-class=gthread", "--threads=50"), "/aconsistent/"),
    "ASGI": (UVICORN, "/aconsistent/"),
    "ASGI sync view": (UVICORN, "/consistent/"),
}


@pytest.mark.parametrize(("arguments", "url"), STACKS.values(), ids=STACKS)
def test_each_page_is_of_one_snapshot_and_for_one_visitor_whatever_comes_meanwhile(
    cache: dict[str, Any], arguments: tuple[str, ...], url: str
) -> None:
    """100 visitors ask again and again while 50 updates come, each of which sets five flags to its number."""
    seen: list[int] = []
    ended = threading.Event()

    def update(number: int) -> None:
        text = str(number)
        values = {"support_email": text, "theme_colour": text, "api_base_url": text}
        publish(**values, max_cart_items=number, request_timeout_ms=number)

    def visit(server: WebServer, visitor: str) -> int:
        lines = [line for line in server.get(url, headers={"X-Visitor": visitor}).splitlines() if line]
        assert len(lines) == 3
        assert len(set(lines)) == 1, lines
        name, _version, *values = lines[0].split()
        assert name == visitor
        assert len(values) == 5
        assert len(set(values)) == 1
        return int(values[0])

    def visit_often(server: WebServer, visitor: str) -> None:
        while not ended.is_set():
            seen.append(visit(server, visitor))

    update(1)
    with WebServer(cache, *arguments, IDENTITY="tests.support.project.consistency.visitor") as server:
        with ThreadPoolExecutor(CLIENTS) as clients:
            visits = [clients.submit(visit_often, server, f"visitor-{number}") for number in range(CLIENTS)]
            try:
                for number in range(2, UPDATES + 2):
                    update(number)
                    enough = number * CLIENTS // 4
                    wait_until(lambda enough=enough: len(seen) >= enough, "more visits")
            finally:
                ended.set()
            for each in visits:
                each.result()
        assert visit(server, "last") == UPDATES + 1
    print(f"\n{len(seen)} pages of {len(set(seen))} snapshots")
    assert len(set(seen)) > UPDATES / 10
