"""The hub gets a message for each change, from a thread that delays nobody, whatever the hub does."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator

import pytest

from django_flagsmith_realtime.listener import hub
from django_flagsmith_realtime.listener.backoff import Backoff
from django_flagsmith_realtime.listener.hub import Hub
from tests.support.cases import each_case
from tests.support.http_server import Answer, Drip, Raw, Redirect, Refuse, Reply, Reset, ScriptedServer, Silence, head
from tests.support.processes import wait_until

ACCEPTED = Answer(201, body=b"queued messages: 1")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.script("/publish", ACCEPTED)
        yield server


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again after a hundredth of a second."""
    monkeypatch.setattr(hub, "RETRY", Backoff(first=0.01, limit=0.01))


@pytest.fixture
def posting() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.finish()


def url(server: ScriptedServer) -> str:
    return f"http://name:password@127.0.0.1:{server.port}/publish"


def bodies(server: ScriptedServer) -> list[bytes]:
    return [request.body for request in server.requests]


def test_a_message_is_posted_as_json_with_the_name_and_password_of_the_url(
    server: ScriptedServer, posting: Hub
) -> None:
    posting.post(url(server), '{"type": "refetchEvaluation"}')
    server.wait_for(lambda: server.requests)
    [request] = server.requests
    assert (request.method, request.body) == ("POST", b'{"type": "refetchEvaluation"}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Basic bmFtZTpwYXNzd29yZA=="


@each_case(
    ("faults", "seconds"),
    [  # each list of one kind, which is logged once
        ([Refuse(503), Refuse(403), Redirect("/elsewhere", 302), Redirect("http://127.0.0.1:1/", 308)], 5.0),
        ([Reset(), Raw([b"not HTTP\r\n\r\n"])], 5.0),
        ([Drip({}, 2, what="headers")], 0.05),
    ],
)
def test_a_message_is_posted_until_the_hub_accepts_it(
    posting: Hub,
    faults: list[Reply],
    seconds: float,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "POST_SECONDS", seconds)
    caplog.set_level(logging.INFO)
    caplog.clear()
    with ScriptedServer() as server:
        server.script("/publish", *faults, ACCEPTED)
        posting.post(url(server), "a change")
        wait_until(lambda: caplog.records, "the outage")
        monkeypatch.setattr(hub, "POST_SECONDS", 5.0)  # in which a busy machine answers
        wait_until(lambda: len(caplog.records) == 2, "the end of the outage")
    assert set(bodies(server)) == {b"a change"}
    assert len(server.requests) > len(faults)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.messages[0].startswith("Flagsmith hub: ")
    assert re.fullmatch(r"Flagsmith hub: works again after \d s", caplog.messages[1])
    assert "password" not in caplog.text


def test_what_the_hub_answers_is_not_read(server: ScriptedServer, posting: Hub) -> None:
    server.script("/publish", Raw([head(201, {"Content-Length": "1000000"}), b"x"], end="open"), ACCEPTED)
    posting.post(url(server), "first")
    server.wait_for(lambda: len(server.requests) == 1)
    posting.post(url(server), "second")
    server.wait_for(lambda: len(server.requests) == 2)


def test_only_the_last_of_the_messages_that_wait_is_posted(server: ScriptedServer, posting: Hub) -> None:
    with server.refusing():
        for number in range(100):
            posting.post(url(server), f"change {number}")
        wait_until(lambda: posting._latest and posting._latest.was_tried.is_set())  # the last one was refused, too
    server.wait_for(lambda: server.requests)
    posting.post(url(server), "the last one")
    server.wait_for(lambda: len(server.requests) == 2)
    assert bodies(server) == [b"change 99", b"the last one"]


def test_who_posts_waits_for_nothing(server: ScriptedServer, posting: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POST_SECONDS", 60.0)
    monkeypatch.setattr(hub, "EXIT_SECONDS", 0.05)
    server.script("/publish", Silence())
    began = time.monotonic()
    posting.post(url(server), "a change")
    posting.finish()
    assert time.monotonic() - began < 10, "neither for the hub, nor at the end of the process"


def test_a_process_that_ends_waits_until_its_last_message_was_tried(
    server: ScriptedServer, posting: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "EXIT_SECONDS", 10.0)
    posting.finish()  # there was none
    posting.post(url(server), "a change")
    posting.finish()
    assert bodies(server) == [b"a change"]
    with server.refusing():
        posting.post(url(server), "another")
        posting.finish()  # it was refused


def test_a_forked_process_posts_from_a_thread_of_its_own(server: ScriptedServer, posting: Hub) -> None:
    posting._thread = ended = threading.Thread()  # what is left of the parent's in the child
    posting.post(url(server), "a change")
    server.wait_for(lambda: server.requests)
    assert posting._thread is not ended
