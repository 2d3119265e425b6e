"""A listener inside the processes that serve requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.core.cache import caches
from standin.deliveries import Webhook
from standin.server import StandIn

from tests.support.documents import FIRST, LEASE
from tests.support.paths import ROOT
from tests.support.processes import RedisServer, wait_until
from tests.support.web_servers import GUNICORN, GUNICORN_ASGI, RUNSERVER, UVICORN, WebServer

SECRET = "the-secret-of-a-webhook"


class InlineServer(WebServer):
    """A server whose processes may listen."""

    def __init__(self, cache: dict[str, Any], standin: StandIn, *arguments: str, **setting: Any) -> None:
        setting = {**standin.setting, "LISTENER": "inline", "LEASE_SECONDS": 8, **setting}
        super().__init__(cache, *arguments, **setting)

    def answers(self) -> bool:
        """Tell whether it accepts connections: an answer would be the first request."""
        try:
            with self.connect() as connection:
                connection.connect()
        except OSError:
            return False
        return True

    def banner(self, url: str = "/banner/") -> tuple[int, str]:
        pid, _, text = self.get(url).partition(" ")
        return int(pid), text


Serve = Callable[..., InlineServer]


@pytest.fixture
def serve(redis_server: RedisServer, standin: StandIn, settings: Any) -> Iterator[Serve]:
    settings.CACHES = {"default": redis_server.cache()}
    with ExitStack() as stack:

        def serve(*arguments: str, cache: dict[str, Any] | None = None, **setting: Any) -> InlineServer:
            server = InlineServer(cache or redis_server.cache(), standin, *arguments, **setting)
            stack.callback(server.end)
            server.start()
            return server

        yield serve


@pytest.mark.parametrize(
    ("arguments", "url"),
    [(GUNICORN, "/banner/"), ((*GUNICORN, "--preload"), "/banner/"), (UVICORN, "/abanner/"), (RUNSERVER, "/banner/")],
    ids=["gunicorn", "gunicorn that preloads", "uvicorn", "runserver"],
)
def test_it_begins_with_the_first_request_and_hands_over_at_the_end(
    arguments: tuple[str, ...], url: str, serve: Serve, standin: StandIn
) -> None:
    server = serve(*arguments)
    assert standin.counts.environment_document == standin.counts.stream == 0, "nobody asked for anything yet"
    server.banner(url)
    wait_until(lambda: server.banner(url)[1] == FIRST)
    for text in ("one", "two"):
        standin.set_flag("banner_text", value=text)
        wait_until(lambda text=text: server.banner(url)[1] == text)
    wait_until(lambda: standin.counts.open_streams == 1)
    leader = str(caches["default"].get(LEASE)).split(":")[1]
    assert leader == str(server.banner(url)[0]), "the process that serves, not one that watches or preloads"
    assert standin.counts.stream == 1
    server.terminate()
    if arguments[0] == "gunicorn":
        assert caches["default"].get(LEASE) is None


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (GUNICORN_ASGI, "/abanner/"),
        (UVICORN, "/abanner/"),
        ((*UVICORN, "--reload"), "/abanner/"),
        (RUNSERVER, "/banner/"),
    ],
    ids=["gunicorn with uvicorn", "uvicorn", "uvicorn that reloads", "runserver"],
)
def test_one_that_died_by_the_signal_is_replaced_at_once(
    arguments: tuple[str, ...], url: str, serve: Serve, standin: StandIn
) -> None:
    server = serve(*arguments)
    server.banner(url)
    wait_until(lambda: standin.counts.open_streams == 1)
    server.terminate()
    assert caches["default"].get(LEASE), "it could not release the lease"
    server.restart()
    server.banner(url)
    standin.set_flag("banner_text", value="new")
    wait_until(lambda: server.banner(url)[1] == "new", timeout=2)  # the lease lasts 4 s at least


def test_many_workers_hold_one_stream_and_another_takes_over(serve: Serve, standin: StandIn) -> None:
    server = serve(*GUNICORN, "--workers=4")
    pids: set[int] = set()

    def all_serve() -> bool:
        pids.add(server.banner()[0])
        return len(pids) == 4

    wait_until(all_serve, timeout=30)
    wait_until(lambda: standin.counts.open_streams == 1)
    leader = int(str(caches["default"].get(LEASE)).split(":")[1])
    assert leader in pids
    os.kill(leader, signal.SIGKILL)
    standin.set_flag("banner_text", value="new")
    wait_until(lambda: standin.counts.stream == 2 and standin.counts.open_streams == 1, timeout=20)
    wait_until(lambda: server.banner()[1] == "new")
    assert standin.counts.environment_document == 2


@pytest.mark.parametrize(
    ("arguments", "url"),
    [((*GUNICORN, "--workers=2"), "/banner/"), (UVICORN, "/abanner/"), ((*UVICORN, "--workers=2"), "/abanner/")],
    ids=["gunicorn", "uvicorn", "uvicorn with two workers"],
)
def test_with_a_webhook_a_server_needs_neither_another_process_nor_a_stream(
    arguments: tuple[str, ...], url: str, serve: Serve, standin: StandIn
) -> None:
    server = serve(*arguments, REALTIME_URL=None, WEBHOOK_SECRET=SECRET)
    standin.deliveries.append(Webhook(f"http://127.0.0.1:{server.port}/flagsmith/webhook/", SECRET))
    pids: set[int] = set()

    def all_see(text: str) -> bool:
        pid, seen = server.banner(url)
        pids.add(pid)
        return seen == text and len(pids) == (2 if "--workers=2" in arguments else 1)

    wait_until(lambda: all_see(FIRST), timeout=30)
    for count, text in enumerate(("one", "two", "three"), 1):
        pids.clear()
        standin.set_flag("banner_text", value=text)
        wait_until(lambda text=text: all_see(text), timeout=5)  # a poll would come after 60 s
        assert standin.counts.environment_document == 1 + count, "one request for each change"
    assert standin.counts.stream == 0


def test_with_one_process_local_memory_is_enough(serve: Serve, standin: StandIn) -> None:
    locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    server = serve(*GUNICORN, "--threads=4", cache=locmem)
    wait_until(lambda: server.banner()[1] == FIRST)
    standin.set_flag("banner_text", value="new")
    wait_until(lambda: server.banner()[1] == "new")
    assert (standin.counts.stream, standin.counts.environment_document) == (1, 2)


def test_a_child_that_is_forked_has_none_and_starts_its_own(serve: Serve, standin: StandIn) -> None:
    program = """
