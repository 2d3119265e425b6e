"""`USAGE` with real processes and caches: what arrives at Flagsmith, what is lost, and that nothing is counted twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from standin.server import StandIn

from tests.servers.test_celery import Client, Worker
from tests.support.documents import LEASE, STATES, configured_store
from tests.support.paths import ROOT
from tests.support.processes import (
    Command,
    PostgresServer,
    RedisServer,
    die_with_parent,
    project_environment,
    wait_until,
)
from tests.support.web_servers import GUNICORN, WebServer

READS = 10_000
REQUESTS = 156  # that read each flag three times
COUNTED = STATES.keys() - {"new_checkout"}  # which each process of the server reads once more when it starts
TASKS = READS - REQUESTS * 3 * len(COUNTED)  # that read one flag
REPORT_SECONDS = 2.0  # instead of 60; processes write every third of a second instead of every ten


@pytest.fixture
def environment(
    standin: StandIn, redis_server: RedisServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    settings.CACHES = {"default": redis_server.cache()}
    monkeypatch.setenv("TEST_REPORT_SECONDS", str(REPORT_SECONDS))
    setting = {**standin.setting, "LEASE_SECONDS": 8, "USAGE": True}
    settings.FLAGSMITH = setting
    return {
        **project_environment(setting, redis_server.cache()),
        "DJANGO_SETTINGS_MODULE": "tests.support.celery_project.settings",
        "TEST_BROKER": redis_server.url(),
    }


def arrived(standin: StandIn) -> Counter[str]:
    found = sum((Counter[str](post.counts) for post in standin.usage), Counter[str]())
    return Counter({name: count for name, count in found.items() if name in COUNTED})


def test_ten_thousand_reads_of_many_processes_arrive_while_leaders_are_killed(
    standin: StandIn, redis_server: RedisServer, environment: dict[str, str], tmp_path: Path, settings: Any
) -> None:
    began = time.time()
    with ExitStack() as stack:
        listeners = [
            Command(setting=settings.FLAGSMITH, cache=redis_server.cache(), log=tmp_path / f"listener-{number}")
            for number in range(3)
        ]
        for listener in listeners:
            stack.callback(kill, listener)
        worker = Worker(
            "--loglevel=info",
            "--concurrency=2",
            "--max-tasks-per-child=30",
            log=tmp_path / "worker",
            environment=environment,
        )
        stack.callback(worker.stop)
        client = Client(environment)
        stack.callback(client.end)
        server = stack.enter_context(
            WebServer(
                redis_server.cache(), *GUNICORN, "--preload", "--workers=4", "--max-requests=30", **settings.FLAGSMITH
            )
        )
        worker.wait_for(" ready.")
        wait_until(configured_store().read_head, timeout=30)

        def read(part: int) -> None:
            server.get(*["/many/"] * (REQUESTS // 3))
            client.ask_many(TASKS // 3 + (TASKS % 3 if part == 0 else 0), "read_banner")

        read(0)
        for part in (1, 2):
            kill_leader(listeners)
            read(part)
        wait_until(lambda: arrived(standin).total() >= READS or time.time() - last_post(standin) > 5, timeout=60)
    found = arrived(standin)
    expected = Counter({**dict.fromkeys(COUNTED, 3 * REQUESTS), "banner_text": 3 * REQUESTS + TASKS})
    assert expected.total() == READS
    took = standin.usage[-1].at - standin.usage[0].at
    print(
        f"\n{READS} reads in {time.time() - began:.0f} s: {found.total()} arrived, {(expected - found).total()} lost, "
        f"{(found - expected).total()} doubled, by {len(standin.usage)} requests in {took:.0f} s"
    )
    assert found - expected == {}
    assert found.total() >= READS / 2, "a leader that is killed loses what it was just about to post"
    assert len(standin.usage) <= took / REPORT_SECONDS + 2, "one each time that it is due, whoever leads"


def last_post(standin: StandIn) -> float:
    return standin.usage[-1].at if standin.usage else time.time()


def kill_leader(listeners: list[Command]) -> None:
    """Kill the one that leads, once there is one."""

    def leads(listener: Command) -> bool:
        return f":{listener.process.pid}:" in str(caches["default"].get(LEASE))

    leader = wait_until(lambda: next(filter(leads, listeners), None), timeout=30)
    kill(leader)


def kill(listener: Command) -> None:
    listener.process.kill()
    listener.process.wait(10)


# Two leaders at once

WRITERS, WRITES, LEADERS = 4, 100, 2
PROGRAM = """
import json, multiprocessing, sys, time
from collections import Counter
from contextlib import suppress
import django
from django.conf import settings

