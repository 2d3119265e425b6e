"""Open pages on a real hub, nginx with nchan as docs/howto/hub.md sets it up, and the processes that post to it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from standin.server import StandIn

from tests.support.documents import configured_store
from tests.support.http_server import Answer, ScriptedServer
from tests.support.nginx import SUBSCRIBE, Nginx
from tests.support.open_pages import OpenPages
from tests.support.processes import Command, RedisServer, wait_until
from tests.support.web_servers import UVICORN, WebServer

PAGES = 2_000
Start = Callable[..., Command]


@pytest.fixture(scope="module")
def nginx_process() -> Iterator[Nginx]:
    with Nginx() as nginx:
        yield nginx


@pytest.fixture
def nginx(nginx_process: Nginx) -> Iterator[Nginx]:
    """A hub that knows of no message; the test may freeze and kill it."""
    nginx_process.kill()
    nginx_process.restart()
    yield nginx_process
    if nginx_process.is_running:
        nginx_process.thaw()


@pytest.fixture
def start(nginx: Nginx, standin: StandIn, redis_server: RedisServer, tmp_path: Path, settings: Any) -> Iterator[Start]:
    """Start a listener as a process."""
    settings.CACHES = {"default": redis_server.cache()}
    started: list[Command] = []

    def start(*arguments: str, **more: Any) -> Command:
        setting = {**standin.setting, "HUB": nginx.setting, **more}
        started.append(Command(*arguments, setting=setting, cache=redis_server.cache(), log=tmp_path / "log"))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.wait(10)


def change(standin: StandIn, text: str) -> bytes:
    """Change a flag; return what the message about it contains, once the change is published."""
    before = sequence()
    standin.set_flag("banner_text", value=text)
    wait_until(lambda: sequence() > before, "the new version")
    return message()


def message() -> bytes:
    return f'"etag": "{sequence()}"'.encode()


def sequence() -> int:
    store = configured_store()
    head = store.read_head()
    return head.sequence if head else 0


def test_two_thousand_pages_get_each_change_and_one_that_connects_the_last(
    start: Start, nginx: Nginx, standin: StandIn
) -> None:
    start().wait_for("Flagsmith stream: connected")
    with OpenPages(nginx.port, SUBSCRIBE, PAGES) as pages:
        wait_until(sequence)
        pages.wait_for(message())
        for text in ("one", "two"):
            pages.wait_for(change(standin, text))
        for headers in ({}, {"Last-Event-ID": "1700000000:0"}):
            with OpenPages(nginx.port, SUBSCRIBE, 1, headers) as page:
                page.wait_for(message())


def test_a_hub_that_hangs_delays_no_update(start: Start, nginx: Nginx, standin: StandIn) -> None:
    start().wait_for("Flagsmith stream: connected")
    with OpenPages(nginx.port, SUBSCRIBE, 10) as pages:
        wait_until(sequence)
        pages.wait_for(message())
        nginx.freeze()
        for number in range(5):
            last = change(standin, f"change {number}")
        nginx.thaw()
        pages.wait_for(last)


def test_a_hub_that_was_killed_gets_the_last_message_and_pages_that_return_have_it(
    start: Start, nginx: Nginx, standin: StandIn
) -> None:
    listener = start()
    listener.wait_for("Flagsmith stream: connected")
    wait_until(sequence)
    nginx.kill()
    for number in range(5):
        last = change(standin, f"change {number}")
    listener.wait_for("Flagsmith hub: ")
    nginx.restart()
    with OpenPages(nginx.port, SUBSCRIBE, 10, {"Last-Event-ID": "1700000000:0"}) as pages:
        pages.wait_for(last)
        listener.wait_for("Flagsmith hub: works again after ")
        pages.wait_for(change(standin, "one more"))
    assert listener.said().count("Flagsmith hub: ") == 2, "one line when it begins, one when it ends"


def test_a_command_that_fetches_once_posts_before_it_ends(start: Start, nginx: Nginx) -> None:
    assert start("--once").exit_code(30) == 0
    with OpenPages(nginx.port, SUBSCRIBE, 1) as page:
        page.wait_for(message())


@pytest.mark.parametrize("state", ["killed", "frozen"])
def test_a_process_that_posts_ends_although_the_hub_does_not_answer(
    state: str, start: Start, nginx: Nginx, standin: StandIn
) -> None:
    nginx.kill() if state == "killed" else nginx.freeze()
    assert start("--once").exit_code(30) == 0
    listener = start()
    listener.wait_for("Flagsmith stream: connected")
    change(standin, "one")
    listener.process.send_signal(signal.SIGTERM)
    assert listener.exit_code(30) == 0


def test_a_web_process_that_listens_posts(
    nginx: Nginx, standin: StandIn, redis_server: RedisServer, settings: Any
) -> None:
    settings.CACHES = {"default": redis_server.cache()}
    setting = {**standin.setting, "LISTENER": "inline", "HUB": nginx.setting}
    with WebServer(redis_server.cache(), *UVICORN, **setting), OpenPages(nginx.port, SUBSCRIBE, 1) as page:
        wait_until(sequence)
        page.wait_for(message())
        page.wait_for(change(standin, "one"))


def test_requests_for_flags_wait_in_line_and_none_is_refused() -> None:
    with ScriptedServer() as site, ExitStack() as stack:
        site.script("/flagsmith/ofrep/v1/evaluate/flags", Answer(body={}))
        nginx = Nginx(site=site.port, rate=50)
        stack.callback(nginx.end)
        nginx.start()
        url = f"http://127.0.0.1:{nginx.port}/flagsmith/ofrep/v1/evaluate/flags"
        executor = stack.enter_context(ThreadPoolExecutor(20))
        answers = list(executor.map(lambda _: requests.post(url, json={}, timeout=30).status_code, range(20)))
    assert answers == [200] * 20
    assert site.requests[-1].at - site.requests[0].at > 19 / 50 - 0.1


def test_several_hubs_share_their_messages_on_redis_and_keep_them_when_they_restart(
    start: Start, standin: StandIn, redis_server: RedisServer
) -> None:
    with ExitStack() as stack:
        first, second = (Nginx(redis=redis_server.port) for _ in range(2))
        for nginx in (first, second):
            stack.callback(nginx.end)
            nginx.start()
        start(HUB=first.setting).wait_for("Flagsmith stream: connected")
        with OpenPages(first.port, SUBSCRIBE, 10) as here, OpenPages(second.port, SUBSCRIBE, 10) as there:
            wait_until(sequence)
            for pages in (here, there):
                pages.wait_for(message())
            last = change(standin, "one")
            for pages in (here, there):
                pages.wait_for(last)
        first.kill()
        first.restart()
        with OpenPages(first.port, SUBSCRIBE, 1) as page:
            page.wait_for(last)
