"""Real workers with a real broker: each task sees one snapshot, and one of the workers listens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency.eventlet import TaskPool
from celery.result import allow_join_result
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from standin.server import StandIn

import django_flagsmith_realtime.celery as celery_module
from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.celery import ListenerStep
from tests.support.documents import FIRST, LEASE, configured_store, publish
from tests.support.paths import ROOT
from tests.support.processes import RedisServer, die_with_parent, project_environment, wait_until

PROCESSES = 4


class Worker:
    """A Celery worker as a process; what it prints goes to a file."""

    def __init__(self, *arguments: str, log: Path, environment: dict[str, str], command: str = "worker") -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *die_with_parent(),
                    sys.executable,
                    "-m",
                    "celery",
                    "-A",
                    "tests.support.celery_project",
                    command,
                    *arguments,
                ],
                env=environment,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.said() or self.process.poll() is not None, text, timeout=30)
        assert text in self.said(), self.said()

    def leads(self) -> bool:
        return f":{self.process.pid}:" in str(caches["default"].get(LEASE))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


Start = Callable[..., Worker]
Ask = Callable[..., Any]


@pytest.fixture
def broker() -> Iterator[RedisServer]:
    """A Redis of its own for the queue, which the cache of the flags outlives."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def environment(standin: StandIn, redis_server: RedisServer, broker: RedisServer, settings: Any) -> dict[str, str]:
    settings.CACHES = {"default": redis_server.cache()}
    return {
        **project_environment({**standin.setting, "LEASE_SECONDS": 8}, redis_server.cache()),
        "DJANGO_SETTINGS_MODULE": "tests.support.celery_project.settings",
        "TEST_BROKER": broker.url(),
        "TEST_LISTENS": "1",
    }


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    started: list[Worker] = []

    def start(*arguments: str, ready: bool = True, command: str = "worker", **more: str) -> Worker:
        log = tmp_path / f"worker-{len(started)}"
        worker = Worker("--loglevel=info", *arguments, log=log, environment={**environment, **more}, command=command)
        started.append(worker)
        if ready:
            worker.wait_for(" ready.")
        return worker

    yield start
    for worker in started:
        children = children_of(worker.process.pid) if worker.process.poll() is None else []
        worker.process.kill()
        worker.process.wait(10)
        kill_all(children)


@pytest.fixture
def client(environment: dict[str, str]) -> Iterator[Client]:
    client = Client(environment)
    yield client
    client.end()


@pytest.fixture
def ask(client: Client) -> Ask:
    """Send a task, and return its result."""
    return client.ask


class Client:
    """A process that sends tasks, so that the tests' own settings stay what they are."""

    PROGRAM = """
import json, sys
import django
django.setup()
from django_flagsmith_realtime.tasks import refresh_flags
from tests.support.celery_project import tasks
for line in sys.stdin:
    count, name, *arguments = json.loads(line)
    task = getattr(tasks, name, refresh_flags)
    results = [task.delay(*arguments) for _ in range(count)]
    try:
        answer = [result.get(timeout=20) for result in results]
    except ValueError as error:
        answer = repr(error)
    print(json.dumps(answer), flush=True)
"""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, name: str, *arguments: object) -> Any:
        answer = self.ask_many(1, name, *arguments)
        return answer[0] if isinstance(answer, list) else answer

    def ask_many(self, count: int, name: str, *arguments: object) -> Any:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([count, name, *arguments]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def is_connected(standin: StandIn) -> bool:
    return standin.counts.open_streams == 1 and standin.counts.environment_document > 0


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"])
def test_a_worker_keeps_the_stream_and_its_tasks_see_each_change(
    pool: str, start: Start, ask: Ask, standin: StandIn
) -> None:
    worker = start(f"--pool={pool}", f"--concurrency={PROCESSES}")
    wait_until(lambda: is_connected(standin))
    for text in (FIRST, "one", "two"):
        if text != FIRST:
            standin.set_flag("banner_text", value=text)
        wait_until(lambda text=text: ask("read_banner")[1] == text, timeout=20)
    assert worker.stop() == 0
    assert standin.counts.stream == 1
    assert caches["default"].get(LEASE) is None, "it was given back"
    assert "Traceback" not in worker.said()


def test_a_change_reaches_all_processes_of_a_worker(
    start: Start, client: Client, standin: StandIn, tmp_path: Path
) -> None:
    start(f"--concurrency={PROCESSES}")
    wait_until(lambda: is_connected(standin))
    for text in ("one", "two", "three"):
        standin.set_flag("banner_text", value=text)
        wait_until(lambda text=text: stored() == text)
        together = tmp_path / text
        together.mkdir()
        answers = client.ask_many(PROCESSES, "read_together", str(together), PROCESSES)
        assert [seen for _, seen in answers] == [text] * PROCESSES, "what was published before it began"
        assert len({pid for pid, _ in answers}) == PROCESSES
    assert standin.counts.stream == 1


def stored() -> Any:
    store = configured_store()
    head = store.read_head()
    environment = head and store.read_environment(head.sequence)
    return environment and environment.flags["banner_text"].value


def test_a_task_sees_one_snapshot_to_its_end_and_the_next_one_the_new(
    start: Start, ask: Ask, standin: StandIn, tmp_path: Path
) -> None:
    start("--concurrency=2")
    wait_until(lambda: stored() == FIRST)
    begun, go_on = tmp_path / "begun", tmp_path / "go on"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, "read_twice", str(begun), str(go_on))
        wait_until(begun.exists, timeout=20)
        standin.set_flag("banner_text", value="new")
        wait_until(lambda: stored() == "new")
        go_on.touch()
        assert answer.result() == [FIRST, FIRST]
    assert ask("read_banner")[1] == "new"


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_a_task_sets_its_identity_which_no_other_task_sees(pool: str, start: Start, ask: Ask) -> None:
    start(f"--pool={pool}", "--concurrency=2")
    wait_until(lambda: stored() == FIRST)
    for plan, enabled in (("gold", True), ("free", False)) * 3:
        assert ask("read_for", "somebody", plan) == [enabled, False]
        assert ask("fail_after_a_read") == f"ValueError({FIRST!r})"
        assert ask("read_banner")[1] == FIRST


