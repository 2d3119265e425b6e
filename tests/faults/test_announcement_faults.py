"""Flagsmith posts to two gunicorn workers what a listener without a stream is to hear, and something is in the way."""

from __future__ import annotations

import hmac
import json
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches

from django_flagsmith_realtime.environment.timestamps import to_datetime
from django_flagsmith_realtime.listener.schedule import BUDGET_TOKENS, COALESCE_SECONDS
from tests.faults.conftest import Healing
from tests.faults.flagsmith import CLIENT_KEY, FIRST, ScriptedFlagsmith, Until
from tests.support.documents import KEY, LEASE
from tests.support.http_server import Answer
from tests.support.processes import Command, RedisServer, wait_until
from tests.support.web_servers import WebServer

SECRET, TOKEN = "a-secret-of-sixteen", "a-token-of-sixteen"
WORKERS = ("gunicorn", "tests.support.project.wsgi:application", "--workers=2", "--bind=127.0.0.1:{port}")
SOURCES = ("webhook", "queue-change")
ANSWERS_WITHIN = 1.5  # seconds, for a limit of one: Flagsmith's API waits two
CLIENTS = 8  # that post at once

BODY = b"{}" * 1_000  # as large as a webhook of Flagsmith's

each_source = pytest.mark.parametrize("source", SOURCES)


class Site:
    """Two workers, the listener beside them, and what Flagsmith posts to them."""

    def __init__(self, flagsmith: ScriptedFlagsmith, server: WebServer, redis: RedisServer, directory: Path) -> None:
        self.flagsmith = flagsmith
        self.server = server
        self.redis = redis
        self._directory = directory
        self._listeners: list[Command] = []
        self._seen: dict[str, str] = {}  # by worker
        self._requests_before = 0

    def listen(self) -> Command:
        log = self._directory / f"log-{len(self._listeners)}"
        self._listeners.append(Command(setting=self.server.setting, cache=self.server.cache, log=log))
        self._listeners[-1].wait_for("Flagsmith listener polls")
        return self._listeners[-1]

    def settle(self) -> None:
        """Wait until both workers have the first flags, and the next request need not wait; count from here on."""
        wait_until(lambda: self.have(FIRST), "the first flags")
        time.sleep(COALESCE_SECONDS)
        self._requests_before = self.flagsmith.document_requests

    @property
    def requests(self) -> int:
        return self.flagsmith.document_requests - self._requests_before

    def have(self, text: str) -> bool:
        """Return whether both workers have a text, as far as is seen."""
        worker, seen = self.server.get("/banner/").split(" ", 1)
        self._seen[worker] = seen
        return list(self._seen.values()) == [text] * 2

    def wait_for(self, text: str) -> None:
        wait_until(lambda: self.have(text), f"{text!r} in both workers", 30)

    def announce(self, source: str, time: int, *, key: str = CLIENT_KEY) -> int:
        """Post that something changed at a time of Flagsmith's; return the answer's status."""
        moment = to_datetime(time).isoformat()
        if source == "webhook":
            return self.post_webhook(json.dumps({"data": {"timestamp": moment}, "event_type": "FLAG_UPDATED"}).encode())
        body = json.dumps({"updated_at": moment}).encode()
        return self.post(f"/flagsmith/sse/environments/{key}/queue-change", body, {"Authorization": f"Token {TOKEN}"})

    def post_webhook(self, body: bytes, signature: str | None = None) -> int:
        signature = signature or hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        return self.post("/flagsmith/webhook/", body, {"X-Flagsmith-Signature": signature})

    def change(self, source: str, text: str) -> int:
        """Change the flags and post it."""
        return self.announce(source, self.flagsmith.change(text))

    def post(self, path: str, body: bytes, headers: Mapping[str, str] = {}) -> int:
        with self.server.connect() as connection:
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            return connection.getresponse().status

    def kill_leader(self) -> None:
        """Kill the process that holds the lease, one of the workers."""
        _, worker, _ = caches["default"].get(LEASE).split(":")
        os.kill(int(worker), signal.SIGKILL)
        wait_until(lambda: not Path("/proc", worker).exists(), "the end of the worker")
        self._seen.pop(worker, None)

    def end(self) -> None:
        for listener in self._listeners:
            listener.process.kill()
            listener.process.wait(10)


