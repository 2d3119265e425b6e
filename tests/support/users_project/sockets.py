"""No test may connect to anything but a live server of its own."""

import socket
from typing import Any

live_servers: set[int] = set()  # ports
refused: list[Any] = []
_connect = socket.socket.connect


def connect(self: socket.socket, address: Any) -> None:
    if self.family != socket.AF_UNIX and address[1] not in live_servers:
        refused.append(address)
        raise RuntimeError(f"A test connected to {address!r}.")
    _connect(self, address)


def block() -> None:
    socket.socket.connect = connect  # type: ignore[method-assign]
    socket.socket.connect_ex = connect  # type: ignore[assignment,method-assign]
