"""The streams' first bytes and their headers; `tests/live` has them on real servers."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

from django.test import AsyncClient, Client, override_settings
from django.urls import reverse

from django_flagsmith_realtime.live.stream import stream_url
from tests.support.cases import each_case
from tests.support.documents import publish

OWN = "/flagsmith/sse/environments/client-side-key/stream"
PAGES = "/flagsmith/ofrep/v1/stream"


async def read(url: str, count: int = 1, **headers: str) -> list[str]:
    """Return the first blocks of a stream."""
    response: Any = await AsyncClient().get(url, headers=headers)
    assert response.status_code == 200
    async with aclosing(aiter(response)) as blocks:
        return [(await anext(blocks)).decode() for _ in range(count)]


def first(url: str, count: int = 1, **headers: str) -> list[str]:
    return asyncio.run(read(url, count, **headers))


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
def test_under_wsgi_the_answer_says_what_to_run(client: Client, url: str) -> None:
    response = client.get(url)
    assert response.status_code == 501
    assert "uvicorn" in response.content.decode()


class TestFlagsmithsStream:
    def test_it_begins_with_the_latest_time_of_our_environment(self) -> None:
        snapshot = publish()
        with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": "ser.tests", "STREAM_KEY": "client-side-key"}):
            [event] = first(OWN)
        assert event.startswith("event: environment_updated\r\ndata: ")
        assert event.endswith("\r\nretry: 15000\r\n\r\n")
        assert json.loads(event.splitlines()[1].removeprefix("data: ")) == {
            "updated_at": snapshot.head.changed_at / 1_000_000
        }

    def test_the_key_of_our_environment_comes_from_its_document(self) -> None:
        key = publish().environment.api_key
        [event] = first(OWN.replace("client-side-key", key))
        assert event.startswith("event: environment_updated")

    def test_an_unknown_key_gets_silence(self) -> None:
        publish()
        assert first(OWN) == [": ping\r\n\r\n"]


class TestStreamOfPages:
    def test_one_that_saw_another_version_is_notified_at_once(self) -> None:
        head = publish().head
        for block in (
            first(f"{PAGES}?lastEventId=1", 2)[1],
            first(PAGES, 2, **{"Last-Event-ID": "1"})[1],
            first(PAGES, 2)[1],
        ):
            fields = dict(line.split(": ", 1) for line in block.strip().splitlines())
            assert (fields["id"], fields["event"]) == (str(head.sequence), "message")
            assert json.loads(fields["data"]) == {
                "type": "refetchEvaluation",
                "etag": str(head.sequence),
                "lastModified": head.changed_at / 1_000_000,
            }