@pytest.fixture
def site(redis_server: RedisServer, settings: Any, tmp_path: Path) -> Iterator[Site]:
    settings.CACHES = {"default": redis_server.cache()}
    with ScriptedFlagsmith() as flagsmith:
        more = {"ENVIRONMENT_KEY": KEY, "REALTIME_URL": None, "WEBHOOK_SECRET": SECRET, "REALTIME_TOKEN": TOKEN}
        with WebServer(redis_server.cache(), *WORKERS, **flagsmith.settings(**more)) as server:
            site = Site(flagsmith, server, redis_server, tmp_path)
            try:
                yield site
            finally:
                site.end()


@pytest.fixture
def listener(site: Site) -> Command:
    """The listener, which has published the first flags."""
    listener = site.listen()
    site.settle()
    return listener


@contextmanager
def answering_within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


# The leader and the cache


@each_source
def test_the_leader_was_killed(source: str, site: Site, listener: Command, healing: Healing) -> None:
    listener.process.kill()
    listener.process.wait(10)
    with healing():
        assert site.change(source, "Sale") == 200
        site.wait_for("Sale")
    healing.requests = site.requests
    assert site.requests == 1


@each_source
def test_the_leader_is_killed_meanwhile(source: str, site: Site, listener: Command, healing: Healing) -> None:
    for number, pause in enumerate((0.0, 0.05, 0.1, 0.2)):
        assert site.change(source, f"Sale {number}") == 200
        time.sleep(pause)
        listener.process.kill()
        listener.process.wait(10)
        with healing():
            listener = site.listen()
            site.wait_for(f"Sale {number}")
    healing.requests = site.requests
    assert site.requests <= 4 * 3, "of the one that was killed, of the next one, and of what it found in the cache"


@each_source
def test_without_a_listener_the_worker_that_fetches_is_killed(source: str, site: Site, healing: Healing) -> None:
    """It is told of a time that no document has, so it leads on, and asks again."""
    assert site.announce(source, site.flagsmith.updated_at) == 200
    site.settle()
    assert site.announce(source, site.flagsmith.updated_at + 30_000_000) == 200
    wait_until(lambda: site.requests, "a document that is too old")
    site.kill_leader()
    with healing():
        assert site.change(source, "Sale") == 200
        site.wait_for("Sale")
    healing.requests = site.requests


@each_source
def test_redis_is_away(source: str, site: Site, listener: Command, healing: Healing) -> None:
    site.redis.kill()
    with answering_within(ANSWERS_WITHIN):
        assert site.change(source, "Sale") == 503
    assert site.have(FIRST), "reads go on"
    site.redis.restart()
    with healing():
        wait_until(lambda: site.change(source, "Closed") == 200)
        site.wait_for("Closed")
    healing.requests = site.requests
    assert site.requests <= 3


@each_source
def test_redis_hangs(source: str, site: Site, listener: Command, healing: Healing) -> None:
    site.redis.freeze()
    for text in ("Sale", "Sold out"):
        with answering_within(ANSWERS_WITHIN):
            assert site.change(source, text) == 503
    site.redis.thaw()
    with healing():
        wait_until(lambda: site.change(source, "Closed") == 200)
        site.wait_for("Closed")
    healing.requests = site.requests
    assert site.requests <= 4


# Flagsmith


@each_source
def test_flagsmith_answers_with_the_old_document_for_three_seconds(
    source: str, site: Site, listener: Command, healing: Healing
) -> None:
    before = Answer(body=site.flagsmith.document)
    time_of_change = site.flagsmith.change("Sale", after=5)
    until = time.monotonic() + 3
    site.flagsmith.break_document(Until(lambda: time.monotonic() > until, before, site.flagsmith.current))
    assert site.announce(source, time_of_change) == 200
    with healing():
        site.wait_for("Sale")
    healing.requests = site.requests
    assert site.requests <= 6


@each_source
def test_the_same_comes_fifty_times(source: str, site: Site, listener: Command, healing: Healing) -> None:
    time_of_change = site.flagsmith.change("Sale")
    with healing(), ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda _: site.announce(source, time_of_change), range(50)))
        site.wait_for("Sale")
    assert set(answers) == {200}
    time.sleep(2 * COALESCE_SECONDS)
    healing.requests = site.requests
    assert site.requests == 1 if source == "queue-change" else site.requests <= 3, "two workers may not know that yet"


