from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextvars import copy_context
from functools import cache
from pathlib import Path
from typing import Any

import django_valkey.base
import pytest
import redis.utils
from _pytest import runner
from django.core.cache import caches, close_caches
from django.core.management import call_command
from django.core.signals import request_finished
from django.db import connections
from hypothesis import settings as examples
from pytest_django import DjangoDbBlocker
from standin.server import StandIn

from django_flagsmith_realtime.reading import flags, reader, rendering, throttle
from django_flagsmith_realtime.reading.usage import usage_counter
from django_flagsmith_realtime.signals import snapshot_loaded
from tests.support import documents
from tests.support.backends import HangingCache, RecordingCache, use
from tests.support.paths import ROOT
from tests.support.processes import MemcachedServer, RedisServer

EXAMPLES = int(os.environ.get("EXAMPLES", 5))  # of each property; .ci/run asks for 100
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it, and its children
examples.register_profile("tests", parent=examples.default, deadline=None, max_examples=EXAMPLES)
examples.load_profile("tests")

redis.utils.get_lib_version = cache(
    redis.utils.get_lib_version
)  # asked for each connection, it reads the disk each time

# django-valkey makes Django close caches in a coroutine, with its import and for all tests that come after it.
request_finished.disconnect(django_valkey.base.close_async_caches)
request_finished.connect(close_caches)

SLOW = {ROOT / "tests" / folder for folder in ("servers", "faults", "fleet", "live")}
collect_ignore = ["support/users_project"]  # a suite of its own

# What pytest-django sets up for each test, of which none here needs any. It was half of the 1.5 ms before a test begins.
UNUSED = {
    "_dj_autoclear_mailbox",
    "_django_clear_site_cache",
    "_django_isolate_apps",
    "_django_set_urlconf",
    "_django_setup_unittest",
    "_live_server_helper",
    "_template_string_if_invalid_marker",
}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and let it run seldom afterwards: a quarter of the suite's time went there."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.set_threshold(1_000_000)  # 700 by default; with a million, a process of the suite needs 330 MB
    gc.enable()
    return result


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        item.fixturenames = [name for name in item.fixturenames if name not in UNUSED]
        if not SLOW.isdisjoint(item.path.parents):
            item.add_marker(pytest.mark.slow)


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run each test in a context of its own: a test that changes `CACHES` makes Django add a variable to its context.

    After a thousand tests there were 538, each of which asgiref copies whenever a coroutine calls a thread.
    """
    return copy_context().run(runner.pytest_runtest_protocol, item, nextitem)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(report.longrepr[-1] for report in terminalreporter.stats.get("skipped", []))
    for reason, count in reasons.items():
        terminalreporter.write_line(f"{count} tests were left out: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """Let each test begin as a process does that has read no flag yet, with an empty cache."""
    reader.drop_readers()
    flags._logged.clear()
    throttle._logged.clear()
    rendering.report_refusal.cache_clear()
    caches["default"].clear()
    yield
    usage_counter.forget()  # its thread would write them while another test runs
    for each in reader._readers.values():
        each._executor.shutdown()  # its thread's writes would reach the cache of the next test
    documents.close_stores()


@pytest.fixture(scope="session", autouse=True)
def connections_left_open() -> Iterator[None]:
    """Close at the end what Django's backend for Redis leaves to the collector, without its warnings."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.freeze()  # what is left stays until the end; pytest collects five times more


def lend(server: RedisServer | MemcachedServer) -> Iterator[Any]:
    """Give a test an empty server that runs, whatever the test does to it."""
    if not server.is_running:
        server.restart()
    server.reset()
    yield server
    if server.is_running:
        server.thaw()


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_process() -> Iterator[MemcachedServer]:
    with MemcachedServer() as server:
        yield server


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what `make build` makes: the source distribution, and the wheel that is built from it."""
    source, directory = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)  # building writes beside the sources, which other tests read
    subprocess.run([sys.executable, "-m", "build", "--outdir", directory, source], check=True)
    return directory


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    """The package as it is installed."""
    [wheel] = built.glob("*.whl")
    return wheel


@pytest.fixture
def redis_server(redis_process: RedisServer) -> Iterator[RedisServer]:
    """An empty Redis of its own for the test, which may freeze and kill it."""
    yield from lend(redis_process)


@pytest.fixture
def memcached_server(memcached_process: MemcachedServer) -> Iterator[MemcachedServer]:
    """An empty memcached of its own for the test, which may freeze and kill it."""
    yield from lend(memcached_process)


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    """A Flagsmith of the test's own; `standin.setting` is the `FLAGSMITH` of who reads from it."""
    with StandIn(state_path=tmp_path / "flags.json", server_key=documents.KEY) as standin:
        yield standin


@pytest.fixture
def database_cache(tmp_path: Path, settings: Any, django_db_blocker: DjangoDbBlocker) -> Iterator[dict[str, Any]]:
    """An entry of `CACHES` in an SQLite file of the test's own, in WAL mode."""
    entry = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "flagsmith_cache"}
    database = connections.settings["cache"]
    name, database["NAME"] = database["NAME"], str(tmp_path / "cache.sqlite3")
    settings.CACHES = {"default": entry}
    with django_db_blocker.unblock():
        connections["cache"].close()  # an earlier test may have left one to the database in memory
        call_command("createcachetable", database="cache")
        yield entry
        connections["cache"].close()
    database["NAME"] = name


@pytest.fixture(params=["locmem", "database", "file", "redis", "memcached"])
def each_cache(request: pytest.FixtureRequest, tmp_path: Path, settings: Any) -> str:
    """Run the test on each backend of Django's that may hold a snapshot; return its short name."""
    if request.param in ("redis", "memcached"):
        entry = request.getfixturevalue(f"{request.param}_server").cache()
    elif request.param == "database":
        entry = request.getfixturevalue("database_cache")
    elif request.param == "file":
        entry = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path)}
    else:
        entry = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": str(tmp_path)}
    settings.CACHES = {"default": entry}
    return str(request.param)


@pytest.fixture
def recording(settings: Any) -> list[tuple[str, str]]:
    use(settings, "tests.support.backends.RecordingCache")
    RecordingCache.operations.clear()
    return RecordingCache.operations


@pytest.fixture
def hanging(settings: Any) -> Iterator[type[HangingCache]]:
    use(settings, "tests.support.backends.HangingCache")
    HangingCache.open.set()
    HangingCache.asked.clear()
    HangingCache.timeout = 5.0
    yield HangingCache
    HangingCache.open.set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the clock of the reader by some seconds."""
    offset = 0.0
    real = time.monotonic

    class Clock:
        monotonic = staticmethod(lambda: real() + offset)
        time_ns = staticmethod(time.time_ns)

    def advance(seconds: float) -> None:
        nonlocal offset
        offset += seconds

    monkeypatch.setattr(reader, "time", Clock)
    return advance


@pytest.fixture
def loaded() -> Iterator[list[dict[str, Any]]]:
    """What `snapshot_loaded` said, in order, of what the test published: a thread of an earlier one may be late."""
    seen: list[dict[str, Any]] = []
    began = time.time_ns() // 1_000

    def note(**kwargs: Any) -> None:
        if kwargs["snapshot"].head.published_at >= began:
            seen.append(kwargs)

    snapshot_loaded.connect(note)
    yield seen
    snapshot_loaded.disconnect(note)
