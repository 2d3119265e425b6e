"""The streams' bytes and headers; `tests/live` has them on real servers."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Callable
from contextlib import aclosing, nullcontext
from typing import Any

import django
import pytest
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import resolve, reverse

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.live import events, stream
from django_flagsmith_realtime.live.events import LOOK_SECONDS, UNREAD_SECONDS, get_fanout
from django_flagsmith_realtime.live.stream import max_streams, stream_url
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from django_flagsmith_realtime.reading.reader import Reader
from django_flagsmith_realtime.reading.scope import release_flags
from tests.support.cases import each_case
from tests.support.documents import configured_store, publish

OWN = "/flagsmith/sse/environments/client-side-key/stream"
PAGES = "/flagsmith/ofrep/v1/stream"
STREAM_KEY = {**settings.FLAGSMITH, "STREAM_KEY": "client-side-key"}


async def read(url: str, count: int = 2, **headers: str) -> list[str]:
    """Return the first blocks of a stream."""
    response: Any = await AsyncClient().get(url, headers=headers)
    assert response.status_code == 200
    async with aclosing(aiter(response)) as blocks:
        return [(await anext(blocks)).decode() for _ in range(count)]


def is_silent(url: str, **headers: str) -> bool:
    """Tell whether nothing is sent to a client that has just connected."""

    async def find() -> bool:
        response: Any = await AsyncClient().get(url, headers=headers)
        async with aclosing(aiter(response)) as blocks:
            await anext(blocks)
            pending = asyncio.ensure_future(anext(blocks))
            for _ in range(20):
                await asyncio.sleep(0)
            try:
                return not pending.done()
            finally:
                pending.cancel()
                await asyncio.wait([pending])

    return asyncio.run(find())


def test_they_are_where_the_documentation_says() -> None:
    assert reverse("flagsmith-stream", args=["KEY"]) == "/flagsmith/sse/environments/KEY/stream"
    assert reverse("flagsmith-ofrep-stream") == stream_url() == PAGES
    hub = {"PUBLISH_URL": "http://127.0.0.1:8090/publish", "SUBSCRIBE_URL": "/subscribe"}
    with override_settings(FLAGSMITH={"HUB": hub}):
        assert stream_url() == "/subscribe"


@each_case("url", [OWN, PAGES])
def test_nothing_may_store_hold_back_or_compress_a_stream(url: str) -> None:
    async def headers() -> dict[str, str]:
        response: Any = await AsyncClient().get(url)
        return dict(response.headers)

    found = asyncio.run(headers())
    assert found["Content-Type"] == "text/event-stream; charset=utf-8"
    assert found["Cache-Control"] == "no-store"
    assert found["X-Accel-Buffering"] == "no"
    assert found["Content-Encoding"] == "identity"
    assert found.get("Access-Control-Allow-Origin") == ("*" if url == OWN else None)


@each_case("url", [OWN, PAGES])
def test_a_stream_needs_no_login_no_transaction_and_no_csrf_token(url: str) -> None:
    view: Any = resolve(url).func
    assert view.login_required is login_not_required(lambda: None).login_required
    assert view._non_atomic_requests == set(connections)
    response: Any = asyncio.run(AsyncClient().post(url))
    assert response.status_code == 405


@each_case("url", [OWN, PAGES])
def test_under_wsgi_the_answer_says_what_to_run(client: Client, url: str) -> None:
    response = client.get(url)
    assert response.status_code == 501
    assert "uvicorn" in response.content.decode()


class TestFlagsmithsStream:
    def test_it_begins_with_the_latest_time_of_our_environment(self) -> None:
        snapshot = publish()
        with override_settings(FLAGSMITH=STREAM_KEY):
            [retry, event] = asyncio.run(read(OWN))
        assert retry.startswith("retry: ")
        assert retry.endswith("\r\n\r\n")
        assert event.startswith("event: environment_updated\r\ndata: ")
        assert event.endswith("\r\nretry: 15000\r\n\r\n")
        data = json.loads(event.splitlines()[1].removeprefix("data: "))
        assert data == {"updated_at": snapshot.head.changed_at / 1_000_000}

    def test_the_key_of_our_environment_comes_from_its_document(self) -> None:
        key = publish().environment.api_key
        [_, event] = asyncio.run(read(OWN.replace("client-side-key", key)))
        assert event.startswith("event: environment_updated")

    def test_a_microsecond_is_seen(self, clock: Callable[[float], None]) -> None:
        """`changed_at` moves by one at least, and clients ignore a time that has not moved."""
        with override_settings(FLAGSMITH=STREAM_KEY):
            publish(banner_text="one")
            one = asyncio.run(read(OWN))[1]
            publish(banner_text="two")
            clock(LOOK_SECONDS)
            assert asyncio.run(read(OWN))[1] != one

    @each_case("published", [True, False])
    def test_an_unknown_key_gets_silence(self, published: bool) -> None:
        if published:
            publish()
        assert is_silent(OWN)


class TestStreamOfPages:
    def test_one_that_saw_another_version_is_notified_at_once(self) -> None:
        head = publish().head
        for blocks in (
            read(f"{PAGES}?lastEventId=1"),
            read(PAGES, **{"Last-Event-ID": "1"}),
            read(f"{PAGES}?lastEventId={head.sequence}", **{"Last-Event-ID": "1"}),
        ):
            [retry, event] = asyncio.run(blocks)
            assert retry.startswith("retry: ")
            fields = dict(line.split(": ", 1) for line in event.strip().splitlines())
            assert (fields["id"], fields["event"]) == (str(head.sequence), "message")
            assert json.loads(fields["data"]) == {
                "type": "refetchEvaluation",
                "etag": str(head.sequence),
                "lastModified": head.changed_at / 1_000_000,
            }

    def test_no_process_answers_with_the_flags_of_before_once_a_page_is_notified(self) -> None:
        other = Reader(configured_store())
        publish(banner_text="old")
        other.current()
        head = publish(banner_text="new").head
        with override_settings(FLAGSMITH={**settings.FLAGSMITH, "FRESHNESS": 0.05}):
            asyncio.run(read(f"{PAGES}?lastEventId=1"))
        snapshot = other.current(max_age=0.05)
        assert snapshot and snapshot.head == head

    def test_one_that_saw_this_version_is_not(self) -> None:
        head = publish().head
        assert is_silent(f"{PAGES}?lastEventId={head.sequence}")
        assert is_silent(PAGES, **{"Last-Event-ID": str(head.sequence)})

    def test_one_that_names_none_is_notified_within_a_minute_of_a_change(self, monkeypatch: pytest.MonkeyPatch) -> None:
        publish()
        assert len(asyncio.run(read(PAGES))) == 2
        monkeypatch.setattr(stream, "RECENT_SECONDS", 0.0)
        assert is_silent(PAGES)

    def test_before_anything_is_published_there_is_silence(self) -> None:
        assert is_silent(f"{PAGES}?lastEventId=1")


def ended(url: str) -> list[str]:
    """Return all blocks of a stream that ends by itself."""

    async def read_all() -> list[str]:
        response: Any = await AsyncClient().get(url)
        return [block.decode() async for block in aiter(response)]

    return asyncio.run(asyncio.wait_for(read_all(), 10))


class TestBound:
    def test_a_client_beyond_it_is_sent_away_for_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With 200: a browser never comes back from any other status."""
        publish()
        monkeypatch.setattr(stream, "MAX_STREAMS", 0)
        for url in (OWN, PAGES):
            [retry] = ended(url)
            assert 30_000 <= int(retry.removeprefix("retry: ").strip()) <= 90_000

    def test_half_of_the_file_descriptors_are_left_for_other_requests(self) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (300, limits[1]))
            assert max_streams() == 150
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    def test_one_that_comes_while_the_process_ends_is_sent_away_at_once(self) -> None:
        async def come() -> list[bytes]:
            get_fanout().end()
            response: Any = await AsyncClient().get(PAGES)
            return [block async for block in aiter(response)]

        [retry] = asyncio.run(come())
        assert 1_000 <= int(retry.decode().removeprefix("retry: ").strip()) <= 10_000

    def test_a_client_that_goes_leaves_nothing(self) -> None:
        async def go() -> None:
            response: Any = await AsyncClient().get(PAGES)
            async with aclosing(aiter(response)) as blocks:
                await anext(blocks)
                assert len(get_fanout()) == 1
            while len(get_fanout()):  # the test client's own generator around the stream is left to the loop
                await asyncio.sleep(0)

        asyncio.run(asyncio.wait_for(go(), 10))