import os, sys, django
django.setup()
from django.core.handlers.wsgi import WSGIHandler
from django_flagsmith_realtime.listener import inline
inline._start(sender=WSGIHandler)
assert inline._background.is_started
if os.fork() == 0:
    alone = not inline._background.is_started
    inline._start(sender=WSGIHandler)
    os._exit(0 if alone and inline._background.is_started else 1)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    environment = InlineServer(caches.settings["default"], standin).environment()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=environment, cwd=ROOT, check=True, timeout=30)


def test_under_a_limit_of_threads_requests_are_served_and_it_starts_when_there_is_room(
    standin: StandIn, redis_server: RedisServer
) -> None:
    program = """
import logging, os, resource, sys, threading
import django
django.setup()
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django_flagsmith_realtime.listener import inline
resource.setrlimit(resource.RLIMIT_NPROC, (1, hard := resource.getrlimit(resource.RLIMIT_NPROC)[1]))
os.setuid(65534)  # the limit is not root's
for _ in range(3):
    request_started.send(sender=WSGIHandler)
    assert not inline._background.is_started
resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
request_started.send(sender=WSGIHandler)
assert inline._background.is_started
"""
    if os.geteuid():
        pytest.skip("only root can become a user without processes")
    environment = InlineServer(redis_server.cache(), standin).environment()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("can't start new thread") == 1
