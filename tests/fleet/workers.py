"""What many web workers on two hosts cost Flagsmith, with this package and with Flagsmith's own SDK."""

from __future__ import annotations

import http.client
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.fleet.network import HOSTS
from tests.fleet.processes import HostProcess
from tests.fleet.world import World
from tests.support.processes import wait_until

UPDATES = 5
SITES = {"this package": "tests.fleet.site", "Flagsmith's SDK": "tests.fleet.sdk_site"}
STARTED_WITHIN = 120.0  # seconds
SEEN_WITHIN = 30.0  # seconds


@dataclass(frozen=True)
class Cost:
    """What one way of reading flags came to."""

    reader: str
    workers: int
    streams: int
    requests_at_start: int
    requests_per_update: float


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a socket file: it reaches a host whatever joins them."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Site(HostProcess):
    """gunicorn on a host, and what each of its workers answered last."""

    def __init__(self, world: World, host: str, module: str, workers: int) -> None:
        name = f"site on {host}"
        path = world.directory / f"{module}.{host}.sock"
        arguments = ("-m", "gunicorn", f"{module}:application", "--preload", f"--workers={workers}")
        more = (
            f"--bind=unix:{path}",
            "--timeout=120",
            "--graceful-timeout=1",
            "--no-control-socket",
            "--log-level=warning",
        )
        environment = world.environment(host, name)
        super().__init__(name, host, world.network.prefix(host), *arguments, *more, environment=environment)
        self.workers = workers
        self.answers: dict[int, str] = {}
        self._path = path

    def ask(self) -> None:
        """Ask as often at once as there are workers."""
        with ThreadPoolExecutor(self.workers) as threads:
            self.answers.update(threads.map(lambda _: self._get(), range(self.workers)))

    def _get(self) -> tuple[int, str]:
        connection = SocketConnection(self._path)
        try:
            connection.request("GET", "/")
            pid, value = connection.getresponse().read().decode().split()
            return int(pid), value
        finally:
            connection.close()

    def answers_all(self, value: str) -> bool:
        """Tell whether each worker answers with a value, once each was asked."""
        try:
            self.ask()
        except (FileNotFoundError, ConnectionRefusedError):  # gunicorn has not begun to listen yet
            return False
        return len(self.answers) == self.workers and set(self.answers.values()) == {value}


def measure(world: World, reader: str, workers: int, since: float) -> Cost:
    """Let workers on both hosts read while a flag changes, and count what Flagsmith is asked since a moment."""
    visits = world.standin.visits
    with ExitStack() as stack:
        sites = [Site(world, host, SITES[reader], workers // len(HOSTS)) for host in HOSTS]
        for site in sites:
            stack.callback(site.end)
            stack.callback(site.terminate)
            site.start()
        wait_until_all_answer(world, sites, STARTED_WITHIN)
        at_start, settled = visits.documents(since), time.monotonic()
        for _ in range(UPDATES):
            world.update()
            wait_until_all_answer(world, sites, SEEN_WITHIN)
        return Cost(
            reader=reader,
            workers=workers,
            streams=len(visits.open_streams()),
            requests_at_start=at_start,
            requests_per_update=visits.documents(settled) / UPDATES,
        )


def wait_until_all_answer(world: World, sites: list[Site], timeout: float) -> None:
    for site in sites:
        wait_until(lambda site=site: site.answers_all(str(world.value)), f"{world.value} on the {site.name}", timeout)


def compare(world: World, workers: int) -> list[Cost]:
    """Measure this package, then, without its listeners, the SDK."""
    ours = measure(world, "this package", workers, since=0.0)
    for listener in world.listeners.values():
        listener.terminate()
    wait_until(lambda: not world.standin.visits.open_streams(), "the end of the listeners' stream")
    return [ours, measure(world, "Flagsmith's SDK", workers, since=time.monotonic())]
