"""A rolling deploy: two releases of the package share one cache, in real processes."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from standin.server import StandIn

from django_flagsmith_realtime.storage.cache import SCHEMA
from tests.support.documents import PREFIX
from tests.support.paths import EXAMPLE_PROJECT, ROOT
from tests.support.processes import RedisServer, project_environment, wait_until
from tests.tools.soak import DjangoProcess, Listener, Reader
from tests.tools.soak_reader import FLAG

PACKAGE = "django_flagsmith_realtime"


@pytest.fixture
def next_release(tmp_path: Path) -> Callable[[int], Path]:
    """Return a folder with a copy of the package that stores things as of another schema."""

    def copy(schema: int) -> Path:
        folder = tmp_path / "release"
        shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        module = folder / PACKAGE / "storage/cache.py"
        text, times = re.subn(r"^SCHEMA = \d+", f"SCHEMA = {schema}", module.read_text(), flags=re.MULTILINE)
        assert times == 1
        module.write_text(text)
        return folder

    return copy


class Deployment:
    """Listeners and readers of two releases, and a flag whose value only grows."""

    def __init__(self, standin: StandIn, redis: RedisServer, stack: ExitStack) -> None:
        self.environment = project_environment({**standin.setting, "LEASE_SECONDS": 8}, redis.cache())
        self.environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(EXAMPLE_PROJECT)))
        self.standin, self.redis, self.stack = standin, redis, stack
        self.complaints: list[str] = []
        self.holders: dict[str, list[str]] = {}  # who had each release's lease, one after another
        self.passing: set[int] = set()  # processes of release steps, which held a free lease for a moment
        self.value = 0

    def start(self, process: Any, folder: Path) -> Any:
        process.folder = folder
        process.start()
        self.stack.callback(process.end)
        return process

    def listener(self, folder: Path) -> Listener:
        return self.start(Listener(self.environment), folder)  # type: ignore[no-any-return]

    def reader(self, folder: Path) -> Reader:
        return self.start(Reader(self.environment, folder.name, self.complaints.append), folder)  # type: ignore[no-any-return]

    def fetch(self, folder: Path) -> None:
        """Run `flagsmith_listen --once`, as a release step does."""
        once = self.start(DjangoProcess(self.environment, "-m", "django", "flagsmith_listen", "--once"), folder)
        assert once.process.wait(20) == 0, once.log()
        self.passing.add(once.process.pid)

    def leaders(self) -> dict[str, int]:
        """Return how many processes led, one after another, by the key of the lease."""
        return {
            key: sum(int(one.split(":")[-2]) not in self.passing for one in held) for key, held in self.holders.items()
        }

    def change(self) -> int:
        self.value += 1
        self.standin.set_flag(FLAG, value=self.value)
        return self.value

    def all_see_changes(self, *readers: Reader, times: int = 3) -> None:
        for _ in range(times):
            value = self.change()
            wait_until(lambda value=value: all(reader.held == value for reader in readers), f"{value} everywhere", 20)

    @contextmanager
    def watched_leases(self) -> Iterator[None]:
        """Note whoever holds a lease meanwhile."""
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=[stop])
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()

    def _watch(self, stop: threading.Event) -> None:
        with self.redis.client() as client:
            while not stop.wait(0.02):
                for key in client.scan_iter("*:lease"):
                    held = self.holders.setdefault(key.decode(), [])
                    holder = client.get(key)
                    if holder is not None and holder.decode(errors="replace") not in held[-1:]:
                        held.append(holder.decode(errors="replace"))


@pytest.fixture
def deployment(standin: StandIn, redis_server: RedisServer) -> Iterator[Deployment]:
    with ExitStack() as stack:
        yield Deployment(standin, redis_server, stack)


def lease_of(schema: int) -> str:
    return f":1:{PREFIX.replace(f':{SCHEMA}:', f':{schema}:')}:lease"


@pytest.mark.parametrize("schema", [SCHEMA, SCHEMA + 1], ids=["the same storage", "another storage"])
def test_two_releases_serve_each_change_from_one_cache(
    deployment: Deployment, next_release: Callable[[int], Path], schema: int
) -> None:
    release, streams = next_release(schema), 1 if schema == SCHEMA else 2
    deployment.change()
    with deployment.watched_leases():
        old_listener = deployment.listener(ROOT)
        wait_until(lambda: deployment.standin.counts.open_streams == 1, "the old release's stream")
        old = [deployment.reader(ROOT) for _ in range(2)]
        deployment.all_see_changes(*old)

        deployment.fetch(release)
        new = [deployment.reader(release)]
        deployment.listener(release)
        wait_until(lambda: deployment.standin.counts.open_streams == streams, "the new release's stream")
        deployment.all_see_changes(*old, *new)
        before = deployment.standin.counts.environment_document
        deployment.all_see_changes(*old, *new)
        assert deployment.standin.counts.environment_document - before == 3 * streams

        new.append(deployment.reader(release))
        old.pop().terminate()
        deployment.all_see_changes(*old, *new)

        old_listener.terminate()
        wait_until(lambda: deployment.standin.counts.open_streams == 1, "one stream")
        deployment.all_see_changes(*new, *(old if schema == SCHEMA else ()))

    readers = [*old, *new]
    assert deployment.complaints == []
    assert [reader.totals["back"] + reader.totals["errors"] + reader.totals["torn"] for reader in readers] == [0] * 3
    assert [reader.totals["empty"] for reader in new] == [0, 0], "the release step had fetched for them"
    assert old[0].held == deployment.value - (0 if schema == SCHEMA else 3), "a process keeps what it holds"
    leaders = {lease_of(SCHEMA): 2} if schema == SCHEMA else {lease_of(SCHEMA): 1, lease_of(schema): 1}
    assert deployment.leaders() == leaders
