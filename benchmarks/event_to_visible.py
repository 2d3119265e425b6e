"""Measure how long after Flagsmith's event a change is visible in another process, over real Redis.

    python benchmarks/event_to_visible.py [COUNT]

Three rows: changes that come one by one, each made as soon as the one before is visible, and all at once. The
second waits for the listener's pace (one request in 250 ms), the third shows how many requests a burst costs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "example_project")]

from standin.server import StandIn  # noqa: E402

from tests.processes import RedisServer, wait_until  # noqa: E402

FLAG = "max_cart_items"
READER = f"""
import sys, time, django
django.setup()
from django_flagsmith_realtime.reading.reader import get_reader
last = None
while True:
    snapshot = get_reader().current()
    value = snapshot and snapshot.environment.flags[{FLAG!r}].value
    if value != last:
        last = value
        print(value, time.time(), flush=True)
    time.sleep(0.0005)
"""


class Reader:
    """Another process that reports each value it sees, and when."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self._lines = process.stdout

    def wait_for(self, value: object) -> tuple[list[str], float]:
        """Return what was seen up to a value, and when that one was."""
        seen = []
        for line in self._lines:
            shown, at = line.split()
            seen.append(shown)
            if shown == str(value):
                return seen, float(at)
        raise RuntimeError("the reader ended")


@contextmanager
def child(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def measure(standin: StandIn, reader: Reader, first: int, count: int, pause: float) -> list[float]:
    """Return the milliseconds of each change, made when the one before was visible and a pause had passed."""
    taken = []
    for value in range(first, first + count):
        time.sleep(pause)
        made_at = time.time()
        standin.set_flag(FLAG, value=value)
        seen, seen_at = reader.wait_for(value)
        assert seen == [str(value)], f"{seen} instead of {value}"
        taken.append((seen_at - made_at) * 1000)
    return taken


def burst(standin: StandIn, reader: Reader, first: int, count: int) -> tuple[float, list[int]]:
    """Return the milliseconds from the last of many changes to its being visible, and the values seen."""
    for value in range(first, first + count):
        standin.set_flag(FLAG, value=value)
    made_at = time.time()
    seen, seen_at = reader.wait_for(first + count - 1)
    values = [int(value) for value in seen]
    assert values == sorted(values), "a reader stepped back"
    return (seen_at - made_at) * 1000, values


def row(name: str, taken: list[float], requests: int) -> str:
    p99 = sorted(taken)[min(len(taken) - 1, int(len(taken) * 0.99))]
    return f"| {name} | {len(taken)} | {statistics.median(taken):.1f} | {p99:.1f} | {requests / len(taken):.2f} |"


def main(count: int) -> None:
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        redis = RedisServer()
        stack.callback(redis.end)
        redis.start()
        standin = stack.enter_context(StandIn(state_path=Path(directory) / "flags.json"))
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.project_settings",
            "TEST_CACHES": json.dumps({"default": redis.cache()}),
            "TEST_FLAGSMITH": json.dumps(
                {
                    "ENVIRONMENT_KEY": standin.server_key,
                    "API_URL": standin.api_url,
                    "REALTIME_URL": standin.realtime_url,
                }
            ),
        }
        stack.enter_context(child(environment, "-m", "django", "flagsmith_listen"))
        reader = Reader(stack.enter_context(child(environment, "-c", READER)))
        reader.wait_for(25)
        wait_until(lambda: standin.counts.open_streams == 1)
        print("| changes | count | median ms | p99 ms | requests each |\n|---|---|---|---|---|")
        first = 1_000
        for name, pause in (("one by one, 0.3 s apart", 0.3), ("each when the one before is visible", 0.0)):
            before = standin.counts.environment_document
            taken = measure(standin, reader, first, count, pause)
            print(row(name, taken, standin.counts.environment_document - before), flush=True)
            first += count
        before = standin.counts.environment_document
        last, values = burst(standin, reader, first, count)
        requests = standin.counts.environment_document - before
        print(f"| {count} at once: the last one | 1 | {last:.1f} | | {requests} in all, {len(values)} versions seen |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
