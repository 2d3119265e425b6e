"""Processes that are forked after the parent has read flags, as preloading servers and task queues do."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from django_flagsmith_realtime.environment.snapshot import Environment
from django_flagsmith_realtime.reading.reader import get_reader
from tests.support.documents import publish

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # the threads are part of what is tested
]

CHILDREN = 2


def read() -> Any:
    snapshot = get_reader().current()
    return snapshot and snapshot.environment.flags["banner_text"].value


async def aread() -> Any:
    snapshot = await get_reader().acurrent()
    return snapshot and snapshot.environment.flags["banner_text"].value


def read_often(times: int) -> set[Any]:
    return {read() for _ in range(times)}


def connections_to(port: int) -> set[int]:
    """Return the local ports of this process's connections to a port, by what the system says it has open."""
    gc.collect()
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as opened:
            if opened.family == socket.AF_INET and opened.getpeername()[1] == port:
                found.add(opened.getsockname()[1])
    return found


class Child:
    """A forked process that calls what it is asked to and sends back the answer."""

    def __init__(self) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._pipe.close()
            self._serve(theirs)
        theirs.close()

    def _serve(self, pipe: Any) -> None:
        try:
            while True:
                function, arguments = pipe.recv()
                pipe.send(function(*arguments))
        except BaseException as error:
            pipe.send(repr(error))
        finally:
            os._exit(0)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._pipe.send((function, arguments))

    def answer(self) -> Any:
        assert self._pipe.poll(10), "the child does not answer"
        return self._pipe.recv()

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.ask(function, *arguments)
        return self.answer()

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)  # it may hang
        os.waitpid(self.pid, 0)
        self._pipe.close()


@contextmanager
def children(number: int = CHILDREN) -> Iterator[list[Child]]:
    started: list[Child] = []
    try:
        started.extend(Child() for _ in range(number))
        yield started
    finally:
        for child in started:
            child.end()


@pytest.fixture(params=["redis", pytest.param("memcached", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, settings: Any) -> Any:
    server = request.getfixturevalue(f"{request.param}_server")
    settings.CACHES = {"default": server.cache()}
    return server


def test_children_hold_what_the_parent_held_and_see_later_updates(server: Any) -> None:
    publish(banner_text="one")
    assert read() == "one"
    with children() as forked:
        assert [child(read) for child in forked] == ["one"] * CHILDREN
        for text in ("two", "three"):
            publish(banner_text=text)
            assert [read(), *(child(read) for child in forked)] == [text] * (CHILDREN + 1)


def test_a_parent_that_read_in_its_reading_thread_forks_well(server: Any) -> None:
    publish(banner_text="one")
    assert asyncio.run(aread()) == "one"
    with children() as forked:
        publish(banner_text="two")
        assert [child(run_aread) for child in forked] == ["two"] * CHILDREN
        assert asyncio.run(aread()) == "two"


def run_aread() -> Any:
    return asyncio.run(aread())


@pytest.mark.slow
def test_a_child_never_uses_its_parents_connection(server: Any) -> None:
    publish(banner_text="one")
    read()
    mine = connections_to(server.port)
    assert mine
    with children() as forked:
        theirs = [child(read) and child(connections_to, server.port) for child in forked]
        published_here = connections_to(server.port)
    for ports in theirs:
        assert ports - published_here, "the child has a connection of its own"
    own = [frozenset(ports - published_here) for ports in theirs]
    assert len(set(own)) == CHILDREN


@pytest.mark.slow
def test_answers_are_never_mixed_up_when_all_read_at_once(server: Any) -> None:
    publish(banner_text="one")
    read()
    with children() as forked:
        for child in forked:
            child.ask(read_often, 200)
        assert read_often(200) == {"one"}
        assert [child.answer() for child in forked] == [{"one"}] * CHILDREN


def test_a_fork_while_another_thread_looks_leaves_no_lock_behind(settings: Any) -> None:
    from tests.support.backends import HangingCache

    settings.CACHES = {"default": {"BACKEND": "tests.support.backends.HangingCache", "LOCATION": "fork"}}
    HangingCache.open.set()
    publish(banner_text="one")
    read()
    HangingCache.asked.clear()
    HangingCache.open.clear()
    thread = threading.Thread(target=read)
    thread.start()
    try:
        while not HangingCache.asked:
            pass
        with children(1) as [child]:
            child.ask(open_and_read)
            assert child.answer() == "one"
    finally:
        HangingCache.open.set()
        thread.join()


def open_and_read() -> Any:
    from tests.support.backends import HangingCache

    HangingCache.open = threading.Event()
    HangingCache.open.set()
    return read()


def test_a_fork_while_another_thread_evaluates_leaves_no_lock_behind(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(banner_text="one")
    evaluating, go_on = threading.Event(), threading.Event()

    def evaluate_slowly(environment: Environment, document: Any) -> None:
        evaluating.set()
        go_on.wait()

    monkeypatch.setattr(Environment, "__init__", evaluate_slowly)
    thread = threading.Thread(target=Environment, args=({},))
    thread.start()
    try:
        evaluating.wait()
        monkeypatch.undo()
        with children(1) as [child]:
            assert child(read) == "one"
    finally:
        go_on.set()
        thread.join()


def test_a_grandchild_sees_updates_too(server: Any) -> None:
    publish(banner_text="one")
    read()
    with children(1) as [child]:
        publish(banner_text="two")
        assert child(read_in_grandchild) == ["two", "two"]


def read_in_grandchild() -> list[Any]:
    mine = read()
    with children(1) as [grandchild]:
        return [mine, grandchild(read)]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork context")
def test_multiprocessings_fork_context_works_like_fork(server: Any) -> None:
    publish(banner_text="one")
    read()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(read_often, [20] * 4) == [{"one"}] * 4
        publish(banner_text="two")
        assert pool.map(read_often, [20] * 4) == [{"two"}] * 4
        pool.terminate()
        pool.join()
