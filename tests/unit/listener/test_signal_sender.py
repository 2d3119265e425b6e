"""The signals about the listener itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from django_flagsmith_realtime.exceptions import ServerError
from django_flagsmith_realtime.listener.events import BecameLeader, Event, StreamConnected, StreamDisconnected
from django_flagsmith_realtime.listener.signal_sender import SignalSender
from django_flagsmith_realtime.signals import listener_became_leader, stream_connected, stream_disconnected
from django_flagsmith_realtime.storage.status import Leader

ERROR = ServerError("No.")
ROUTINE = StreamDisconnected(None, is_routine=True, delay=1.0)
BROKEN = StreamDisconnected(ERROR, is_routine=False, delay=1.0)
SIGNALS = {
    "leader": listener_became_leader,
    "connected": stream_connected,
    "disconnected": stream_disconnected,
}

Sent = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def sent() -> Iterator[Sent]:
    seen: Sent = []
    receivers = []
    for name, signal in SIGNALS.items():

        def note(*, sender: Any, signal: Any, name: str = name, **values: Any) -> None:
            assert sender is Leader
            seen.append((name, values))

        signal.connect(note)
        receivers.append((signal, note))
    yield seen
    for signal, note in receivers:
        signal.disconnect(note)


def send(*events: Event) -> None:
    now = iter(range(0, 1000, 10))
    signal_sender = SignalSender(clock=lambda: float(next(now)))
    for event in events:
        signal_sender(event)


def test_the_first_connection_ends_no_outage(sent: Sent) -> None:
    send(BecameLeader(), StreamConnected())
    assert sent == [
        ("leader", {"host": socket.gethostname(), "pid": os.getpid()}),
        ("connected", {"outage": None}),
    ]


def test_routine_is_no_news(sent: Sent) -> None:
    send(StreamConnected(), ROUTINE, StreamConnected(), ROUTINE, StreamConnected())
    assert len(sent) == 1


def test_an_outage_sends_one_signal_and_its_end_another_with_its_length(sent: Sent) -> None:
    send(StreamConnected(), BROKEN, BROKEN, BROKEN, StreamConnected())
    assert sent[1:] == [("disconnected", {"error": ERROR}), ("connected", {"outage": 10.0})]


def test_a_stream_that_never_opened_is_an_outage(sent: Sent) -> None:
    send(BecameLeader(), BROKEN, BROKEN)
    assert [name for name, _ in sent] == ["leader", "disconnected"]


def test_a_receiver_that_raises_stops_nobody(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("a bug")

    stream_connected.connect(fail)
    try:
        send(StreamConnected(), BROKEN)
    finally:
        stream_connected.disconnect(fail)
    assert sent[-1][0] == "disconnected"
    assert "a bug" in caplog.text
