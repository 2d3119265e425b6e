"""Proxies in place of cables, where network namespaces are not permitted: all is on the loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import TypeVar

LOOPBACK = "127.0.0.1"
Result = TypeVar("Result")


class Link:
    """A port that leads to another one, unless it is cut: then nothing gets through, and nobody is told."""

    def __init__(self, loop: asyncio.AbstractEventLoop, upstream: int) -> None:
        self._loop = loop
        self._upstream = upstream
        self._connections: set[asyncio.Task[None]] = set()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), loop).result()

    async def _listen(self) -> int:
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        return int(self._server.sockets[0].getsockname()[1])

    @contextmanager
    def cut(self) -> Iterator[None]:
        self._loop.call_soon_threadsafe(self._flowing.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._flowing.set)

    async def close(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = self._loop.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):
            await self._flowing.wait()
            there = await asyncio.open_connection(LOOPBACK, self._upstream)
            with closing(there[1]):
                await asyncio.gather(self._pass(reader, there[1]), self._pass(there[0], writer))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        await self._flowing.wait()  # a goodbye does not get through either
        sink.close()


class Links:
    """Places of one machine; each pair of a host and a server has a link of its own."""

    kind = "processes of one host, with a proxy as each link"
    settings: Mapping[str, float] = {"STREAM_TIMEOUT": 5}  # a proxy answers TCP's own questions although it is cut
    ping_seconds = 1.0

    def __init__(self, *places: str) -> None:
        self._places = places
        self._links: dict[tuple[str, str], Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def prefix(self, place: str) -> list[str]:
        return []

    def call(self, place: str, act: Callable[[str], Result]) -> Result:
        return act(LOOPBACK)

    def bind(self, place: str) -> str:
        return LOOPBACK

    def expose(self, place: str, port: int) -> None:
        for here in self._places:
            self._links[here, place] = Link(self._loop, port)

    def address(self, place: str, seen_from: str) -> str:
        return f"{LOOPBACK}:{self._links[seen_from, place].port}"

    def cut(self, here: str, there: str) -> AbstractContextManager[None]:
        return self._links[here, there].cut()

    def close(self) -> None:
        for link in self._links.values():
            asyncio.run_coroutine_threadsafe(link.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
