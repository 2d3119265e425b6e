"""A SOCKS 5 proxy (RFC 1928) that takes every client to one port of the loopback."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

NO_AUTHENTICATION = b"\x05\x00"
CONNECTED = b"\x05\x00\x00\x01" + bytes(6)


class SocksProxy:
    """Listens from `__enter__` to `__exit__`; `asked_for` are the host names that clients gave."""

    def __init__(self, target_port: int) -> None:
        self.asked_for: list[bytes] = []
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> SocksProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.recv(64)
                client.sendall(NO_AUTHENTICATION)
                self.asked_for.append(client.recv(300)[5:-2])
                client.sendall(CONNECTED)
                server = socket.create_connection(("127.0.0.1", self._target_port))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
