"""A Flagsmith whose every answer a test decides, and a deployment that depends on it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest
from django.test import override_settings

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.environment.timestamps import to_datetime
from django_flagsmith_realtime.listener import factory as build
from django_flagsmith_realtime.listener import listener as listener_module
from django_flagsmith_realtime.listener.factory import build_listener
from django_flagsmith_realtime.listener.listener import Listener
from django_flagsmith_realtime.listener.schedule import COALESCE_SECONDS
from django_flagsmith_realtime.reading.reader import get_reader
from tests.faults.conftest import Healing
from tests.support import recordings
from tests.support.documents import RECORDED
from tests.support.http_server import Answer, Connection, EventStream, Reply, Request, ScriptedServer
from tests.support.processes import wait_until

SERVER_KEY = "ser.the-key-of-the-tests"
CLIENT_KEY = RECORDED["api_key"]
DOCUMENT_PATH = "/api/v1/environment-document/"
STREAM_PATH = f"/sse/environments/{CLIENT_KEY}/stream"
MICROSECONDS = 1_000_000
FIRST_TIME = 1_795_372_800 * MICROSECONDS
FIRST = "Welcome"


def event(time: int, end: bytes = b"\r\n") -> bytes:
    """Return the event that announces a time, as Flagsmith's service writes it."""
    seconds = f"{time // MICROSECONDS}.{time % MICROSECONDS:06}".encode()
    return end.join([b"event: environment_updated", b'data: {"updated_at": ' + seconds + b"}", b"", b""])


def document(banner: str, updated_at: int, *, realtime: bool = True) -> dict[str, Any]:
    """Return the recorded document with another banner and date, and real-time updates switched on or off."""
    body = recordings.document()
    body["project"]["enable_realtime_updates"] = realtime
    body["updated_at"] = to_datetime(updated_at).isoformat()
    (state,) = (state for state in body["feature_states"] if state["feature"]["name"] == "banner_text")
    state["feature_state_value"] = banner
    return body


class Current:
    """Answers with the document as it is when the request comes."""

    def __init__(self, flagsmith: ScriptedFlagsmith) -> None:
        self._flagsmith = flagsmith

    def serve(self, connection: Connection, request: Request) -> bool:
        return Answer(body=self._flagsmith.document, gzip=True).serve(connection, request)


class Replay:
    """What a stream says first: the latest time, if it has one."""

    def __init__(self, flagsmith: ScriptedFlagsmith) -> None:
        self._flagsmith = flagsmith

    def __iter__(self) -> Iterator[bytes]:
        if self._flagsmith.replays and self._flagsmith.announced:
            yield event(self._flagsmith.announced)


class Until:
    """Answers in one way up to a moment, and in another from then on."""

    def __init__(self, is_over: Callable[[], bool], before: Reply, after: Reply) -> None:
        self._is_over, self._before, self._after = is_over, before, after

    def serve(self, connection: Connection, request: Request) -> bool:
        return (self._after if self._is_over() else self._before).serve(connection, request)


