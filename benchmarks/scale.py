"""What many reading processes cost, and when the last of them has an update."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from django.http import HttpRequest
from django.test import override_settings
from flagsmith import Flagsmith
from standin.server import StandIn

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.environment.timestamps import parse_time
from django_flagsmith_realtime.storage.store import Store
from tests.support.processes import Command, RedisServer, wait_until

from .documents import MEDIUM, PLAIN, make_body
from .tables import Table

FORK = multiprocessing.get_context("fork")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def tables(turns: int) -> Iterator[Table]:
    table = Table(
        "Many processes",
        "Forked readers and `flagsmith_listen`, or as many processes with the official SDK, each with its own "
        f"stream; {MEDIUM}; Redis. Per update, of five. *First request*: the share of processes that returned the "
        "new value in their first request after the publish. *Last has it*: from the change until the last "
        "process returned the new value, medians; the SDK is asked every 2 ms. CPU time is that of the whole "
        "process; a reader's includes the request that loads the snapshot.",
        [
            "flags come from",
            "processes",
            "streams",
            "document requests",
            "bytes from Flagsmith",
            "bytes from the cache",
            "first request",
            "last has it",
            "CPU of the listener",
            "CPU of a reader",
        ],
    )
    for count in (1, 10, 100) if turns > 10 else (1, 10):
        table.rows.append(_measure("this package", count))
        table.rows.append(_measure("official SDK", count))
    yield table


class Child:
    """A forked process that reads when it is told to."""

    def __init__(self, make_read: Callable[[], Callable[[], Any]]) -> None:
        self.pipe, there = FORK.Pipe()
        self.process = FORK.Process(target=_serve, args=(there, make_read), daemon=True)
        self.process.start()

    def end(self) -> None:
        self.process.kill()
        self.process.join()


def _serve(pipe: Connection, make_read: Callable[[], Callable[[], Any]]) -> None:
    read = make_read()
    while True:
        pipe.send((read(), time.process_time()))
        pipe.recv()


def read_here() -> Callable[[], Any]:
    return lambda: get_flags(HttpRequest()).get_feature_value(PLAIN)


def read_with_sdk(standin: StandIn) -> Callable[[], Any]:
    client = Flagsmith(
        environment_key=standin.server_key,
        api_url=standin.api_url,
        realtime_api_url=standin.realtime_url,
        enable_local_evaluation=True,
        enable_realtime_updates=True,
    )
    return lambda: client.get_environment_flags().get_feature_value(PLAIN)


def ask(children: list[Child]) -> list[Any]:
    for child in children:
        child.pipe.send(None)
    return [child.pipe.recv() for child in children]


def _measure(what: str, count: int) -> list[str]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "flags.json").write_bytes(make_body(MEDIUM))
        redis = RedisServer()
        redis.start()
        stack.callback(redis.end)
        standin = stack.enter_context(StandIn(state_path=directory / "flags.json", stream_seconds=600))
        flagsmith = {
            "ENVIRONMENT_KEY": standin.server_key,
            "API_URL": standin.api_url,
            "REALTIME_URL": standin.realtime_url,
        }
        stack.enter_context(override_settings(CACHES={"default": redis.cache()}, FLAGSMITH=flagsmith))
        listener = None
        if what == "this package":
            listener = Command(setting=flagsmith, cache=redis.cache(), log=directory / "log")
            stack.callback(listener.process.wait)
            stack.callback(listener.process.terminate)
            store = Store(get_config().cache, get_config().namespace)
            wait_until(store.read_head, timeout=30)
            store.close()
        make_read = read_here if listener else lambda: read_with_sdk(standin)
        children = [Child(make_read) for _ in range(count)]
        for child in children:
            stack.callback(child.end)
        for child in children:
            child.pipe.recv()
        wait_until(lambda: standin.counts.open_streams == (1 if listener else count), timeout=60)
        time.sleep(1)
        return _row(what, children, standin, redis, listener.process.pid if listener else None)


def _row(what: str, children: list[Child], standin: StandIn, redis: RedisServer, listener: int | None) -> list[str]:
    updates, first, last = 5, 0, []
    before = ask(children)
    documents, output, cpu = standin.counts.environment_document, _output(redis), _cpu(listener)
    for number in range(updates):
        time.sleep(0.5)
        changed_at = time.monotonic()
        standin.set_flag(PLAIN, value=f"changed {number}")
        if listener:
            _wait_for_publish(standin)
        answers = ask(children)
        first += sum(value == f"changed {number}" for value, _ in answers)
        while any(value != f"changed {number}" for value, _ in answers):
            time.sleep(0.002)
            answers = ask(children)
        last.append(time.monotonic() - changed_at)
    took = [after - start for (_, after), (_, start) in zip(answers, before, strict=True)]
    requests = (standin.counts.environment_document - documents) / updates
    return [
        what,
        str(len(children)),
        str(standin.counts.open_streams),
        f"{requests:g}",
        f"{requests * len(make_body(MEDIUM)):,.0f}",
        f"{(_output(redis) - output) / updates:,.0f}" if listener else "-",
        f"{first / updates / len(children):.0%}" if listener else "-",
        f"{statistics.median(last) * 1_000:.0f} ms",
        f"{(_cpu(listener) - cpu) / updates * 1_000:.0f} ms" if listener else "-",
        f"{statistics.mean(took) / updates * 1_000:.1f} ms",
    ]


def _wait_for_publish(standin: StandIn) -> None:
    store, updated_at = Store(get_config().cache, get_config().namespace), parse_time(standin.document["updated_at"])
    wait_until(lambda: (head := store.read_head()) and head.updated_at == updated_at)
    store.close()


def _output(redis: RedisServer) -> int:
    return int(redis.info("stats")["total_net_output_bytes"])


def _cpu(pid: int | None) -> float:
    """Return the seconds of CPU of a process so far."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