def drop_a_client() -> list[str]:
    """Open a stream by Django's own handler, on a server that can't send any more; return the types of what it sent."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not sent:
            sent.append(None)
            return {"type": "http.request"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def serve() -> None:
        scope = {"type": "http", "method": "GET", "path": PAGES, "headers": [], "query_string": b""}
        request = asyncio.create_task(ASGIHandler()(scope, receive, send))
        fanout = get_fanout()
        while not len(fanout):
            await asyncio.sleep(0.001)
        [subscriber] = fanout._subscribers
        fanout.send(subscriber, b"a change")
        fanout.drop_unread(time.monotonic() + UNREAD_SECONDS - 1)
        await asyncio.sleep(0.01)
        assert not request.done()
        fanout.drop_unread(time.monotonic() + UNREAD_SECONDS)
        await asyncio.wait_for(request, 10)
        assert len(fanout) == 0

    publish()
    asyncio.run(serve())
    return [message["type"] for message in sent[1:]]


def test_a_client_that_does_not_read_is_dropped_as_if_it_had_disconnected() -> None:
    assert drop_a_client() == ["http.response.start", "http.response.body"]


def test_django_from_6_1_on_still_passes_the_cancellation_of_a_request_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `compat.abort_request`."""
    monkeypatch.setattr(events, "abort_request", lambda: None)
    with pytest.raises(asyncio.CancelledError) if django.VERSION >= (6, 1) else nullcontext():
        drop_a_client()


class TestWhatAStreamHolds:
    def test_the_middleware_extends_no_scope_for_it(self) -> None:
        async def respond() -> tuple[Any, Any]:
            response: Any = stream.EventStreamResponse(stream._events(None, lambda head: True))
            content = response._iterator

            async def view(request: Any) -> Any:
                return response

            await FlagsmithMiddleware(view)(RequestFactory().get("/"))  # type: ignore[misc]
            return content, response._iterator

        before, after = asyncio.run(respond())
        assert before is after

    def test_it_holds_no_snapshot_that_a_middleware_read(self) -> None:
        request: Any = RequestFactory().get("/")
        publish(banner_text="one")
        request.flags = get_flags(request)
        assert request.flags.get_feature_value("banner_text") == "one"
        publish(banner_text="two")
        release_flags(request)
        assert request.flags is get_flags(request)
        assert request.flags.get_feature_value("banner_text") == "two"
