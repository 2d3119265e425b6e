"""What can happen to the processes: they are killed, frozen, stopped, and their clock jumps."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from standin.server import StandIn

from django_flagsmith_realtime.listener import publisher as publisher_module
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.signals import flags_updated
from django_flagsmith_realtime.storage.store import SUPERSEDED_SECONDS, Store
from tests.faults.conftest import Healing
from tests.faults.deployment import Readers, deployed
from tests.faults.flagsmith import DOCUMENT_PATH, STREAM_PATH, event
from tests.support.backends import RecordingCache, use
from tests.support.documents import FIRST, LEASE, RECORDED, configured_store, make_document
from tests.support.http_server import Answer, EventStream, Refuse, Reply, ScriptedServer, Silence
from tests.support.processes import Command, RedisServer, free_port, wait_until
from tests.support.sources import FakeSource

Start = Callable[..., Command]
STOPS_WITHIN = 2.0  # seconds: one, and another for a machine that is busy
FATAL = "tests.support.backends.FatalCache"
STEPS = {
    "the payload is added": "1 add payload",
    "the head is set": "1 set head",
    "the signals are sent": "signals",
    "the last changes are kept": "1 set changes",
    "the payload is kept": "1 touch payload",
    "the payload of before is let go": "2 touch payload",
    "the version is marked as signaled": "1 set signaled",
    "the event is remembered": "1 set event",
}


@pytest.fixture
def start(standin: StandIn, redis_server: RedisServer, tmp_path: Path, settings: Any) -> Iterator[Start]:
    """Start a listener as a process; keywords in capitals are settings, the others environment variables."""
    settings.CACHES = {"default": redis_server.cache()}
    started: list[Command] = []

    def start(*arguments: str, backend: str | None = None, socket_timeout: float = 1, **more: Any) -> Command:
        variables = {name: more.pop(name) for name in tuple(more) if name.startswith("TEST_")}
        cache = redis_server.cache(socket_timeout=socket_timeout)
        cache["BACKEND"] = backend or cache["BACKEND"]
        log = tmp_path / f"log-{len(started)}"
        variables["TEST_SIGNALS"] = str(tmp_path / "signals")
        started.append(Command(*arguments, setting={**standin.setting, **more}, cache=cache, log=log, **variables))
        return started[-1]

    (tmp_path / "signals").touch()
    yield start
    for command in started:
        command.process.kill()
        command.process.wait(10)


@pytest.fixture
def signals(tmp_path: Path) -> Callable[[], list[str]]:
    """What the receivers in all processes have noted."""
    return lambda: (tmp_path / "signals").read_text().splitlines()


def let_lease_expire() -> None:
    """Spare the test the seconds after which the cache forgets the lease of a listener that was killed."""
    caches["default"].delete(LEASE)


def publish_and_signal(store: Store, **flags: Any) -> None:
    """Publish as a listener did that ended in peace."""
    snapshot = store.publish(make_document(**flags), after=None)
    store.mark_signaled(snapshot.head)


def test_the_steps_are_those_of_a_publish(settings: Any) -> None:
    use(settings, "tests.support.backends.RecordingCache")
    store = configured_store()
    publish_and_signal(store, banner_text="of before")
    RecordingCache.operations.clear()
    source = FakeSource(lambda: make_document(banner_text="new"))
    Publisher(source=source, store=store).refresh()
    store.write_events(None, ())
    writes = [f"{operation} {key}" for operation, key in RecordingCache.operations if operation != "get"]
    assert writes == [step[2:] for step in STEPS.values() if step != "signals"]


@pytest.mark.parametrize("step", STEPS)
def test_the_listener_is_killed_before(
    step: str, start: Start, standin: StandIn, signals: Callable[[], list[str]], healing: Healing
) -> None:
    publish_and_signal(configured_store(), banner_text="of before")
    with Readers().reading() as readers:
        wait_until(lambda: readers.have("of before"))
        listener = start(backend=FATAL, TEST_DIE_BEFORE=STEPS[step])
        assert listener.exit_code() == -signal.SIGKILL, listener.said()
        let_lease_expire()
        readers.go_on()
        published = step not in ("the payload is added", "the head is set")
        assert readers.have(FIRST if published else "of before")
        requests = standin.counts.environment_document
        with healing():
            start()
            wait_until(lambda: readers.have(FIRST))
            wait_until(lambda: FIRST in signals())
        wait_until(lambda: standin.counts.environment_document > requests)
        healing.requests = standin.counts.environment_document - requests
    readers.check()
    assert healing.requests == 1
    assert len(signals()) <= 2, "sent again only where nobody knows that they were sent"


@pytest.mark.parametrize("arguments", [(), ("--once",)], ids=["listener", "--once"])
def test_whoever_brings_the_first_flags_is_killed_before_the_signals_are_sent(
    start: Start, signals: Callable[[], list[str]], healing: Healing, arguments: tuple[str, ...]
) -> None:
    killed = start(*arguments, backend=FATAL, TEST_DIE_BEFORE="signals")
    assert killed.exit_code() == -signal.SIGKILL
    let_lease_expire()
    assert banner_in_cache() == FIRST
    assert signals() == []
    with healing():
        start()
        wait_until(lambda: signals() == [FIRST])


def banner_in_cache() -> object:
    store = configured_store()
    head = store.read_head()
    environment = head and store.read_environment(head.sequence)
    return environment and environment.flags["banner_text"].value


def test_a_payload_of_a_killed_listener_does_not_stay_for_ever(
    start: Start, redis_server: RedisServer, healing: Healing
) -> None:
    listener = start(backend=FATAL, TEST_DIE_BEFORE="1 set head")
    assert listener.exit_code() == -signal.SIGKILL
    let_lease_expire()
    with redis_server.client() as client, healing():
        [orphan] = client.scan_iter(":1:flagsmith:*:payload:*")
        assert 0 < client.ttl(orphan) <= SUPERSEDED_SECONDS
        start()
        wait_until(lambda: sorted(client.ttl(key) > 0 for key in client.scan_iter("*payload*")) == [False, True])


def test_the_listener_is_killed_and_a_change_comes_before_the_next_one(
    start: Start, standin: StandIn, healing: Healing, signals: Callable[[], list[str]]
) -> None:
    with Readers().reading() as readers:
        listener = start()
        wait_until(lambda: readers.have(FIRST) and standin.counts.open_streams == 1)
        listener.process.kill()
        assert listener.exit_code() == -signal.SIGKILL
        let_lease_expire()
        standin.set_flag("banner_text", value="Sale")
        requests = standin.counts.environment_document
        with healing():
            start()
            wait_until(lambda: readers.have("Sale"))
        wait_until(lambda: signals() == [FIRST, "Sale"])
        healing.requests = standin.counts.environment_document - requests
    readers.check()
    assert healing.requests == 1


def test_the_listener_is_frozen_while_another_one_publishes(
    start: Start, standin: StandIn, healing: Healing, signals: Callable[[], list[str]]
) -> None:
    with Readers().reading() as readers:
        frozen = start()
        wait_until(lambda: readers.have(FIRST) and standin.counts.open_streams == 1 and signals() == [FIRST])
        frozen.process.send_signal(signal.SIGSTOP)
        let_lease_expire()
        standin.set_flag("banner_text", value="Sale")
        other = start()
        wait_until(lambda: readers.have("Sale"))
        other.process.terminate()
        assert other.exit_code() == 0
        requests = standin.counts.environment_document
        frozen.process.send_signal(signal.SIGCONT)
        wait_until(lambda: standin.counts.environment_document > requests, "what it missed")
        standin.set_flag("banner_text", value="Closed")
        with healing():
            wait_until(lambda: readers.have("Closed"))
        wait_until(lambda: signals() == [FIRST, "Sale", "Closed"], "each signal once")
        healing.requests = standin.counts.environment_document - requests
    readers.check()


def test_threads_read_while_versions_follow_one_another(
    standin: StandIn, redis_server: RedisServer, settings: Any, healing: Healing
) -> None:
    settings.CACHES = {"default": redis_server.cache()}
    with deployed(standin) as deployment:
        deployment.settle()
        for step in range(20):
            standin.set_flag("banner_text", value=f"step {step}")
            wait_until(lambda step=step: deployment.readers.have(f"step {step}"))
        standin.set_flag("banner_text", value="Sale")
        with healing():
            wait_until(lambda: deployment.has("Sale"))
        healing.requests = deployment.requests - 20
        assert healing.requests == 1


@pytest.mark.parametrize("hours", [24, -24], ids=["a day ahead", "a day back"])
def test_the_clock_jumps(
    standin: StandIn,
    redis_server: RedisServer,
    settings: Any,
    healing: Healing,
    monkeypatch: pytest.MonkeyPatch,
    hours: int,
) -> None:
    settings.CACHES = {"default": redis_server.cache()}
    offset = 0

    class Clock:
        time_ns = staticmethod(lambda: time.time_ns() + offset)
        monotonic = staticmethod(time.monotonic)
        time = staticmethod(lambda: time.time() + offset / 10**9)

    sequences: list[int] = []

    def note(*, snapshot: Any, **kwargs: Any) -> None:
        sequences.append(snapshot.sequence)

    monkeypatch.setattr(publisher_module, "time", Clock)
    flags_updated.connect(note)
    with deployed(standin) as deployment:
        deployment.settle()
        for step, jump in enumerate([hours, -2 * hours, hours]):
            offset += jump * 3_600 * 10**9
            standin.set_flag("banner_text", value=f"step {step}")
            with healing():
                wait_until(lambda step=step: deployment.has(f"step {step}"))
        healing.requests = deployment.requests - 2
        assert healing.requests == 1
        wait_until(lambda: len(sequences) == 4)
    flags_updated.disconnect(note)
    assert sequences == sorted(set(sequences))


@contextmanager
def full_port() -> Iterator[int]:
    """Give a port on which no connection comes about: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def scripted(stream: Reply, *documents: Reply) -> ScriptedServer:
    server = ScriptedServer()
    server.script(STREAM_PATH, stream)
    server.script(DOCUMENT_PATH, *documents or [Answer(body=RECORDED)])
    return server


