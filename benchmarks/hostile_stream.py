"""Measure what a hostile stream costs its reader, beside Flagsmith's own SDK: CPU seconds and memory.

    python benchmarks/hostile_stream.py [SECONDS]

Each reader is a process of its own, given the same bytes by a server on the loopback, and at most SECONDS for them.
After the hostile part comes one good event, which a reader that connects again is sent at once, as by Flagsmith's
service: "arrived" says whether it was seen.
"""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from copy import copy
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
GOOD = b'\r\n\r\nevent: environment_updated\r\ndata: {"updated_at": 1795372800.5}\r\n\r\n'
MEBI = 1024 * 1024


class Flood:
    """A piece again and again, for some seconds from when it is first asked for."""

    def __init__(self, piece: bytes, seconds: float) -> None:
        self._piece, self._seconds, self._until = piece, seconds, 0.0

    def __iter__(self) -> Iterator[bytes]:
        self._until = self._until or time.monotonic() + self._seconds
        while time.monotonic() < self._until:
            yield self._piece


CASES = {
    "one event of 5 MB": [b"data: " + b"x" * MEBI] + [b"x" * MEBI] * 4,
    "one event of 5 MB in short lines": [b"data: 0123456789\n" * 61_681] * 5,
    "one line of 200 MB": [b"data: "] + [b"x" * MEBI] * 200,
    "tiny events for 5 seconds": Flood(b'data: {"updated_at": 1795372801}\n\n' * 30_000, 5),
    "no event at all": [],
}
OURS = """
import sys, django
from django.conf import settings
settings.configure()
django.setup()
from queue import SimpleQueue
from django_flagsmith_realtime.storage.announcements import Announcement
from django_flagsmith_realtime.listener.stream import Stream, StreamReader
reports = SimpleQueue()
StreamReader(Stream(realtime_url=sys.argv[1], key="key", timeout=45, headers={}), reports.put).start()
while reports.get() != Announcement(1795372800500000):
    pass
print("arrived", flush=True)
"""
THEIRS = """
import sys, threading
from flagsmith.streaming_manager import EventStreamManager
arrived = threading.Event()
def on_event(event):
    if event["updated_at"].timestamp() == 1795372800.5:
        arrived.set()
EventStreamManager(stream_url=sys.argv[1], on_event=on_event, daemon=True).start()
if arrived.wait():
    print("arrived", flush=True)
"""


def serve(pieces: Iterable[bytes]) -> str:
    """Return the address of a server that sends some pieces to the first client, and then one good event to each."""
    listener = socket.create_server(("127.0.0.1", 0))
    first = iter([pieces])

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                connection.sendall(HEAD)
                for piece in chain(next(first, []), [GOOD]):
                    connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                connection.recv(1)
            except OSError:
                pass  # the reader left

    def accept() -> None:
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 * 1024 * MEBI, 4 * 1024 * MEBI))


def measure(program: str, address: str, seconds: float) -> tuple[float, int, bool]:
    """Return CPU seconds, the greatest memory in MB, and whether the good event arrived."""
    script = f"{program}\nimport resource\nusage = resource.getrusage(resource.RUSAGE_SELF)\n"
    script += "print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, flush=True)\n"
    watchdog = (
        "import os, resource, threading\n"
        "def leave():\n"
        "    usage = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, flush=True)\n"
        "    os._exit(0)\n"
        f"timer = threading.Timer({seconds}, leave); timer.daemon = True; timer.start()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", watchdog + script, address],
        cwd=ROOT, capture_output=True, text=True, preexec_fn=limit_memory, timeout=seconds + 60,
    )  # fmt: skip
    *arrived, usage = done.stdout.split("\n")[:-1]
    cpu, memory = usage.split()
    return float(cpu), int(memory), arrived == ["arrived"]


def main(seconds: float) -> None:
    print(f"| stream | reader | CPU s | memory MB | the event after it (within {seconds:g} s) |\n|---|---|---|---|---|")
    for case, pieces in CASES.items():
        for reader, program in (("this package", OURS), ("flagsmith SDK", THEIRS)):
            cpu, memory, arrived = measure(program, serve(copy(pieces)), seconds)
            print(
                f"| {case} | {reader} | {cpu:.2f} | {memory} | {'arrived' if arrived else 'did not arrive'} |",
                flush=True,
            )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30)
