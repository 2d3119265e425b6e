"""Many subscribers of one event stream in one thread, each with as little as the system allows."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack


class OpenPages:
    """Connections to a stream, each of which holds what came since it was last asked for something."""

    def __init__(self, port: int, target: str, count: int, headers: Mapping[str, str] = {}) -> None:
        lines = [f"GET {target} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._selector = selectors.DefaultSelector()
        self._received: dict[socket.socket, bytes] = {}
        self._stack = ExitStack()
        self._stack.enter_context(self._selector)
        for _ in range(count):
            page = self._stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            page.sendall(self._request)
            page.setblocking(False)
            self._selector.register(page, selectors.EVENT_READ)
            self._received[page] = b""

    def __enter__(self) -> OpenPages:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def received(self) -> list[bytes]:
        """What each page received after the text that was last waited for."""
        return list(self._received.values())

    def wait_for(self, text: bytes, timeout: float = 30, *, then: Callable[[], object] = lambda: None) -> list[float]:
        """Read until each page has received a text; return when each had, by `time.monotonic`, the last one at the end.

        `then` is called for each. What a page received up to its end is dropped. Raise `TimeoutError`, or `ConnectionError` where a page was left.
        """
        deadline, times, waiting = time.monotonic() + timeout, [], set()
        for page, received in self._received.items():
            if text in received:
                self._received[page] = received.partition(text)[2]
                times.append(time.monotonic())
                then()
            else:
                waiting.add(page)
        while waiting:
            ready = self._selector.select(deadline - time.monotonic())
            if not ready:
                raise TimeoutError(f"{len(waiting)} of {len(self._received)} pages didn't get {text!r}")
            for key, _ in ready:
                page = key.fileobj
                assert isinstance(page, socket.socket)
                if not (data := page.recv(65536)):
                    raise ConnectionError(f"The server ended a stream after {self._received[page]!r}")
                self._received[page] += data
                if page in waiting and text in self._received[page]:
                    self._received[page] = self._received[page].partition(text)[2]
                    waiting.remove(page)
                    times.append(time.monotonic())
                    then()
        return times