@each_source
def test_two_come_in_the_wrong_order(source: str, site: Site, listener: Command, healing: Healing) -> None:
    first = site.flagsmith.change("Sale")
    second = site.flagsmith.change("Closed")
    with healing():
        assert site.announce(source, second) == site.announce(source, first) == 200
        site.wait_for("Closed")
    time.sleep(2 * COALESCE_SECONDS)
    healing.requests = site.requests
    assert site.requests <= 2


@each_source
def test_ten_come_for_another_environment(source: str, site: Site, listener: Command, healing: Healing) -> None:
    """For a webhook with the same secret; one that has another secret is refused."""
    elsewhere = site.flagsmith.updated_at + 60_000_000
    for number in range(10):
        assert site.announce(source, elsewhere + number, key="another") == 200
        time.sleep(0.1)
    time.sleep(2)
    unneeded = site.requests
    with healing():
        assert site.change(source, "Sale") == 200
        site.wait_for("Sale")
    healing.requests = site.requests
    assert unneeded == 0 if source == "queue-change" else unneeded <= 8


# Floods


@each_source
def test_a_thousand_come_at_once_for_as_many_changes(
    source: str, site: Site, listener: Command, healing: Healing
) -> None:
    lock = threading.Lock()

    def change(number: int) -> int:
        with lock:
            time_of_change = site.flagsmith.change(f"Sale {number}", after=0.001)
        return site.announce(source, time_of_change)

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(change, range(1_000)))
    took = time.monotonic() - began
    with healing():
        assert site.change(source, "Closed") == 200
        site.wait_for("Closed")
    healing.requests = site.requests
    print(f"\n1,000 {source}s in {took:.1f} s: {answers.count(200)} answered 200, {site.requests} document requests")
    assert answers.count(200) > 990
    assert site.requests <= took / COALESCE_SECONDS + 5


@each_source
def test_a_thousand_come_at_once_for_no_change(source: str, site: Site, listener: Command, healing: Healing) -> None:
    times = iter(range(site.flagsmith.updated_at - 1_000, site.flagsmith.updated_at))
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda time: site.announce(source, time), times))
    took = time.monotonic() - began
    with healing():
        assert site.change(source, "Closed") == 200
        site.wait_for("Closed")
    healing.requests = site.requests
    print(f"\n{len(answers):,} {source}s in {took:.1f} s: {site.requests} document requests")
    assert site.requests <= BUDGET_TOKENS + took / 10 + 2


def test_unsigned_webhooks_come_for_ten_seconds(site: Site, listener: Command, healing: Healing) -> None:
    """As many as the workers can answer; a read waits for them as it does for other requests of their size."""

    def read(seconds: float) -> str:
        took, until = list[float](), time.monotonic() + seconds
        while (began := time.monotonic()) < until:
            site.server.get("/banner/")
            took.append(time.monotonic() - began)
        return f"{statistics.median(took) * 1000:.1f} ms (worst {max(took) * 1000:.0f} ms)"

    @contextmanager
    def flood(request: Callable[[], object]) -> Iterator[list[object]]:
        answers: list[object] = []
        ended = threading.Event()

        def send() -> None:
            while not ended.is_set():
                answers.append(request())

        with ThreadPoolExecutor(CLIENTS) as clients:
            sending = [clients.submit(send) for _ in range(CLIENTS)]
            try:
                yield answers
            finally:
                ended.set()
        for each in sending:
            each.result()

    alone = read(2)
    with flood(lambda: site.post("/none/", BODY)) as pages:
        beside_pages = read(3)
    with flood(lambda: site.post_webhook(BODY, "0" * 64)) as refused:
        beside_webhooks = read(10)
        with healing():
            assert site.change("webhook", "Sale") == 200
            site.wait_for("Sale")
    healing.requests = site.requests
    print(
        f"\na read took {alone} alone, {beside_pages} beside {len(pages) / 3:.0f} posts that do nothing a second, "
        f"{beside_webhooks} beside {len(refused) / 10:.0f} unsigned webhooks a second"
    )
    assert set(refused) == {403}
    assert site.requests == 1
