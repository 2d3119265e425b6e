"""Whether this thread runs an event loop, and how to wait there for what only a coroutine can do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync

T = TypeVar("T")


def is_running() -> bool:
    """Tell whether this thread runs an event loop, which blocking would hold up."""
    return asyncio._get_running_loop() is not None  # documented; the other one raises where there is none


def run_elsewhere(function: Callable[[], Coroutine[Any, Any, T]], timeout: float) -> T:
    """Run a coroutine function to its end in a thread of its own, with the context of the caller, who waits.

    What it hands to `sync_to_async` runs where the caller's would: on the thread that has the database connections.
    """
    future: Future[T] = Future()
    executor = getattr(AsyncToSync.executors, "current", None)

    def run() -> None:
        AsyncToSync.executors.current = executor
        try:
            future.set_result(asyncio.run(function()))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), name="flagsmith-coroutine", daemon=True).start()
    return future.result(timeout)
