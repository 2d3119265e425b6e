"""The streams on real servers: what they send, what they hold, and how they end."""

from __future__ import annotations

import re
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from tests.support import recordings
from tests.support.documents import publish
from tests.support.live_site import (
    GRANIAN,
    GUNICORN,
    GUNICORN_UVICORN,
    HYPERCORN,
    PAGE_STREAM,
    UVICORN,
    LiveSite,
    Streams,
    sdk_stream,
)
from tests.support.processes import PostgresServer, RedisServer, wait_until

STREAMS = 300
MANY = 2_000  # `benchmarks/live.py` has 5,000


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def test_under_wsgi_the_streams_say_what_to_run(cache: dict[str, Any]) -> None:
    with LiveSite(cache, *GUNICORN) as site, site.connect() as connection:
        for path in (PAGE_STREAM, sdk_stream("key")):
            connection.request("GET", path)
            response = connection.getresponse()
            assert (response.status, b"uvicorn" in response.read()) == (501, True)


@pytest.mark.parametrize("server", [UVICORN, GUNICORN_UVICORN, GRANIAN, HYPERCORN], ids=lambda server: server[0])
def test_a_change_is_sent_and_a_server_that_is_told_to_stop_is_not_held_up(
    cache: dict[str, Any], server: tuple[str, ...]
) -> None:
    """`GZipMiddleware` is on, and clients accept gzip. Without a handler of ours, a server waits for the streams."""
    key = publish(banner_text="one").environment.api_key
    with LiveSite(cache, *server) as site, closing(Streams(site)) as streams:
        streams.open(PAGE_STREAM, STREAMS - 1, accept_encoding="gzip")
        streams.open(sdk_stream(key), 1, accept_encoding="gzip")
        assert streams.wait_for_all(b"\r\nid: ", b"event: environment_updated")
        changed_at = publish(banner_text="two").head.changed_at
        assert streams.wait_for_all(
            b'"lastModified": %r' % (changed_at / 1e6), b'"updated_at": %r' % (changed_at / 1e6)
        )
        assert not any(b"gzip" in text for text in streams.texts)

        began = time.monotonic()
        site.send(signal.SIGTERM)
        streams.wait_for_the_end()
        ended = time.monotonic() - began
        site.process.wait(20)
        took = time.monotonic() - began
        print(f"\n{server[0]}: {STREAMS} streams ended after {ended:.2f} s, the server after {took:.2f} s")
        assert took < 10, site.log()
        if server != HYPERCORN:  # which passes no signal on to its worker, and cuts the streams off
            assert "Traceback" not in site.log()
            returns = [re.findall(rb"retry: (\d+)\r\n\r\n", text)[1:] for text in streams.texts]
            seconds = {int(each[-1]) / 1_000 for each in returns}
            assert 1 <= min(seconds) < max(seconds) <= 10
            assert len(seconds) > STREAMS / 2


def test_a_process_that_ends_after_some_requests_is_held_up_no_longer_than_its_server_allows(
    cache: dict[str, Any],
) -> None:
    """It gets no signal."""
    options = ("--limit-max-requests=10", "--timeout-graceful-shutdown=1")
    with LiveSite(cache, *UVICORN, *options) as site, closing(Streams(site)) as streams:
        streams.open(PAGE_STREAM, 3)
        assert streams.wait_for_all(b"retry: ")
        with suppress(OSError):
            for _ in range(10):
                site.get("/none/")
        streams.wait_for_the_end()
        site.process.wait(10)


def test_an_interrupt_ends_the_streams_too(cache: dict[str, Any]) -> None:
    with LiveSite(cache) as site, closing(Streams(site)) as streams:
        streams.open(PAGE_STREAM, 3)
        assert streams.wait_for_all(b"retry: ")
        site.send(signal.SIGINT)
        streams.wait_for_the_end()
        site.process.wait(10)