cache, databases = json.loads(sys.argv[1])
flagsmith = {"ENVIRONMENT_KEY": "ser.tests"}
apps = ["django_flagsmith_realtime"]
settings.configure(CACHES={"default": cache}, DATABASES=databases, INSTALLED_APPS=apps, FLAGSMITH=flagsmith)
django.setup()
from django.core.management import call_command
from django.db import connections
from django_flagsmith_realtime.exceptions import StoreError
from django_flagsmith_realtime.storage.cache import Cache
from django_flagsmith_realtime.storage.usage import KEPT_ROUNDS, UsageBoxes

def write(name):
    boxes, written = UsageBoxes(Cache("default", "tests")), 0
    for number in range(WRITES):
        with suppress(StoreError):
            written += boxes.put(boxes.open_round(), {f"{name} {number}": 1})
    return [written, Counter()]

def lead(name):
    boxes, found = UsageBoxes(Cache("default", "tests")), Counter()
    for _ in range(WRITES // 4):
        with suppress(StoreError):
            found.update(boxes.collect())
        time.sleep(0.1)
    return [0, found]

if databases:
    call_command("createcachetable")
UsageBoxes(Cache("default", "tests")).collect()
connections.close_all()  # the processes have their own
tasks = [(write, f"writer {number}") for number in range(WRITERS)] + [(lead, "leader")] * LEADERS
with multiprocessing.get_context("fork").Pool(len(tasks)) as pool:
    done = [task.get() for task in [pool.apply_async(call, [name]) for call, name in tasks]]
found = sum((found for _, found in done), Counter())
for _ in range(KEPT_ROUNDS):
    found.update(UsageBoxes(Cache("default", "tests")).collect())
print(json.dumps([sum(written for written, _ in done), found]))
"""


def database_cache(**database: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    entry = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "flags"}
    return {**entry, "OPTIONS": {"MAX_ENTRIES": 5_000}}, {"default": database}


@pytest.mark.parametrize("kind", ["redis", "memcached", "postgresql", "sqlite"])
def test_of_two_leaders_at_once_none_posts_what_the_other_does(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if kind == "sqlite":
        options = {"init_command": "PRAGMA journal_mode=WAL", "timeout": 5, "transaction_mode": "IMMEDIATE"}
        given = database_cache(ENGINE="django.db.backends.sqlite3", NAME=str(tmp_path / "db"), OPTIONS=options)
    elif kind == "postgresql":
        given = database_cache(**request.getfixturevalue("postgres").database())
    else:
        given = request.getfixturevalue(f"{kind}_server").cache(), {}
    sizes = f"WRITERS, WRITES, LEADERS = {WRITERS}, {WRITES}, {LEADERS}\n"
    done = subprocess.run(
        [*die_with_parent(), sys.executable, "-c", sizes + PROGRAM, json.dumps(given)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    written, found = json.loads(done.stdout)
    print(f"\n{kind}: {written} written, {len(found)} collected, {max(0, written - len(found))} lost")
    assert set(found.values()) == {1}, "nothing twice"
    assert found, "what is put into a round that the other leader replaces at once is lost"


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server
