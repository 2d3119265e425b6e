"""What open pages cost a uvicorn process, when the last one knows of a change, and how they ask for their flags then."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from pathlib import Path

from django.core.cache import caches

from tests.support.open_pages import OpenPages
from tests.support.processes import free_port, wait_until

from .documents import MEDIUM, SMALL, Size
from .publishing import publish
from .scale import CLOCK_TICKS
from .stream_urls import KEY
from .tables import Table

STREAM, POLLING = "/ofrep/v1/stream", "/polling/"
HEADERS = b"Host: 127.0.0.1\r\nConnection: close\r\nContent-Length: 14"
ASK = b"POST /ofrep/v1/evaluate/flags HTTP/1.1\r\n" + HEADERS + b'\r\n\r\n{"context":{}}'
IDLE_SECONDS = 16.0  # a ping comes every 15 s


def tables(turns: int) -> Iterator[Table]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    counts = (1, 100, 1_000, 5_000) if turns > 10 else (1, 100)
    yield streams(counts, turns)
    yield herds(counts[1:], turns)


def streams(counts: Sequence[int], turns: int) -> Table:
    table = Table(
        "Open pages on one process",
        "One uvicorn process, with uvloop; Redis. Memory is the resident set, what each connection adds to it and the "
        "whole process; idle CPU is the process's share of one core over 16 s in which nothing changes. *Told*: from "
        "the publish until a connection received the notification, the median connection and the last one; the median "
        "of the publishes. Notifications are spread over a second for a thousand connections. *A poll for each*: a view "
        "in which each connection asks the cache once a second.",
        ["stream", "connections", "memory of each", "of the process", "idle CPU", "told, median", "told, last"],
    )
    for target, name in ((STREAM, "this package"), (POLLING, "a poll for each")):
        for number in counts:
            if (target, number) != (POLLING, 5_000):  # at 1,000 it needs most of a core
                table.rows.append([name, *_stream_row(target, number, 5 if turns > 10 else 2)])
    return table


def _stream_row(target: str, number: int, publishes: int) -> list[str]:
    revisions = count(1)
    with Server(MEDIUM) as server:
        with OpenPages(server.port, target, 10) as warm:
            warm.wait_for(b"\n")
        before = server.memory()
        with OpenPages(server.port, target, number) as pages:
            pages.wait_for(b"\n", 60)
            idle = server.cpu_share(IDLE_SECONDS)
            memory = server.memory()
            median, last = [], []
            for _ in range(publishes):
                began = time.monotonic()
                times = pages.wait_for(_publish(MEDIUM, next(revisions)), 60)
                median.append(statistics.median(times) - began)
                last.append(max(times) - began)
                time.sleep(1 + began % 1)  # not in step with the process's reads of the cache
    return [
        f"{number:,}",
        f"{(memory - before) / number:.0f} KiB" if number > 1 else "-",
        f"{memory / 1_024:.0f} MiB",
        f"{idle:.1%}",
        f"{statistics.median(median):.2f} s",
        f"{statistics.median(last):.2f} s",
    ]


def herds(counts: Sequence[int], turns: int) -> Table:
    table = Table(
        "Open pages that ask for their flags at once",
        "Each page asks for its flags by OFREP when it is notified, on a connection of its own: the process that "
        "streams also answers. *Requests*: the most that pages made within one second. *Answered*: from the publish "
        "until the last page has its flags. *Waits*: of a page, from its request to its answer.",
        ["pages", "flags", "notifications", "requests", "answered", "waits, median", "waits, longest"],
    )
    for number in counts:
        for size in (SMALL, MEDIUM):
            for spread in ("at once", "spread"):
                table.rows.append(_herd_row(number, size, spread))
    return table


def _herd_row(number: int, size: Size, spread: str) -> list[str]:
    spreading = {"BENCH_SPREAD": "yes" if spread == "spread" else "no"}
    with (
        Server(size, **spreading) as server,
        OpenPages(server.port, STREAM, number) as pages,
        Asking(server.port) as asking,
    ):
        pages.wait_for(b"\n", 60)
        began = time.monotonic()
        pages.wait_for(_publish(size, 1), 60, then=asking.ask)
        asking.wait_for(number)
    asked = sorted(at for at, _ in asking.times)
    waits = [answered - at for at, answered in asking.times]
    most = max(sum(at <= other < at + 1 for other in asked) for at in asked[:: max(len(asked) // 100, 1)])
    return [
        f"{number:,}",
        f"{size.flags}",
        spread,
        f"{most:,} a second",
        f"{max(answered for _, answered in asking.times) - began:.2f} s",
        f"{statistics.median(waits):.2f} s",
        f"{max(waits):.2f} s",
    ]


def _publish(size: Size, revision: int) -> bytes:
    """Publish a change; return what its notification contains."""
    sequence = publish(size, "Redis", revision)
    caches["Redis"].set(KEY, sequence)
    return f'"etag": "{sequence}"'.encode()


class Server:
    """uvicorn with the streams, until the block is left; `variables` are of its environment."""

    def __init__(self, size: Size, **variables: str) -> None:
        self._size = size
        self._variables = variables

    def __enter__(self) -> Server:
        _publish(self._size, 0)
        self.port = free_port()
        environment = {
            **os.environ,
            "BENCH_FLAGSMITH": json.dumps({"CACHE": "Redis", "BROWSER_FLAGS": "all"}),
            "BENCH_URLS": "benchmarks.stream_urls",
            **self._variables,
        }
        command = [sys.executable, "-m", "uvicorn", "--factory", "django.core.asgi:get_asgi_application"]
        options = [f"--port={self.port}", "--log-level=error", "--lifespan=off"]
        self._process = subprocess.Popen([*command, *options], env=environment, cwd=Path(__file__).parent.parent)
        wait_until(self._answers, timeout=30)
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    def _answers(self) -> bool:
        try:
            with OpenPages(self.port, STREAM, 1):
                return True
        except OSError:
            return False

    def memory(self) -> int:
        """Return the resident set in KiB."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    def cpu_share(self, seconds: float) -> float:
        """Return the share of a core that the process takes."""
        before = self._cpu()
        time.sleep(seconds)
        return (self._cpu() - before) / seconds

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


class Asking:
    """Pages that ask for their flags, each on a connection of its own, in a thread."""

    def __init__(self, port: int) -> None:
        self.times: list[tuple[float, float]] = []  # of each: when it asked, and when it had its answer
        self._asked: list[Future[None]] = []  # asyncio itself would forget a task that waits
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ask(self) -> None:
        self._asked.append(asyncio.run_coroutine_threadsafe(self._ask(), self._loop))

    def wait_for(self, number: int) -> None:
        """Wait until so many pages have their answers; raise what went wrong."""
        assert len(self._asked) == number
        for asked in self._asked:
            asked.result(120)

    async def _ask(self) -> None:
        began, answer = time.monotonic(), b""
        while not answer:  # else the system's queue of new connections was full: a browser tries again, too
            with suppress(ConnectionResetError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(ASK)
                answer = await reader.read()
                writer.close()
        assert answer.startswith(b"HTTP/1.1 200"), answer
        self.times.append((began, time.monotonic()))
