"""The server-sent events of Flagsmith's stream service, byte for byte."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from .channel import Channel

LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class StreamTimes:
    """The seconds between a stream's pings, and until the server ends it; by default those of Flagsmith's service."""

    ping: float = 15.0
    end: float = 30.0


def event(updated_at: float) -> bytes:
    """Return the event that announces a change."""
    data = json.dumps({"updated_at": updated_at})
    return f"event: environment_updated\r\ndata: {data}\r\nretry: 15000\r\n\r\n".encode()


def ping(now: datetime) -> bytes:
    """Return the comment that keeps an idle stream open."""
    return f": ping - {now.replace(tzinfo=None)}\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    """Return the data as one chunk of an HTTP chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def send_stream(
    write: Callable[[bytes], object], connection: socket.socket, channel: Channel, times: StreamTimes
) -> None:
    """Send each announced time once, until the stream's time is up or the client leaves."""
    sent = None
    opened = time.monotonic()
    next_ping = opened + times.ping
    end = opened + times.end
    with channel.subscribe() as sleeper:
        while True:
            if (latest := channel.latest) is not None and latest != sent:
                write(chunk(event(latest)))
                sent = latest
            if time.monotonic() >= next_ping:
                write(chunk(ping(datetime.now(timezone.utc))))
                next_ping += times.ping
            if time.monotonic() >= end:
                write(LAST_CHUNK)
                return
            timeout = max(0.0, min(next_ping, end) - time.monotonic())
            readable, _, _ = select.select([connection, sleeper], [], [], timeout)
            if connection in readable:  # a client sends nothing on an open stream: it has closed the connection
                return
            if sleeper in readable:
                sleeper.recv(4096)
