"""An HTTP server that does what a script says, misbehaviour included, on a free port of the loopback.

with ScriptedServer() as server:
    server.script("/flags/", Refuse(503), Answer(body={}))  # in order; the last one repeats
    ...
    assert server.requests[0].headers["accept"] == "application/json"
"""

from __future__ import annotations

import gzip
import json
import select
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import Empty, SimpleQueue
from typing import Any, Literal, Protocol

DEADLINE = 5.0  # seconds that a test waits for what must happen
PING = b": ping\r\n\r\n"

Framing = Literal["length", "chunked", "close"]
Ending = Literal["clean", "cut", "reset", "open"]


@dataclass(frozen=True)
class Request:
    """What a client asked for. Header names are in lower case, `at` is monotonic."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Connection:
    """A client's connection, as an answer uses it; whatever it does ends with an `OSError` once that is gone."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self._sock = sock
        self._stopping = stopping
        self._reader = sock.makefile("rb")

    def read_request(self) -> Request | None:
        """Return the next request; None at the end of the connection."""
        if not self._reader.peek(1)[:1].isalpha():  # a TLS handshake, or the end
            self.send(head(400, {"Content-Length": "0"}))
            return None
        start = self._reader.readline().decode("latin-1").split()
        if len(start) != 3:
            return None
        headers = {}
        while line := self._reader.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self._reader.read(int(headers.get("content-length", 0)))
        return Request(start[0], start[1], headers, body, time.monotonic())

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise ConnectionAbortedError("the server is closing")

    def hold(self) -> None:
        """Wait until the client hangs up."""
        with suppress(OSError):
            while self._reader.read1():
                pass

    def wait_or_hang_up(self, other: socket.socket, seconds: float | None = None) -> bool:
        """Tell whether another socket has something to read in time; raise `OSError` when the client hangs up first."""
        readable, _, _ = select.select([self._sock, other], [], [], seconds)
        if self._sock in readable and other not in readable:
            raise ConnectionAbortedError("the client hung up")
        return bool(readable)

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def shut(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._reader.close()
        self._sock.close()


class Reply(Protocol):
    """One step of a script; `serve` tells whether the connection may be used again."""

    def serve(self, connection: Connection, request: Request) -> bool: ...


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return a status line and headers."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body; the empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Answer:
    """A whole answer. A body that is not bytes is sent as JSON."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = b""
    framing: Framing = "length"
    gzip: bool = False

    def serve(self, connection: Connection, request: Request) -> bool:
        headers, body = self.render()
        connection.send(head(self.status, headers) + body)
        return self.framing != "close"

    def render(self) -> tuple[dict[str, str], bytes]:
        """Return the headers and the body as they go over the wire."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        if self.gzip:
            headers["Content-Encoding"], body = "gzip", gzip.compress(body)
        if self.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
            body = b"".join([*(chunk(body[at : at + 1000]) for at in range(0, len(body), 1000)), chunk(b"")])
        elif self.framing == "length":
            headers["Content-Length"] = str(len(body))
        return headers, body


def Refuse(status: int, retry_after: str | int | None = None) -> Answer:  # noqa: N802 - reads as a step
    """Answer with an error."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Answer(status, headers, {"detail": HTTPStatus(status).phrase})


def Redirect(url: str, status: int = 307) -> Answer:  # noqa: N802 - reads as a step
    """Send the client elsewhere."""
    return Answer(status, {"Location": url})


@dataclass
class Raw:
    """Exactly these bytes, with pauses of so many seconds between them."""

    pieces: Iterable[bytes | float]
    end: Literal["close", "reset", "open"] = "close"

    def serve(self, connection: Connection, request: Request) -> bool:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                connection.send(piece)
            else:
                connection.pause(piece)
        if self.end == "open":
            connection.hold()
        elif self.end == "reset":
            connection.reset()
        return False


def Reset() -> Raw:  # noqa: N802 - reads as a step
    """Break the connection instead of an answer."""
    return Raw([], end="reset")


def Silence() -> Raw:  # noqa: N802 - reads as a step
    """Take the request and say nothing, for ever."""
    return Raw([], end="open")


def Drip(body: Any, seconds: float, *, what: Literal["headers", "body"] = "body") -> Raw:  # noqa: N802
    """Send the headers, or the body, in a hundred pieces that take so long together."""
    headers, payload = Answer(body=body).render()
    before, slow, after = b"", head(200, headers), payload
    if what == "body":
        before, slow, after = slow, payload, b""
    size = -(-len(slow) // 100)
    pieces: list[bytes | float] = [before]
    for at in range(0, len(slow), size):
        pieces += [slow[at : at + size], seconds / 100]
    return Raw([*pieces, after])


def Truncated(body: bytes, how: Literal["length", "chunk", "last chunk"]) -> Raw:  # noqa: N802 - reads as a step
    """End an answer too early: before its length, within a chunk, or without the last chunk."""
    if how == "length":
        return Raw([head(200, {"Content-Length": str(len(body))}), body[: len(body) // 2]])
    sent = chunk(body)[: len(body) // 2] if how == "chunk" else chunk(body)
    return Raw([head(200, {"Transfer-Encoding": "chunked"}), sent])


class Inbox:
    """Hands what a test sends to the thread that serves a stream."""

    def __init__(self) -> None:
        self._items: deque[bytes | Ending] = deque()
        self._bell, self._rope = socket.socketpair()

    def put(self, item: bytes | Ending) -> None:
        self._items.append(item)
        self._rope.send(b"!")

    def take(self, connection: Connection, patience: float | None = None) -> bytes | Ending:
        """Wait for the next item, or a ping; raise `OSError` when the client hangs up."""
        if not connection.wait_or_hang_up(self._bell, patience):
            return PING
        self._bell.recv(1)
        return self._items.popleft()

    def close(self) -> None:
        self._bell.close()
        self._rope.close()


class EventStream:
    """Server-sent events: first `pieces` (bytes, or pauses in seconds), then what `send` says, until its end.

    `pieces` are asked for anew by each connection.
    `end`: "clean"; "cut" (no last chunk); "reset"; "open" (until `finish` or the client hangs up).
    `ping`: seconds of silence before a comment; None: never.
    """

    def __init__(
        self,
        pieces: Iterable[bytes | float] = (),
        end: Ending = "open",
        *,
        framing: Literal["chunked", "close"] = "chunked",
        headers: Mapping[str, str] | None = None,
        ping: float | None = None,
    ) -> None:
        self._pieces = pieces
        self._ping = ping
        self._end = end
        self._chunked = framing == "chunked"
        self._headers = {"Content-Type": "text/event-stream; charset=utf-8", **(headers or {})}
        self._inboxes: list[Inbox] = []
        self._changed = threading.Condition()

    @property
    def listeners(self) -> int:
        return len(self._inboxes)

    def send(self, data: bytes) -> None:
        """Send to whoever listens, as soon as somebody does."""
        self._put(data)

    def finish(self, how: Ending = "clean") -> None:
        """End the open connections."""
        self._put(how)

    def _put(self, item: bytes | Ending) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._inboxes, DEADLINE), "nobody listens"
            for inbox in self._inboxes:
                inbox.put(item)

    def serve(self, connection: Connection, request: Request) -> bool:
        connection.send(head(200, {**self._headers, **({"Transfer-Encoding": "chunked"} if self._chunked else {})}))
        for piece in self._pieces:
            if isinstance(piece, bytes):
                self._send(connection, piece)
            else:
                connection.pause(piece)
        self._finish(connection, self._follow(connection) if self._end == "open" else self._end)
        return False

    def _follow(self, connection: Connection) -> Ending:
        with self._inbox() as inbox:
            while isinstance(item := inbox.take(connection, self._ping), bytes):
                self._send(connection, item)
            return item

    @contextmanager
    def _inbox(self) -> Iterator[Inbox]:
        inbox = Inbox()
        self._change(self._inboxes.append, inbox)
        try:
            yield inbox
        finally:
            self._change(self._inboxes.remove, inbox)
            inbox.close()

    def _change(self, change: Callable[[Inbox], None], inbox: Inbox) -> None:
        with self._changed:
            change(inbox)
            self._changed.notify_all()

    def _send(self, connection: Connection, data: bytes) -> None:
        connection.send(chunk(data) if self._chunked else data)

    def _finish(self, connection: Connection, how: Ending) -> None:
        if how == "reset":
            connection.reset()
        elif how == "clean" and self._chunked:
            connection.send(chunk(b""))


class ScriptedServer:
    """Listens from `__enter__` to `__exit__`, one thread per connection."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.accepted = 0  # connections so far
        self._scripts: dict[str, list[Reply]] = defaultdict(lambda: [Refuse(404)])
        self._connections: dict[Connection, threading.Thread] = {}
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._turns_away = False
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def turning_away(self) -> Iterator[None]:
        """Break every connection, the open ones too, before it can say a word."""
        self._turns_away = True
        for connection in tuple(self._connections):
            connection.shut()
        yield
        self._turns_away = False

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Break the open connections and refuse all others, as a host does where no server runs."""
        self._stop_listening()
        with socket.socket() as reserved:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind(("127.0.0.1", self.port))
            self._hang_up()
            yield
            reserved.listen(128)
            self._listener = reserved.dup()
        self._listen()

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def script(self, path: str, *replies: Reply) -> None:
        """Say what a path answers; the last reply repeats."""
        self._scripts[path] = list(replies)

    def requests_to(self, path: str) -> list[Request]:
        return [request for request in list(self.requests) if request.path == path]

    def wait_for(self, condition: Callable[[], object], seconds: float = DEADLINE) -> None:
        """Wait for something about the requests or connections."""
        with self._changed:
            assert self._changed.wait_for(condition, seconds), "the server waited in vain"

    def __enter__(self) -> ScriptedServer:
        self._listen()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping.set()
        self._stop_listening()
        self._hang_up()

    def _listen(self) -> None:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _stop_listening(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(DEADLINE)
        self._listener.close()

    def _hang_up(self) -> None:
        threads = dict(self._connections)
        for connection, thread in threads.items():
            connection.shut()
            thread.join(DEADLINE)
        assert not any(thread.is_alive() for thread in threads.values()), "an answer does not end"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = Connection(sock, self._stopping)
                thread = threading.Thread(target=self._talk, args=[connection], daemon=True)
                with self._changed:
                    self.accepted += 1
                    self._connections[connection] = thread
                    self._changed.notify_all()
                thread.start()

    def _talk(self, connection: Connection) -> None:
        try:
            if self._turns_away:
                return connection.reset()
            while (request := connection.read_request()) and self._reply(request).serve(connection, request):
                pass
            connection.shut()
        except OSError:
            pass  # the client went away
        finally:
            connection.close()
            with self._changed:
                del self._connections[connection]
                self._changed.notify_all()

    def _reply(self, request: Request) -> Reply:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            replies = self._scripts[request.path]
            return replies.pop(0) if len(replies) > 1 else replies[0]


def take(queue: SimpleQueue[Any], seconds: float = DEADLINE) -> Any:
    """Return the next item of a queue, or fail."""
    try:
        return queue.get(timeout=seconds)
    except Empty:
        raise AssertionError(f"nothing came within {seconds:g} s") from None
