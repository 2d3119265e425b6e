"""All that takes part, on its hosts: Redis, Flagsmith, listeners and readers."""

from __future__ import annotations

import json
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.fleet.flagsmith import NAME_HEADER, NotingStandIn
from tests.fleet.heads import HeadLog
from tests.fleet.network import FLAGSMITH, HOSTS, REDIS, Network, open_network
from tests.fleet.processes import FleetRedis, HostProcess, Readers
from tests.fleet.reader import FLAG
from tests.support.processes import wait_until

LISTENERS = {"a1": "a", "a2": "a", "b1": "b"}
READERS = 10  # on each host
STARTED_WITHIN = 60.0  # seconds
SETTLED_WITHIN = 60.0  # seconds
FIRST_VALUE = 1_000


class World:
    """A deployment that runs, and what to ask of it."""

    def __init__(self, stack: ExitStack, network: Network, *, lease_seconds: float, readers: int) -> None:
        self.lease_seconds = lease_seconds
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
        self.signaled, self.writers = self.directory / "signaled", self.directory / "writers"
        for file in (self.signaled, self.writers):
            file.touch()
        self.network = network
        self.redis = FleetRedis(self.network)
        stack.callback(self.redis.end)
        self.redis.start()
        self.heads = HeadLog(self.redis.socket)
        stack.callback(self.heads.close)
        self.standin = stack.enter_context(self.network.call(FLAGSMITH, self._open_standin))
        self.network.expose(REDIS, self.redis.port)
        self.network.expose(FLAGSMITH, self.standin.port)
        self.value = self._standin_value()
        self.updates = 0
        self.listeners = {name: self._listener(name, host) for name, host in LISTENERS.items()}
        self.readers = [self._readers(host, readers) for host in HOSTS if readers]
        for process in (*self.listeners.values(), *self.readers):
            stack.callback(process.end)
            process.start()

    def _open_standin(self, host: str) -> NotingStandIn:
        path = self.directory / "flags.json"
        return NotingStandIn(state_path=path, host=host, ping_seconds=self.network.ping_seconds)

    def _listener(self, name: str, host: str) -> HostProcess:
        arguments = ("-m", "django", "flagsmith_listen")
        environment = self.environment(host, name)
        return HostProcess(name, host, self.network.prefix(host), *arguments, environment=environment)

    def _readers(self, host: str, count: int) -> Readers:
        return Readers(host, self.network.prefix(host), count, self.environment(host, f"readers on {host}"))

    def environment(self, host: str, name: str) -> dict[str, str]:
        """Return the environment variables of a process on a host."""
        cache = self.redis.cache()
        cache["BACKEND"] = "tests.fleet.watched.WatchedCache"
        cache["LOCATION"] = f"redis://{self.network.address(REDIS, host)}/0"
        address = f"http://{self.network.address(FLAGSMITH, host)}/"
        flagsmith = {
            "ENVIRONMENT_KEY": self.standin.server_key,
            "API_URL": f"{address}api/v1/",
            "REALTIME_URL": address,
            "LEASE_SECONDS": self.lease_seconds,
            "HEADERS": {NAME_HEADER: name},
            **self.network.settings,
        }
        temporary = self.directory / f"tmp-{host}"  # as on two machines: lock files in it show who runs on a host
        temporary.mkdir(exist_ok=True)
        return {
            **os.environ,
            "TMPDIR": str(temporary),
            "DJANGO_SETTINGS_MODULE": "tests.support.project.settings",
            "TEST_APPS": "tests.fleet.signaled.SignaledConfig",
            "TEST_CACHES": json.dumps({"default": cache}),
            "TEST_FLAGSMITH": json.dumps(flagsmith),
            "FLEET_DIRECTORY": str(self.directory),
        }

    # What is so

    def _standin_value(self) -> int:
        states = self.standin.document["feature_states"]
        return next(int(state["feature_state_value"]) for state in states if state["feature"]["name"] == FLAG)

    def leader(self) -> HostProcess | None:
        """Return the listener that has the lease."""
        with self.redis.client() as client:
            keys = list(client.scan_iter("*flagsmith:*:lease"))
            held = client.get(keys[0]) if keys else None
        pid = int(pickle.loads(held).split(":")[1]) if held else 0
        return next((listener for listener in self.listeners.values() if listener.pid == pid), None)

    def newest(self) -> int:
        """Return the last version that was published."""
        return max(put.sequence for put in self.heads.puts)

    def opened(self, since: float, *, not_by: str) -> float | None:
        """Return when another listener than that first opened a stream."""
        began = [visit.began for visit in self.standin.visits.streams() if visit.name != not_by and visit.began > since]
        return min(began, default=None)

    def are_all_told(self) -> bool:
        return all(readers.hold(self.value) for readers in self.readers)

    def is_well(self) -> bool:
        """Tell whether all run, one leads and has the only stream, and all readers hold the last value."""
        streams = [visit.name for visit in self.standin.visits.open_streams()]
        leader = self.leader()
        return (
            self.are_all_told()
            and all(
                "Flagsmith listener started" in listener.said() and listener.is_running
                for listener in self.listeners.values()
            )
            and leader is not None
            and streams == [leader.name]
        )

    def settle(self, timeout: float = SETTLED_WITHIN) -> None:
        """Wait until all is well."""
        wait_until(self.is_well, "a fleet that is well", timeout)

    def total(self, name: str) -> int:
        """Sum what the readers counted."""
        return sum(readers.total(name) for readers in self.readers)

    # What happens

    def update(self) -> int:
        """Change a flag, in which the readers see the order of the updates."""
        self.value = max(FIRST_VALUE, self.value + 1)
        self.updates += 1
        self.standin.set_flag(FLAG, value=self.value)
        return self.value

    def set_trap(self, name: str) -> None:
        """Let the next process that writes a head freeze `before` it, or die `after`."""
        (self.directory / name).touch()

    @contextmanager
    def updating(self, every: float = 1.0) -> Iterator[None]:
        """Change a flag again and again."""
        done = threading.Event()

        def run() -> None:
            while not done.wait(every):
                self.update()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def explain(self) -> str:
        """Say what everybody has to say."""
        path = Path(tempfile.mkdtemp(prefix="fleet-logs-"))
        for process in (*self.listeners.values(), *self.readers, self.redis):
            name = getattr(process, "name", "redis").replace(" ", "-")
            (path / name).write_text(process.log())
        told = [line for readers in self.readers for line in readers.told()]
        return "\n".join([*told, f"What the processes said is in {path}/"])


@contextmanager
def running(*, lease_seconds: float, readers: int = READERS, network: Network | None = None) -> Iterator[World]:
    """Run a fleet that is well at the beginning, and gone at the end; `readers` are those on each host."""
    with ExitStack() as stack:
        network = network or open_network()
        stack.callback(network.close)
        world = World(stack, network, lease_seconds=lease_seconds, readers=readers)
        try:
            world.settle(STARTED_WITHIN)
            yield world
        except BaseException:
            print(world.explain(), file=sys.stderr)
            raise