def is_asking(server: ScriptedServer, times: int = 1) -> Callable[[], bool]:
    return lambda: len(server.requests_to(DOCUMENT_PATH)) >= times


def is_streaming(server: ScriptedServer) -> Callable[[], bool]:
    return lambda: bool(server.requests_to(STREAM_PATH))


@contextmanager
def state_of(name: str) -> Iterator[tuple[dict[str, str], Callable[[Command], object]]]:
    """Give the settings that bring a listener into a state, and a function that waits for it."""
    with ExitStack() as stack:
        port = stack.enter_context(full_port())
        silent = stack.enter_context(scripted(Silence(), Silence()))
        refusing = stack.enter_context(scripted(Refuse(503), Refuse(503)))
        chased = stack.enter_context(scripted(EventStream([event(1_895_372_800_000_000)])))
        quiet = stack.enter_context(scripted(EventStream()))
        yield {
            "connecting to the stream": (
                {"REALTIME_URL": f"http://127.0.0.1:{port}/"},
                lambda command: command.wait_for("22 flags"),
            ),
            "connecting to the API": (
                {"API_URL": f"http://127.0.0.1:{port}/api/v1/"},
                lambda command: command.wait_for("Flagsmith listener started"),
            ),
            "reading the stream": (urls(quiet), lambda command: wait_until(is_streaming(quiet))),
            "waiting for the stream's answer": (
                {"REALTIME_URL": f"{silent.url}/"},
                lambda command: wait_until(is_streaming(silent)),
            ),
            "waiting for the document": (
                {"API_URL": f"{silent.url}/api/v1/"},
                lambda command: wait_until(is_asking(silent)),
            ),
            "backing off from the stream": (
                {"REALTIME_URL": f"http://127.0.0.1:{free_port()}/"},
                lambda command: command.wait_for("refused the connection"),
            ),
            "backing off from the API": (urls(refusing), lambda command: wait_until(is_asking(refusing, 4))),
            "chasing": (urls(chased), lambda command: wait_until(is_asking(chased, 4))),
            "waiting for a receiver": (
                {**urls(quiet), "TEST_RECEIVER_SECONDS": "60"},
                lambda command: wait_until(lambda: banner_in_cache() == FIRST),
            ),
        }[name]


