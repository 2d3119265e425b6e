"""Whether this thread runs an event loop, and how to wait there for a coroutine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from ..compat import bind_to_caller

T = TypeVar("T")

BLOCK_SECONDS = 1.0  # for which a sync read may block an event loop: long for a page, short for the pages beside it


def is_running() -> bool:
    """Tell whether this thread runs an event loop, which waiting would block."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run_in_thread(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what a coroutine function returns, run by an event loop in a thread of its own; raise `TimeoutError`.

    What it hands to `sync_to_async` runs where the caller's would: on the thread that has the database connections.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(asyncio.run(function()))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=bind_to_caller(run), name="flagsmith-coroutine", daemon=True).start()
    _, late = wait([future], BLOCK_SECONDS)
    if late:
        raise TimeoutError(
            f"No answer within {BLOCK_SECONDS:g} s; a sync read blocks the event loop no longer. "
            "Write `await request.aflags()` before it."
        )
    return future.result()
