"""A proxy in front of Flagsmith that fails on demand, in the ways that networks, gateways and caches do."""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

LOOK_EVERY = 0.05  # seconds
CONNECT_WITHIN = 5.0  # seconds
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
DOCUMENT = b"/environment-document/"

Answer = Callable[[bytes], bytes | None]  # from a request's head to an answer; None passes it on


def http(status: str, body: str, *headers: str, content_type: str = "application/json") -> bytes:
    """Return a whole answer."""
    payload = body.encode()
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(payload)}", *headers)
    return "\r\n".join((*lines, "Connection: close", "", "")).encode() + payload


CANNED = {
    "500": http("500 Internal Server Error", "<h1>Server Error (500)</h1>", content_type="text/html"),
    "503 with Retry-After": http("503 Service Unavailable", "", "Retry-After: 1"),
    "429": http("429 Too Many Requests", '{"detail":"Request was throttled."}'),
    "403": http("403 Forbidden", '{"detail":"Invalid or missing Environment Key"}'),
    "HTML with 200": http("200 OK", "<!doctype html><title>Sign in</title>", content_type="text/html"),
    "{}": http("200 OK", "{}"),
}


class FaultProxy:
    """Passes each request to a port of this machine, on a connection of its own, unless a fault is on."""

    def __init__(self, upstream_port: int) -> None:
        self.document_requests = 0
        self._upstream = ("127.0.0.1", upstream_port)
        self._flowing = threading.Event()
        self._flowing.set()
        self._answer: Answer = pass_on
        self._resets = 0
        self._closing = False
        self._listen(0)
        self.url = f"http://127.0.0.1:{self.port}/"

    def close(self) -> None:
        self._closing = True
        self._flowing.set()
        self._stop_listening()

    # Faults

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse new connections; open ones go on."""
        self._stop_listening()
        try:
            yield
        finally:
            self._listen(self.port)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Take connections and let nothing through."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    @contextmanager
    def answering(self, answer: Answer) -> Iterator[None]:
        """Answer requests in place of Flagsmith; what is open goes on."""
        self._answer = answer
        try:
            yield
        finally:
            self._answer = pass_on

    def reset(self) -> None:
        """Cut all open connections without a goodbye."""
        self._resets += 1

    # Connections

    def _listen(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def _stop_listening(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in `accept`
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        resets = self._resets
        with client, suppress(OSError):
            if not (head := read_head(client)):
                return
            self.document_requests += DOCUMENT in head
            self._flowing.wait()
            answer = self._answer(head)
            if answer is not None:
                client.sendall(answer)
                client.shutdown(socket.SHUT_WR)
                client.recv(1)  # or unread bytes would turn the end into a reset
                return
            with socket.create_connection(self._upstream, timeout=CONNECT_WITHIN) as upstream:
                upstream.sendall(asking_to_close(head))
                self._pass_back(upstream, client, resets)

    def _pass_back(self, upstream: socket.socket, client: socket.socket, resets: int) -> None:
        while not self._closing:
            readable, _, _ = select.select([upstream, client], [], [], LOOK_EVERY)
            if resets != self._resets:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                return
            if client in readable:
                return  # it has nothing more to say than its goodbye
            if upstream in readable and self._flowing.is_set():
                if not (data := upstream.recv(65536)):
                    return
                client.sendall(data)


def pass_on(head: bytes) -> bytes | None:
    return None


def canned(answer: bytes) -> Answer:
    """Answer every request alike."""
    return lambda head: answer


def truncated(document: Any) -> Answer:
    """Answer with half a document, under the length of the whole."""
    answer = http("200 OK", json.dumps(document))
    return lambda head: answer[: len(answer) // 2] if DOCUMENT in head else None


def replayed(document: Any) -> Answer:
    """Answer with a document of before, as a cache does; the stream is as ever."""
    answer = http("200 OK", json.dumps(document))
    return lambda head: answer if DOCUMENT in head else None


def read_head(connection: socket.socket) -> bytes:
    """Return a request up to the empty line; nothing where the client leaves before."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = connection.recv(65536)
        if not part:
            return b""
        head += part
    return head


def asking_to_close(head: bytes) -> bytes:
    return re.sub(rb"(?im)^connection:.*?$", b"Connection: close\r", head)