def urls(server: ScriptedServer) -> dict[str, str]:
    return {"API_URL": f"{server.url}/api/v1/", "REALTIME_URL": f"{server.url}/"}


@pytest.mark.parametrize(
    "state",
    [
        "connecting to the stream",
        "connecting to the API",
        "reading the stream",
        "waiting for the stream's answer",
        "waiting for the document",
        "backing off from the stream",
        "backing off from the API",
        "chasing",
        "waiting for a receiver",
    ],
)
def test_it_is_stopped_while(start: Start, signals: Callable[[], list[str]], healing: Healing, state: str) -> None:
    with state_of(state) as (setting, wait):
        command = start(**setting)
        wait(command)
        if state == "waiting for a receiver":
            wait_until(signals)
        command.process.send_signal(signal.SIGTERM)
        with healing():
            assert command.exit_code() == 0
    assert healing.seconds and healing.seconds < STOPS_WITHIN
    assert "Traceback" not in command.said()
    assert ("Stopped without waiting" in command.said()) == (state == "waiting for a receiver")


@pytest.mark.parametrize("fault", ["down", "hanging"])
def test_it_is_stopped_while_the_cache_is(
    start: Start, redis_server: RedisServer, standin: StandIn, healing: Healing, fault: str
) -> None:
    command = start(socket_timeout=3)
    command.wait_for("22 flags")
    redis_server.kill() if fault == "down" else redis_server.freeze()
    standin.set_flag("banner_text", value="Sale")
    command.wait_for("The cache failed")
    command.process.send_signal(signal.SIGTERM)
    with healing():
        assert command.exit_code() == 0
    assert healing.seconds and healing.seconds < STOPS_WITHIN
    assert "Traceback" not in command.said()