class ScriptedFlagsmith:
    """One environment: its document at `api`, its events at `realtime`.

    `announced` is the latest time that its stream was told, which it replays to whoever connects if `replays`.
    `has_realtime` is what the document says of the project; `ping` the seconds between the stream's comments,
    and `stream` what is answered in its place until it is scripted.
    """

    def __init__(self, *, has_realtime: bool = True, ping: float | None = None, stream: Reply | None = None) -> None:
        self.api, self.realtime = ScriptedServer(), ScriptedServer()
        self.updated_at = FIRST_TIME
        self.has_realtime = has_realtime
        self.document = document(FIRST, FIRST_TIME, realtime=has_realtime)
        self.announced: int | None = None
        self.replays = True
        self.current = Current(self)
        self.live = EventStream(Replay(self), ping=ping)
        self.script_document()
        self.break_stream(stream or self.live)

    def __enter__(self) -> ScriptedFlagsmith:
        self.api.__enter__()
        self.realtime.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.realtime.__exit__(*exc_info)
        self.api.__exit__(*exc_info)

    def script_document(self, *replies: Reply) -> None:
        """Say what the document's endpoint answers before it works, again."""
        self.api.script(DOCUMENT_PATH, *replies, self.current)

    def script_stream(self, *replies: Reply) -> None:
        """Say what the stream's endpoint answers before it works, again."""
        self.realtime.script(STREAM_PATH, *replies, self.live)

    def break_document(self, reply: Reply) -> None:
        """Let the document's endpoint answer so until it is scripted again."""
        self.api.script(DOCUMENT_PATH, reply)

    def break_stream(self, reply: Reply) -> None:
        """Let the stream's endpoint answer so until it is scripted again."""
        self.realtime.script(STREAM_PATH, reply)

    def change(self, banner: str, after: float = 1.0) -> int:
        """Change the environment so many seconds later, by its own clock; return its time."""
        self.updated_at += int(after * MICROSECONDS)
        self.document = document(banner, self.updated_at, realtime=self.has_realtime)
        self.announced = self.updated_at
        return self.updated_at

    def update(self, banner: str, after: float = 1.0) -> int:
        """Change the environment and tell the stream."""
        time = self.change(banner, after)
        self.live.send(event(time))
        return time

    @property
    def document_requests(self) -> int:
        return len(self.api.requests_to(DOCUMENT_PATH))

    @property
    def stream_requests(self) -> int:
        return len(self.realtime.requests_to(STREAM_PATH))

    @property
    def is_heard(self) -> bool:
        return self.live.listeners > 0

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return a `FLAGSMITH` in which nothing but an event leads to a request, unless `more` says so."""
        return {
            "ENVIRONMENT_KEY": SERVER_KEY,
            "API_URL": f"{self.api.url}/api/v1/",
            "REALTIME_URL": self.realtime.url,
            "POLL_INTERVAL": 3600,
            "FALLBACK_POLL_INTERVAL": 3600,
            **more,
        }


class Deployment:
    """A listener in a thread, and a reader that looks at the flags all the time.

    `seen`: each banner that the reader saw, in order; it never saw none after the first.
    """

    def __init__(self, listener: Listener) -> None:
        self.seen: list[object] = []
        self._listener = listener
        self._listening = threading.Thread(target=listener.run)
        self._reading = threading.Thread(target=self._read)
        self._reader = get_reader()
        self._is_over = threading.Event()
        self._has_lost_flags = False

    def start(self) -> None:
        self._listening.start()
        self._reading.start()

    def stop(self) -> None:
        """Stop the listener; neither it nor its threads take longer than a second."""
        self._listener.stop()
        self._listening.join(1)
        assert not self._listening.is_alive(), "a stop takes effect within a second"
        wait_until(lambda: not _threads(), "the end of the listener's threads", 1)

    def end(self) -> None:
        self._is_over.set()
        self._reading.join()
        self.stop()
        assert not self._has_lost_flags, "a reader that had flags has none"

    def wait_for(self, banner: str, seconds: float = 20.0) -> None:
        """Wait until the reader sees a banner."""
        wait_until(lambda: self.seen and self.seen[-1] == banner, f"{banner!r} after {self.seen}", seconds)

    def _read(self) -> None:
        while not self._is_over.wait(0.002):
            if snapshot := self._reader.current():
                banner = snapshot.environment.flags["banner_text"].value
                if banner not in self.seen[-1:]:
                    self.seen.append(banner)
            else:
                self._has_lost_flags = self._has_lost_flags or bool(self.seen)


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("flagsmith-")]


@contextmanager
def deployed(flagsmith: ScriptedFlagsmith, *, connected: bool = True, **more: Any) -> Iterator[Deployment]:
    """Run a deployment that has flags and, if `connected`, an open stream; its next request need not wait."""
    with override_settings(FLAGSMITH=flagsmith.settings(**more)):
        deployment = Deployment(build_listener(get_config()))
        deployment.start()
        try:
            wait_until(lambda: deployment.seen, "the first flags")
            if connected:
                wait_until(lambda: flagsmith.is_heard, "the first stream")
            first = flagsmith.api.requests[-1].at
            wait_until(lambda: time.monotonic() - first > COALESCE_SECONDS)
            yield deployment
        finally:
            deployment.end()


class Hurry:
    """Lets a listener's time pass so many times as fast as ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, speed: float) -> None:
        self.speed = speed
        self._began = time.monotonic()
        hurry = self

        class HurriedQueue(SimpleQueue[Any]):
            def get(self, block: bool = True, timeout: float | None = None) -> Any:
                return super().get(block, None if timeout is None else timeout / hurry.speed)

        class Clock:
            monotonic = staticmethod(self.now)

        monkeypatch.setattr(listener_module, "SimpleQueue", HurriedQueue)
        monkeypatch.setattr(build, "time", Clock)

    def now(self) -> float:
        return self._began + (time.monotonic() - self._began) * self.speed

    @contextmanager
    def takes(self, healing: Healing) -> Iterator[None]:
        """Take a figure in the listener's time."""
        with healing():
            yield
        assert healing.seconds is not None
        healing.seconds *= self.speed

    def after(self, seconds: float) -> Callable[[], bool]:
        """Return what tells whether so many seconds have passed from now."""
        moment = self.now() + seconds
        return lambda: self.now() >= moment


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the package logged; none of it holds a traceback or a key."""
    found = [record for record in list(caplog.records) if record.name.startswith("django_flagsmith_realtime")]
    assert not any(record.exc_info for record in found)
    assert not any(key in record.getMessage() for record in found for key in (SERVER_KEY, CLIENT_KEY))
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in records(caplog) if record.levelno > logging.INFO]


def recoveries(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in records(caplog) if " again after " in record.getMessage()]


def wait_for_recovery(caplog: pytest.LogCaptureFixture, about: str) -> None:
    """Wait until an outage is said to be over; it was said once when it began, and is said once now."""
    wait_until(lambda: recoveries(caplog), "a line that says that the outage is over")
    assert [line.partition(":")[0] for line in warnings(caplog)] == [about]
    assert [line.partition(":")[0] for line in recoveries(caplog)] == [about]
