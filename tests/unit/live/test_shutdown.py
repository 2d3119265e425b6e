"""What a signal does while streams are open, in this process; `tests/live` has real servers."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from django_flagsmith_realtime.live.shutdown import calls_on_signal


@pytest.fixture
def handled() -> Iterator[list[Any]]:
    """What the server's handler of SIGTERM got."""
    found: list[Any] = []

    def handle(number: int, frame: Any) -> None:
        found.append(number)

    before = signal.signal(signal.SIGTERM, handle)
    yield found
    signal.signal(signal.SIGTERM, before)


def test_a_signal_calls_the_function_on_the_loop_and_the_servers_handler(handled: list[Any]) -> None:
    async def serve() -> None:
        with calls_on_signal(lambda: handled.append("ended")):
            signal.raise_signal(signal.SIGTERM)
            assert handled == [signal.SIGTERM], "the loop has its turn later"
            await asyncio.sleep(0)
        assert handled == [signal.SIGTERM, "ended"]
        signal.raise_signal(signal.SIGTERM)

    asyncio.run(serve())
    assert handled == [signal.SIGTERM, "ended", signal.SIGTERM]


def test_a_handler_that_was_set_meanwhile_stays(handled: list[Any]) -> None:
    def other(number: int, frame: Any) -> None:
        raise NotImplementedError

    async def serve() -> None:
        with calls_on_signal(lambda: None):
            signal.signal(signal.SIGTERM, other)

    asyncio.run(serve())
    assert signal.getsignal(signal.SIGTERM) is other


def test_a_signal_that_ends_the_process_at_once_still_does() -> None:
    async def find() -> Any:
        with calls_on_signal(lambda: None):
            return signal.getsignal(signal.SIGTERM)

    assert asyncio.run(find()) is signal.SIG_DFL


def test_in_another_thread_no_handler_is_set(handled: list[Any]) -> None:
    found = []

    async def serve() -> None:
        with calls_on_signal(lambda: None):
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    thread.join()
    assert found == [before]
