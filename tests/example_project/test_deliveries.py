"""What the stand-in posts, compared with what a real Flagsmith posted."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standin import deliveries
from standin.deliveries import QUEUE_CHANGE_TIMEOUT, QueueChange, Webhook
from standin.server import StandIn

from tests.support import recordings
from tests.support.http_server import Answer, Redirect, Refuse, Reply, Request, Reset, ScriptedServer, Silence

SECRET, TOKEN = "the-secret-of-a-webhook", "sse-secret-token"


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(state_path=tmp_path / "flags.json") as standin:
        yield standin


@pytest.fixture
def site() -> Iterator[ScriptedServer]:
    with ScriptedServer() as site:
        yield site


def delivered(standin: StandIn, site: ScriptedServer, delivery: Any, path: str, *replies: Reply) -> list[Request]:
    """Switch a flag, and return what was posted when all tries are over."""
    site.script(path, *replies)
    before = standin.document
    standin.set_flag("new_checkout", enabled=True)
    delivery.deliver(before, standin.document, "new_checkout")
    return list(site.requests)


def header_names(headers: Any) -> set[str]:
    return set(headers) - {"host", "content-length", "accept-encoding", "user-agent"}


class TestWebhook:
    """What is posted to an environment's webhook."""

    def post(self, standin: StandIn, site: ScriptedServer, *replies: Reply) -> list[Request]:
        return delivered(standin, site, Webhook(f"{site.url}/hook", SECRET), "/hook", *replies)

    def test_it_is_signed_and_says_what_a_recorded_one_says(self, standin: StandIn, site: ScriptedServer) -> None:
        [request] = self.post(standin, site, Answer(202))
        recorded = next(post for post in recordings.posts("webhooks") if post.path == "/env-hook")
        assert header_names(request.headers) == header_names(recorded.headers)
        signature = hmac.new(SECRET.encode(), request.body, "sha256").hexdigest()
        assert request.headers["x-flagsmith-signature"] == signature

        posted, like = json.loads(request.body), json.loads(recorded.body)
        assert posted["event_type"] == like["event_type"]
        assert posted["data"].keys() == like["data"].keys()
        for state in ("previous_state", "new_state"):
            assert posted["data"][state].keys() == like["data"][state].keys()
        assert (posted["data"]["previous_state"]["enabled"], posted["data"]["new_state"]["enabled"]) == (False, True)
        assert posted["data"]["timestamp"] == standin.document["updated_at"].replace("+00:00", "Z")

    def test_whatever_the_answer_it_is_posted_once(self, standin: StandIn, site: ScriptedServer) -> None:
        for number, reply in enumerate([Refuse(403), Refuse(500), Reset(), Redirect("/elsewhere", 301)], 1):
            assert [request.path for request in self.post(standin, site, reply)] == ["/hook"] * number


class TestQueueChange:
    """What is posted to the service behind the stream."""

    def post(self, standin: StandIn, site: ScriptedServer, *replies: Reply) -> list[Request]:
        path = f"/flagsmith/sse/environments/{standin.client_key}/queue-change"
        return delivered(standin, site, QueueChange(f"{site.url}/flagsmith", TOKEN), path, *replies)

    def test_it_is_posted_as_recorded(self, standin: StandIn, site: ScriptedServer) -> None:
        [request] = self.post(standin, site, Answer(200))
        [recorded] = recordings.posts("queue_change", "sse_toggle_flag_on_put")
        assert request.target == f"/flagsmith{recorded.path}"
        assert header_names(request.headers) == header_names(recorded.headers)
        assert request.headers["authorization"] == recorded.headers["authorization"]
        assert json.loads(request.body) == {"updated_at": standin.document["updated_at"]}
        assert json.loads(recorded.body).keys() == {"updated_at"}

    def test_one_that_failed_is_posted_three_times_as_recorded(self, standin: StandIn, site: ScriptedServer) -> None:
        recorded = recordings.posts("queue_change", "sse_tp_sse_server_500_retries")
        posted = self.post(standin, site, Refuse(401), Refuse(503), Reset())
        assert len(posted) == len(recorded) == 3
        assert len({request.body for request in posted}) == len({post.body for post in recorded}) == 1
        assert 0.14 <= posted[-1].at - posted[0].at < QUEUE_CHANGE_TIMEOUT

    def test_it_is_not_posted_again_once_it_was_answered(
        self, standin: StandIn, site: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deliveries, "QUEUE_CHANGE_PAUSES", (0.0, 0.0, 0.0))
        assert len(self.post(standin, site, Refuse(503), Answer(200))) == 2

    @pytest.mark.slow
    def test_each_try_waits_two_seconds_for_an_answer(self, standin: StandIn, site: ScriptedServer) -> None:
        began = time.monotonic()
        assert len(self.post(standin, site, Silence())) == 3
        assert 3 * QUEUE_CHANGE_TIMEOUT <= time.monotonic() - began < 3 * QUEUE_CHANGE_TIMEOUT + 1


def test_a_stand_in_posts_each_change_and_nothing_else(standin: StandIn, site: ScriptedServer) -> None:
    site.script("/hook", Answer(202))
    standin.deliveries.append(Webhook(f"{site.url}/hook", SECRET))
    standin.set_flag("new_checkout", enabled=True)
    standin.set_flag("new_checkout", enabled=True)
    standin.set_flag("new_checkout", enabled=False)
    site.wait_for(lambda: len(site.requests) == 2)
    states = {json.loads(request.body)["data"]["new_state"]["enabled"] for request in site.requests}
    assert states == {True, False}


def test_a_site_that_hangs_does_not_delay_the_change(standin: StandIn, site: ScriptedServer) -> None:
    site.script("/hook", Silence())
    standin.deliveries.append(Webhook(f"{site.url}/hook", SECRET))
    began = time.monotonic()
    standin.set_flag("new_checkout", enabled=True)
    assert time.monotonic() - began < 1
