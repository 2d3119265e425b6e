"""What `flagsmith_status` and `health/` say of faults, and after how many seconds: `python -m tests.tools.probes`.

A real listener, Redis, gunicorn and a stand-in for Flagsmith behind proxies that fail; prints a Markdown table. The
figures are to a tenth of a second, and those of the machine that runs this.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import urlopen

from standin.server import StandIn

from tests.support.fault_proxy import CANNED, FaultProxy, canned
from tests.support.paths import ROOT
from tests.support.processes import Command, RedisServer, die_with_parent, project_environment, wait_until
from tests.support.web_servers import WebServer

EVERY = 0.1  # seconds between looks
MAX_STALE = 60

Change = tuple[float, str]
T = TypeVar("T")


class Deployment:
    """Everything that one row needs, healthy."""

    def __init__(self, stack: ExitStack, **setting: Any) -> None:
        self._stack = stack
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.standin = stack.enter_context(StandIn(state_path=self.directory / "flags.json"))
        port = int(self.standin.url.rpartition(":")[2])
        self.api, self.stream = FaultProxy(port), FaultProxy(port)
        stack.callback(self.api.close)
        stack.callback(self.stream.close)
        self.redis = RedisServer()
        stack.callback(self.redis.end)
        self.redis.start()
        self.setting = {
            "ENVIRONMENT_KEY": self.standin.server_key,
            "API_URL": f"{self.api.url}api/v1/",
            "REALTIME_URL": self.stream.url,
            "MAX_STALE": MAX_STALE,
            **setting,
        }
        self.listener = self.listen("Flagsmith stream: connected")

    def status(self) -> Any:
        """Return what `flagsmith_status --json` prints."""
        answer = subprocess.run(
            [sys.executable, "-m", "django", "flagsmith_status", "--json"],
            env=project_environment(self.setting, self.redis.cache()),
            cwd=ROOT,
            capture_output=True,
        )
        return json.loads(answer.stdout)

    def enter(self, context: AbstractContextManager[T]) -> T:
        """Let a fault or a server last as long as the deployment."""
        return self._stack.enter_context(context)

    def listen(self, until: str) -> Command:
        log = self.directory / f"log-{time.monotonic_ns()}"
        command = Command(setting=self.setting, cache=self.redis.cache(), log=log)
        self._stack.callback(command.process.wait)
        self._stack.callback(command.process.kill)
        command.wait_for(until)
        return command


class Watch:
    """Notes each change of what `read` returns."""

    def __init__(self, began: float, read: Callable[[], str]) -> None:
        self.changes: list[Change] = []
        self._began = began
        self._read = read
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stopping.wait(EVERY):
            said = self._read()
            if not self.changes or self.changes[-1][1] != said:
                self.changes.append((time.monotonic() - self._began, said))


@contextmanager
def status_of(deployment: Deployment) -> Iterator[Callable[[], str]]:
    """Run `flagsmith_status --watch --json`, and return what it said last."""
    process = subprocess.Popen(
        [
            *die_with_parent(),
            sys.executable,
            "-m",
            "django",
            "flagsmith_status",
            "--watch",
            "--json",
            f"--interval={EVERY}",
        ],
        env=project_environment(deployment.setting, deployment.redis.cache()),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            lines[:] = [line]

    threading.Thread(target=read, daemon=True).start()
    try:
        wait_until(lambda: lines)
        yield lambda: tell(json.loads(lines[0]))
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def health_of(deployment: Deployment) -> Iterator[Callable[[], str]]:
    """Serve `health/`, and return its status code."""
    server = HealthServer(
        deployment.redis.cache(), "gunicorn", "tests.support.project.wsgi", "--bind", "127.0.0.1:{port}"
    )
    server.setting = deployment.setting
    with server:
        yield server.ask_health


class HealthServer(WebServer):
    setting: dict[str, Any]

    def answers(self) -> bool:
        return self.ask_health() != "no answer"

    def ask_health(self) -> str:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/flagsmith/health/", timeout=5) as answer:
                return str(answer.status)
        except HTTPError as error:
            with error:
                return str(error.code)
        except OSError:
            return "no answer"


def tell(plain: Any) -> str:
    """Return what matters of the JSON in a few words."""
    stream = plain["stream"] and plain["stream"]["state"]
    return ", ".join([*(plain["troubles"] or ["good"]), *([f"stream {stream}"] if stream else [])])


Fault = Callable[[Deployment, ExitStack], None]


def kill_the_listener(deployment: Deployment, stack: ExitStack) -> None:
    deployment.listener.process.kill()


def kill_the_leader_of_two(deployment: Deployment, stack: ExitStack) -> None:
    deployment.listen("Flagsmith listener stands by")
    deployment.listener.process.kill()


def terminate_the_listener(deployment: Deployment, stack: ExitStack) -> None:
    deployment.listener.process.terminate()


def refuse_the_stream(deployment: Deployment, stack: ExitStack) -> None:
    stack.enter_context(deployment.stream.refusing())
    deployment.stream.reset()


def hang_the_stream(deployment: Deployment, stack: ExitStack) -> None:
    stack.enter_context(deployment.stream.hanging())


def flush_the_cache(deployment: Deployment, stack: ExitStack) -> None:
    with deployment.redis.client() as client:
        client.flushall()


def kill_the_cache(deployment: Deployment, stack: ExitStack) -> None:
    deployment.redis.kill()


def refuse_the_key(deployment: Deployment, stack: ExitStack) -> None:
    stack.enter_context(deployment.api.answering(canned(CANNED["403"])))
    deployment.standin.set_flag("banner_text", value="Sale")


FAULTS: list[tuple[str, Fault, float]] = [  # and for how many seconds to look
    ("the listener is killed", kill_the_listener, 20),
    ("the listener is killed while another stands by on the same machine", kill_the_leader_of_two, 20),
    ("the listener is stopped (SIGTERM)", terminate_the_listener, 5),
    ("the stream is cut and refused", refuse_the_stream, 45),
    ("the stream hangs", hang_the_stream, 90),
    ("the cache is flushed", flush_the_cache, 10),
    ("the cache is killed", kill_the_cache, 10),
    (f"the API refuses the key after a change, MAX_STALE {MAX_STALE}", refuse_the_key, 75),
]


def probe(name: str, inflict: Fault, seconds: float) -> None:
    with ExitStack() as stack:
        deployment = Deployment(stack)
        status = stack.enter_context(status_of(deployment))
        health = stack.enter_context(health_of(deployment))
        wait_until(lambda: (status(), health()) == ("good, stream connected", "200"))
        with ExitStack() as fault:
            inflict(deployment, fault)
            began = time.monotonic()
            watches = [Watch(began, status), Watch(began, health)]
            time.sleep(seconds)
        for watch in watches:
            watch.stop()
        said = (" → ".join(f"{text} ({at:.1f} s)" for at, text in watch.changes) for watch in watches)
        print(f"| {name} | {' | '.join(said)} |", flush=True)


def main(wanted: list[str]) -> None:
    print("| fault | `flagsmith_status` | `health/` |\n|---|---|---|", flush=True)
    for name, inflict, seconds in FAULTS:
        if not wanted or any(word in name for word in wanted):
            probe(name, inflict, seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