def test_a_stream_of_a_logged_in_user_holds_no_connection_to_database_or_cache_and_no_thread(
    cache: dict[str, Any], redis_server: RedisServer, postgres: PostgresServer
) -> None:
    publish()
    database = postgres.database()
    middleware = "tests.support.live_project.views.read_user"
    with (
        LiveSite(cache, database=database, middleware=middleware) as site,
        closing(Streams(site)) as streams,
        psycopg.connect(host="127.0.0.1", port=postgres.port, user="postgres", autocommit=True) as observer,
    ):
        threads = Path(f"/proc/{site.process.pid}/task")

        def connections() -> int:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND pid <> pg_backend_pid()"
            row = observer.execute(query).fetchone()
            assert row
            return int(row[0])

        def clients() -> int:
            return int(redis_server.info("clients")["connected_clients"])

        cookie, clients_before, threads_before = site.login("alice"), clients(), len(list(threads.iterdir()))
        streams.open(PAGE_STREAM, 20, cookie=cookie)
        assert streams.wait_for_all(b"\r\nid: ")
        wait_until(lambda: connections() == 0, "no connection to the database")
        wait_until(lambda: clients() < clients_before + 10, "connections to the cache that ended")
        wait_until(lambda: len(list(threads.iterdir())) < threads_before + 10, "threads that ended")
        assert site.get("/flag/banner_text/", headers={"Cookie": site.login("alice")})


def test_clients_beyond_the_bound_are_told_when_to_come_back_and_other_requests_get_through(
    cache: dict[str, Any],
) -> None:
    publish()
    with LiveSite(cache, file_descriptors=256) as site, closing(Streams(site)) as streams:
        streams.open(PAGE_STREAM, 200)
        assert streams.wait_for_all(b"\r\n\r\n")
        wait_until(lambda: streams.read() and streams.ended == 200 - 128, "streams that ended", 20)
        returns = [int(re.findall(rb"retry: (\d+)\r\n", text)[-1]) for text in streams.texts]
        assert sum(30_000 <= each <= 90_000 for each in returns) == 200 - 128
        assert site.get("/none/") == "none"


def test_thousands_of_slow_clients_are_all_notified_while_others_are_served(cache: dict[str, Any]) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(MANY, soft // 2 - 100)
    publish(banner_text="one")
    with LiveSite(cache) as site, closing(Streams(site)) as streams:
        streams.open(PAGE_STREAM, count, receive_buffer=2_048)
        assert streams.wait_for_all(b"\r\nid: ", timeout=60)
        sequence = publish(banner_text="two").sequence
        began, served = time.monotonic(), 0

        def all_have_it() -> bool:
            nonlocal served
            served += site.get("/none/") == "none"
            streams.read()
            return all(b"id: %d" % sequence in text for text in streams.texts)

        wait_until(all_have_it, "all notified", timeout=60)
        took = time.monotonic() - began
        print(f"\n{count} streams notified within {took:.1f} s, while {served} pages were served")
        assert served > 3


def test_a_site_without_an_environment_serves_the_streams_of_all_environments_of_a_flagsmith(
    cache: dict[str, Any],
) -> None:
    """`recordings/queue_change` is what a real Flagsmith posts."""
    [first, *_] = recordings.posts("queue_change")
    key = first.path.split("/")[-2]
    headers = {"Authorization": "Token secret"}
    with (
        LiveSite(cache, ENVIRONMENT_KEY=None, REALTIME_TOKEN="secret") as site,
        closing(Streams(site)) as streams,
        closing(Streams(site)) as others,
    ):
        streams.open(sdk_stream(key), 2)
        others.open(sdk_stream("another"), 1)
        assert streams.wait_for_all(b"retry: ")
        answer = requests.post(f"{site.url}/flagsmith{first.path}", first.body, headers=headers, timeout=5)
        assert answer.status_code == 200
        assert streams.wait_for_all(b'event: environment_updated\r\ndata: {"updated_at": 17')
        with closing(Streams(site)) as late:
            late.open(sdk_stream(key), 1)
            assert late.wait_for_all(b"event: environment_updated")
        others.read()
        assert b"environment_updated" not in others.texts[0]
