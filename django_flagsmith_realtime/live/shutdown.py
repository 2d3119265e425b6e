"""What happens to open streams when the server is told to stop: it would wait for them, for as long as it waits."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def calls_on_signal(function: Callable[[], None]) -> Iterator[None]:
    """Within the block, call a function on the running loop when a signal ends the process; then the server's handler.

    Only the main thread may set handlers: in a loop of another thread, the server's own timeout ends the streams.
    """
    loop, ours = asyncio.get_running_loop(), {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if callable(theirs := signal.getsignal(number)):  # else the process ends at once, or ignores it
                ours[number] = _before(theirs, loop, function), theirs
                signal.signal(number, ours[number][0])
    try:
        yield
    finally:
        for number, (handler, theirs) in ours.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, theirs)


def _before(
    handler: Callable[[int, FrameType | None], object], loop: asyncio.AbstractEventLoop, function: Callable[[], None]
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(function)
        handler(number, frame)

    return handle
