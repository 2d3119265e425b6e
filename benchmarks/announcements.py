"""Measure the seconds from a toggle at Flagsmith to the pages of a site, by each way that it can be heard of.

    python -m benchmarks.announcements [TOGGLES]

The example's stand-in plays Flagsmith. It posts, or sends an event, at the moment of the toggle: Flagsmith itself takes
0.2 to 3 s for that. The site is gunicorn with two sync workers, or one uvicorn, and Redis. A toggle counts as seen when
a page of each process shows it.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "example_project")]
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django  # noqa: E402

django.setup()

from flagsmith import Flagsmith  # noqa: E402
from standin.deliveries import QueueChange, Webhook  # noqa: E402
from standin.server import StandIn  # noqa: E402

from tests.support.processes import Command, RedisServer, wait_until  # noqa: E402
from tests.support.web_servers import UVICORN, WebServer  # noqa: E402

KEY = "ser.benchmark"
SECRET = "a-secret-of-sixteen"
GUNICORN = ("gunicorn", "tests.support.project.wsgi:application", "--workers=2", "--bind=127.0.0.1:{port}")
FLAG = "banner_text"
PAUSES = (0.3, 0.5)  # seconds between two toggles: longer than the listener waits between two fetches
SDK_INTERVAL = 2.0  # seconds, in place of the SDK's 60
SDK_TOGGLES = 30
IDLE_SECONDS = 60.0


class Bench:
    """One Flagsmith and one Redis, which each row of the table finds empty."""

    def __init__(self, redis: RedisServer, directory: Path) -> None:
        self.redis = redis
        self._directory = directory

    @contextmanager
    def standin(self) -> Iterator[StandIn]:
        self.redis.reset()
        with StandIn(state_path=self._directory / f"flags-{time.monotonic_ns()}.json", server_key=KEY) as standin:
            yield standin

    @contextmanager
    def listener(self, setting: dict[str, Any]) -> Iterator[Command]:
        command = Command(setting=setting, cache=self.redis.cache(), log=self._directory / "listener.log")
        try:
            command.wait_for("Flags updated to version")
            yield command
        finally:
            command.process.terminate()
            command.process.wait(10)

    def row(self, name: str, server: tuple[str, ...], source: str, listener: str | None, toggles: int) -> None:
        """Print how long the toggles took that one source announces."""
        with ExitStack() as stack:
            standin = stack.enter_context(self.standin())
            setting = {**standin.setting, "WEBHOOK_SECRET": SECRET, "REALTIME_TOKEN": SECRET}
            if source != "stream":
                setting["REALTIME_URL"] = None
            if listener == "inline":
                setting["LISTENER"] = "inline"
            if listener == "command":
                stack.enter_context(self.listener(setting))
            site = stack.enter_context(WebServer(self.redis.cache(), *server, **setting))
            if source == "webhook":
                standin.deliveries.append(Webhook(f"http://127.0.0.1:{site.port}/flagsmith/webhook/", SECRET))
            if source == "queue-change":
                standin.deliveries.append(QueueChange(f"http://127.0.0.1:{site.port}/flagsmith", SECRET))
            see = watch(site, processes=2 if server is GUNICORN else 1)
            toggle(standin, see, 0)  # every process has the flags
            before = standin.counts.environment_document
            took = [toggle(standin, see, number) for number in range(1, toggles + 1)]
            requests = standin.counts.environment_document - before
        print_row(name, took, f"{requests / toggles:.2f}")

    def sdk_row(self) -> None:
        """Print what the official SDK's polls take, measured at an interval of two seconds."""
        with self.standin() as standin:
            sdk = Flagsmith(
                environment_key=KEY,
                api_url=standin.api_url,
                enable_local_evaluation=True,
                environment_refresh_interval_seconds=SDK_INTERVAL,
            )

            def see(text: str) -> bool:
                return bool(sdk.get_environment_flags().get_feature_value(FLAG) == text)

            took = [toggle(standin, see, number, (0.0, SDK_INTERVAL)) for number in range(SDK_TOGGLES)]
            sdk.environment_data_polling_manager_thread.stop()
        print_row(f"the official SDK, a poll every {SDK_INTERVAL:g} s in each process", took, "")

    def idle_row(self, name: str, **more: Any) -> None:
        """Print the CPU time of a leader that nobody tells anything."""
        with self.standin() as standin, self.listener({**standin.setting, "REALTIME_URL": None, **more}) as command:
            time.sleep(1)  # for the first status
            before = cpu_seconds(command.process.pid)
            time.sleep(IDLE_SECONDS)
            used = cpu_seconds(command.process.pid) - before
        print(f"| {name} | {used:.2f} s | {used / IDLE_SECONDS:.2%} |", flush=True)


def watch(site: WebServer, *, processes: int) -> Callable[[str], bool]:
    """Return what asks for a page, and says whether all processes have shown a text."""
    seen: dict[str, str] = {}

    def see(text: str) -> bool:
        process, shown = site.get("/banner/").split(" ", 1)
        seen[process] = shown
        return list(seen.values()) == [text] * processes

    return see


def toggle(standin: StandIn, see: Callable[[str], bool], number: int, pauses: tuple[float, float] = PAUSES) -> float:
    """Change a flag after a pause; return the seconds until it is seen."""
    time.sleep(random.uniform(*pauses))
    text = f"Sale {number}"
    began = time.monotonic()
    standin.set_flag(FLAG, value=text)
    wait_until(lambda: see(text), text, 90)
    return time.monotonic() - began


def print_row(name: str, took: list[float], requests: str) -> None:
    ordered = sorted(took)
    worst, p95 = ordered[-1], ordered[int(len(ordered) * 0.95)]
    print(
        f"| {name} | {len(took)} | {statistics.median(took):.2f} s | {p95:.2f} s | {worst:.2f} s | {requests} |",
        flush=True,
    )


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(toggles: int) -> None:
    redis = RedisServer()
    try:
        redis.start()
        with tempfile.TemporaryDirectory() as directory:
            bench = Bench(redis, Path(directory))
            print("| announced by | toggles | median | 95th percentile | worst | document requests for each |")
            print("|---|---|---|---|---|---|")
            for source in ("webhook", "queue-change"):
                bench.row(f"{source}; gunicorn, and a listener beside it", GUNICORN, source, "command", toggles)
            few = toggles // 2
            bench.row("the stream; gunicorn, and a listener beside it", GUNICORN, "stream", "command", few)
            for source in ("webhook", "queue-change"):
                bench.row(f"{source}; uvicorn, which listens inline", UVICORN, source, "inline", few)
            for source in ("webhook", "queue-change"):
                bench.row(f"{source}; gunicorn, no listener", GUNICORN, source, None, few)
            bench.sdk_row()
            print(f"\n| an idle leader for {IDLE_SECONDS:g} s | CPU time | of a core |\n|---|---|---|")
            bench.idle_row("without `WEBHOOK_SECRET`")
            bench.idle_row("with `WEBHOOK_SECRET`", WEBHOOK_SECRET=SECRET)
    finally:
        redis.end()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
