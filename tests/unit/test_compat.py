"""What the entries of `compat` do, and whether they are still needed: if not, the test says so by failing."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

import pytest
from asgiref.sync import AsyncToSync, ThreadSensitiveContext, async_to_sync, sync_to_async
from django.core.cache import caches
from django.dispatch import Signal
from django.template import Context, Template
from openfeature import _event_support
from openfeature.event import EventDetails

import django_flagsmith_realtime.openfeature  # noqa: F401 - which renews the threads
from django_flagsmith_realtime.compat import (
    bind_to_caller,
    close_caches,
    compile_regex_item,
    end_request_thread,
    parse_regex,
    rendered_node,
    renew_event_threads,
)
from tests.support.documents import configured_store
from tests.support.processes import RedisServer, wait_until


def fail(**kwargs: Any) -> None:
    raise RuntimeError


WITHOUT_SETTINGS = """
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_noop
import django_flagsmith_realtime as package
from django_flagsmith_realtime.test import override_flags

assert all(hasattr(package, name) for name in package.__all__)
try:
    gettext_noop("on")
except ImproperlyConfigured:
    print("needed")
"""


@pytest.mark.slow
def test_djangos_mark_of_a_text_still_needs_settings_and_ours_lets_a_conftest_import_the_package() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-c", WITHOUT_SETTINGS]
    assert subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True).stdout == "needed\n"


def test_djangos_signal_still_fails_with_a_receiver_without_a_name() -> None:
    """See `SignalOfAnyReceiver`; what it does is in test_signals."""
    signal, receiver = Signal(), partial(fail)
    signal.connect(receiver)
    with pytest.raises(AttributeError, match="__qualname__"):
        signal.send_robust(None)


class TestBindToCaller:
    @staticmethod
    def executor_in_a_thread(bind: Callable[[Callable[[], None]], Callable[[], None]]) -> Any:
        """Return what another thread that `async_to_sync` waits for finds as the executor of `sync_to_async`."""
        found = []

        async def start_thread() -> None:
            thread = threading.Thread(
                target=bind(lambda: found.append(getattr(AsyncToSync.executors, "current", None)))
            )
            thread.start()
            thread.join()

        async_to_sync(start_thread)()
        return found[0]

    def test_a_copied_context_still_lacks_the_executor_that_a_bound_function_has(self) -> None:
        assert self.executor_in_a_thread(lambda function: partial(copy_context().run, function)) is None
        assert self.executor_in_a_thread(bind_to_caller) is not None


class TestRedisClients:
    """See `keep_redis_clients`."""

    @pytest.fixture(autouse=True)
    def configure(self, redis_server: RedisServer, settings: Any) -> None:
        settings.CACHES = {"default": redis_server.cache()}

    def test_django_still_makes_one_for_each_operation_and_closes_none(self) -> None:
        cache: Any = caches.create_connection("default")
        client = cache._cache.get_client()
        assert cache._cache.get_client() is not client
        own = str(client.client_id())
        cache.close()
        assert own in [each["id"] for each in client.client_list()]
        client.connection_pool.disconnect()

    def test_close_caches_closes_those_that_are_idle(self, redis_server: RedisServer) -> None:
        cache: Any = caches["default"]
        client = cache._cache.get_client()
        transaction = client.pipeline()
        transaction.watch("nothing")  # it has a connection of its own until it ends
        used, idle = str(transaction.client_id()), str(client.client_id())
        with redis_server.client() as observer:
            close_caches()
            wait_until(lambda: idle not in [each["id"] for each in observer.client_list()])
            assert transaction.ping()
            transaction.reset()
            assert used in [each["id"] for each in observer.client_list()]
            close_caches()
            wait_until(lambda: used not in [each["id"] for each in observer.client_list()])
        assert cache.get("nothing") is None, "it connects again"
        close_caches()

    def test_a_store_makes_one(self) -> None:
        cache: Any = configured_store().cache.connection
        assert cache._cache.get_client() is cache._cache.get_client()

    def test_a_store_that_is_closed_leaves_no_connection(self) -> None:
        observer: Any = caches["default"]
        connected = observer._cache.get_client().client_list
        gc.disable()
        try:
            store = configured_store()
            cache: Any = store.cache.connection
            own = str(cache._cache.get_client().client_id())
            assert own in [client["id"] for client in connected()]
            del cache
            store.close()
            wait_until(lambda: own not in [client["id"] for client in connected()])
        finally:
            gc.enable()


class TestRequestThread:
    @staticmethod
    async def middleware() -> threading.Thread:
        return await sync_to_async(threading.current_thread)()

    def test_asgiref_still_keeps_it_until_the_request_ends(self) -> None:
        async def request() -> threading.Thread:
            async with ThreadSensitiveContext():
                thread = await self.middleware()
                assert thread.is_alive()
                assert await self.middleware() is thread
            return thread

        thread = asyncio.run(request())
        wait_until(lambda: not thread.is_alive())

    def test_it_ends_after_a_last_call_and_later_code_shares_one_with_other_requests(self) -> None:
        called = []

        async def request() -> threading.Thread:
            async with ThreadSensitiveContext():
                thread = await self.middleware()
                await end_request_thread(lambda: called.append(threading.current_thread()))
                assert called.pop() is thread
                wait_until(lambda: not thread.is_alive())
                return await self.middleware()

        late = asyncio.run(request())
        assert asyncio.run(request()) is late
        assert late.is_alive()

    def test_nothing_is_called_where_there_is_none(self) -> None:
        async def request() -> None:
            await end_request_thread(pytest.fail)
            async with ThreadSensitiveContext():
                await end_request_thread(pytest.fail)

        asyncio.run(request())


def test_django_still_renders_a_node_in_a_frame_that_holds_it() -> None:
    """See `rendered_node`."""
    nodes = []

    def note() -> str:
        frame: Any = sys._getframe(1)
        while frame:
            nodes.append(rendered_node(frame))
            frame = frame.f_back
        return ""

    Template("<p>\n{{ note }}").render(Context({"note": note}))
    [node] = filter(None, nodes)
    assert node.token.lineno == 2


def test_python_still_shows_a_parsed_regular_expression_in_no_public_way() -> None:
    """See `parse_regex`; what it is for is in test_backtracking."""
    assert not {"parse", "parser"} & set(dir(re))
    [(operator, arguments)] = parse_regex("a+")
    assert str(operator) == "MAX_REPEAT"
    assert compile_regex_item(*arguments[2][0]).match("a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the threads are part of what is tested
def test_openfeatures_threads_still_end_with_a_fork_and_a_child_has_new_ones() -> None:
    if not (threads := getattr(_event_support, "_event_executor", None)):  # openfeature-sdk before 0.10
        renew_event_threads()
        assert not hasattr(_event_support, "_event_executor")
        return
    called = threading.Event()
    threads.submit(called.set).result(10)  # as of a handler that is called before the fork
    if pid := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        return
    called.clear()
    _event_support._submit_handler(lambda details: called.set(), EventDetails("Flagsmith"))
    is_called = called.wait(10)
    called.clear()
    threads.submit(called.set)
    os._exit(not is_called or called.wait(0.02))
