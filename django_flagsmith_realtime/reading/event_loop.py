"""Whether this thread runs an event loop, and how to wait there for what only a coroutine can do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from ..compat import bind_to_caller

T = TypeVar("T")


def is_running() -> bool:
    """Tell whether this thread runs an event loop, which blocking would hold up."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run_elsewhere(function: Callable[[], Coroutine[Any, Any, T]], timeout: float) -> T:
    """Run a coroutine function to its end in a thread of its own, with the context of the caller, who waits.

    What it hands to `sync_to_async` runs where the caller's would: on the thread that has the database connections.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(asyncio.run(function()))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=bind_to_caller(run), name="flagsmith-coroutine", daemon=True).start()
    return future.result(timeout)