def test_another_worker_takes_over_from_one_that_is_killed(start: Start, ask: Ask, standin: StandIn) -> None:
    workers = [start("--concurrency=1", f"--hostname=w{number}@%h") for number in range(2)]
    wait_until(lambda: is_connected(standin))
    [leader] = [worker for worker in workers if worker.leads()]
    [standby] = [worker for worker in workers if not worker.leads()]
    children = children_of(leader.process.pid)
    leader.process.kill()
    leader.process.wait(10)
    standin.set_flag("banner_text", value="new")
    wait_until(standby.leads, timeout=20)
    wait_until(lambda: stored() == "new")
    kill_all(children)
    wait_until(lambda: ask("read_banner")[1] == "new")


def test_a_worker_that_is_stopped_hands_over(start: Start, standin: StandIn) -> None:
    first, second = (start("--concurrency=1", f"--hostname=w{number}@%h") for number in range(2))
    wait_until(lambda: is_connected(standin))
    leader, standby = (first, second) if first.leads() else (second, first)
    assert leader.stop() == 0
    wait_until(standby.leads)
    wait_until(lambda: is_connected(standin))


def test_the_listener_goes_on_while_the_broker_is_away(
    start: Start, ask: Ask, standin: StandIn, broker: RedisServer
) -> None:
    worker = start("--concurrency=1")
    wait_until(lambda: is_connected(standin))
    broker.kill()
    worker.wait_for("onnection to broker lost")
    standin.set_flag("banner_text", value="new")
    wait_until(lambda: stored() == "new")
    broker.restart()
    wait_until(lambda: ask("read_banner")[1] == "new", timeout=20)
    assert standin.counts.stream == 1
    assert worker.stop() == 0


def test_children_that_the_pool_forks_later_see_changes_too(start: Start, ask: Ask, standin: StandIn) -> None:
    start("--concurrency=2", "--max-tasks-per-child=1")
    wait_until(lambda: is_connected(standin))
    pids = set()
    for number in range(6):
        standin.set_flag("banner_text", value=f"text {number}")
        wait_until(lambda number=number: stored() == f"text {number}")
        pid, seen = ask("read_banner")
        assert seen == f"text {number}"
        pids.add(pid)
    assert len(pids) == 6
    assert standin.counts.stream == 1


def test_beat_and_a_worker_without_a_listener_are_a_deployment_that_polls(
    start: Start, ask: Ask, standin: StandIn, tmp_path: Path
) -> None:
    worker = start("--concurrency=2", TEST_LISTENS="0")
    assert ask("read_banner") != FIRST
    start(f"--schedule={tmp_path / 'beat'}", ready=False, command="beat", TEST_LISTENS="0")
    wait_until(lambda: stored() == FIRST, timeout=20)
    standin.set_flag("banner_text", value="new")
    wait_until(lambda: stored() == "new", timeout=20)
    assert ask("read_banner")[1] == "new"
    assert standin.counts.stream == 0
    standin.document["api_key"] = "another"
    worker.wait_for("WrongEnvironment")
    assert "Traceback" not in worker.said()


def test_a_refresh_beside_a_listener_has_that_fetch(start: Start, ask: Ask, standin: StandIn) -> None:
    start("--concurrency=1")
    wait_until(lambda: is_connected(standin) and stored() == FIRST)
    requests = standin.counts.environment_document
    assert ask("refresh_flags") is None
    wait_until(lambda: standin.counts.environment_document == requests + 1)
    assert standin.counts.stream == 1


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TEST_FLAGSMITH": "{}"}, "FLAGSMITH['ENVIRONMENT_KEY'] is missing"),
        ({"TEST_CACHES": '{"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}'}, "one process"),
    ],
    ids=["no key", "a cache of one process"],
)
def test_a_worker_that_cannot_listen_says_why_and_ends(start: Start, variables: dict[str, str], said: str) -> None:
    worker = start(ready=False, **variables)
    assert worker.process.wait(30) != 0
    assert said in worker.said()


def test_the_pool_eventlet_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="use gevent, threads, prefork or solo"):
        ListenerStep(SimpleNamespace(), enabled=True).create(SimpleNamespace(pool_cls=TaskPool))


def test_a_task_that_replaces_itself_ends_its_scope_and_the_new_one_s() -> None:
    """canonical-ols/talisker#70: the new task runs inside the first one, under the same id."""
    with Celery("eager", broker="memory://", set_as_current=False) as app:
        app.conf.task_always_eager = True

        @app.task
        def reading() -> Any:
            return get_flags().get_feature_value("banner_text")

        @app.task(bind=True)
        def replacing(self: Any) -> Any:
            with allow_join_result():  # else Celery refuses to wait within a task
                return self.replace(reading.si())

        publish(banner_text="one")
        assert replacing.delay().get() == "one"
        assert celery_module._entered == {}
        publish(banner_text="two")
        assert reading.delay().get() == "two"
    assert get_flags().get_feature_value("banner_text") == "two"


def kill_all(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
