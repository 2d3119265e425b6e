"""Each reach into what Python, Django, asgiref, redis-py or openfeature-sdk don't document, and why.

`tests/unit/test_compat.py` has a test for each entry that fails once the entry is not needed any more.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import lru_cache
from importlib import import_module
from types import FrameType
from typing import Any
from weakref import finalize

import django
from asgiref.sync import AsyncToSync, SyncToAsync
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from django.core.exceptions import RequestAborted
from django.dispatch import Signal
from django.template.base import Node


def gettext_noop(text: str) -> str:
    """Mark a text of a module for translation, where it is shown.

    Django 5.2 to 6.1: its own function of this name reads the settings, so that a module which calls it can't be
    imported before they are configured, as a `conftest.py` does.
    """
    return text


class SignalOfAnyReceiver(Signal):
    """A signal whose receiver may be a `functools.partial` or an object with `__call__`.

    Django 5.2 to 6.1: `send_robust` logs `receiver.__qualname__` when a receiver fails. These have none, so that
    `send_robust` itself raises AttributeError, and the receivers behind are not called.
    """

    def log_failure(self, receiver: Any, error: Exception) -> None:
        raise NotImplementedError

    def _log_robust_failure(self, receiver: Any, err: Exception) -> None:
        self.log_failure(receiver, err)


def keep_redis_clients(cache: RedisCache) -> None:
    """Make a `RedisCache` keep its clients, and close their connections once nothing refers to it.

    Django 5.2 to 6.1 make a `redis.Redis` for each operation. With redis-py 8 that takes 0.1 ms, as long as a round
    trip to a Redis of the same host; a client is thread-safe, and no more than a name for a pool of connections.
    `RedisCache.close()` closes nothing, and redis-py's reference cycles keep pools until the garbage collector runs.
    """
    inner: Any = cache._cache
    if hasattr(inner, "_client") and hasattr(inner, "_pools"):  # not so where a subclass has its own client
        inner._client = lru_cache(inner._client)
        finalize(cache, _disconnect, inner._pools).atexit = False


def _disconnect(pools: dict[int, Any]) -> None:
    for pool in pools.values():
        pool.disconnect()


def close_caches() -> None:
    """Close the connections that a request has opened to caches, for sessions for instance.

    Under ASGI, Django 5.2 to 6.1 open `caches[alias]` anew for each request, and close it when the request ends. But
    `RedisCache.close()` closes nothing. Connections that another thread uses stay.
    """
    for cache in caches.all(initialized_only=True):
        cache.close()
        if isinstance(cache, RedisCache):
            for pool in getattr(cache._cache, "_pools", {}).values():
                with suppress(TypeError):  # a pool of redis-py 5 that has no such argument
                    pool.disconnect(inuse_connections=False)


def bind_to_caller(function: Callable[[], None]) -> Callable[[], None]:
    """Return a function that runs, in another thread, as if the caller ran it: in a copy of the caller's context.

    asgiref 3.12 and later hide from other threads which thread waits for `sync_to_async`, also in a copied context.
    In Django's tests and under WSGI this is the thread that has the database's connections, and open transactions.
    """
    executor = getattr(AsyncToSync.executors, "current", None)

    def run() -> None:
        AsyncToSync.executors.current = executor
        function()

    context = copy_context()
    return lambda: context.run(run)


def abort_request() -> None:
    """Let Django take a request whose task was cancelled for one whose client has gone; its iterator calls this.

    Django 5.2 and 6.0 do so by themselves. 6.1 passes the cancellation on to the server, which logs it as an error.
    """
    task = asyncio.current_task()
    if sys.version_info >= (3, 11) and django.VERSION >= (6, 1) and task:
        task.uncancel()
        raise RequestAborted


def rendered_node(frame: FrameType) -> Any:
    """Return the template node that a stack frame renders, or None; the toolbar's panel shows its template and line.

    Django 5.2 to 6.1 render each node by `Node.render_annotated`, and document no way to ask which one is rendered.
    """
    return frame.f_locals["self"] if frame.f_code is Node.render_annotated.__code__ else None


def parse_regex(pattern: str) -> Any:
    """Return a regular expression as `re` parses it: a sequence of named operators with their arguments.

    Python 3.10 to 3.13 show it in no public way. In 3.10 the modules have other names, of which 3.11 and later warn.
    """
    parser, _ = _regex_modules()
    return parser.parse(pattern)


def compile_regex_item(operator: Any, arguments: Any) -> re.Pattern[str]:
    """Compile one operator of a parsed regular expression."""
    parser, compiler = _regex_modules()
    compiled: re.Pattern[str] = compiler.compile(parser.SubPattern(parser.State(), [(operator, arguments)]))
    return compiled


def _regex_modules() -> tuple[Any, Any]:
    names = ("re._parser", "re._compiler") if sys.version_info >= (3, 11) else ("sre_parse", "sre_compile")
    parser, compiler = map(import_module, names)
    return parser, compiler


class _SharedThread(ThreadPoolExecutor):
    """A thread that no request ends."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass


_late_thread = _SharedThread(1, thread_name_prefix="flagsmith-late")


async def end_request_thread(last: Callable[[], None]) -> None:
    """End the thread that Django holds until a request has its whole response, once it has called `last`.

    asgiref 3.8 to 3.13 start a thread for each ASGI request in which sync code runs, such as Django's own middlewares,
    and offer no way to end it before the request. A response that lasts for hours would keep it, and the database
    connections that belong to it. Sync code that runs later in such a request shares one thread with that of others:
    Django closes each response in the request's thread, and starting one for each of 1,000 takes 4 s.
    """
    context: Any = SyncToAsync.thread_sensitive_context.get(None)
    if context is None or getattr(context, "_executor", None):  # the caller's own, from asgiref 3.12 on
        return
    executor = SyncToAsync.context_to_thread_executor.pop(context, None)
    SyncToAsync.context_to_thread_executor[context] = _late_thread
    if executor:
        await asyncio.get_running_loop().run_in_executor(executor, last)
        executor.shutdown(wait=False)


def renew_event_threads() -> None:
    """Let OpenFeature's SDK call handlers of events in a child of a fork, too; the child calls this.

    openfeature-sdk 0.10 calls them in threads that it keeps. A child has none of its parent's threads, but the SDK
    still counts one that was idle: then no handler is called for an event in the child until the next event.
    """
    support: Any = import_module("openfeature._event_support")
    if hasattr(support, "_event_executor"):
        support._event_executor = ThreadPoolExecutor(thread_name_prefix="openfeature-event-handler")
