"""The document cannot be had, or is not what it should be, when an update is due; it arrives without another event."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from tests.faults.conftest import Healing
from tests.faults.flagsmith import (
    DOCUMENT_PATH,
    FIRST,
    FIRST_TIME,
    MICROSECONDS,
    Deployment,
    Hurry,
    ScriptedFlagsmith,
    deployed,
    document,
    wait_for_recovery,
    warnings,
)
from tests.support.http_server import Answer, Drip, Raw, Redirect, Refuse, Reply, Reset, Silence, Truncated, head
from tests.support.processes import wait_until

HOUR = 3600 * MICROSECONDS
BODY = b'{"api_key": "' + b"x" * 5_000 + b'"}'
TWICE = 2  # failures before the API works again


def wrong(**parts: Any) -> Answer:
    """Answer with a document some of whose parts are others."""
    return Answer(body={**document("Wrong", FIRST_TIME + HOUR), **parts})


def of_another_environment() -> Answer:
    return wrong(api_key="another-client-side-key", name="Another")


@pytest.fixture
def flagsmith() -> Iterator[ScriptedFlagsmith]:
    with ScriptedFlagsmith() as flagsmith:
        yield flagsmith


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def heal(flagsmith: ScriptedFlagsmith, deployment: Deployment, healing: Healing, *replies: Reply) -> None:
    """Announce an update whose requests are answered so first; it arrives with the request after those."""
    before = flagsmith.document_requests
    flagsmith.script_document(*replies)
    flagsmith.update("Sale")
    flagsmith.api.wait_for(lambda: flagsmith.document_requests >= before + len(replies), 10)
    with healing():
        deployment.wait_for("Sale")
    healing.requests = flagsmith.document_requests - before
    assert healing.requests == len(replies) + 1
    assert deployment.seen == [FIRST, "Sale"]


# It cannot be had


@pytest.mark.parametrize(
    "reply",
    [
        *(pytest.param(Refuse(status), id=str(status)) for status in (400, 401, 403, 404, 429, 500, 502, 503)),
        pytest.param(Answer(204), id="204 No Content"),
        pytest.param(Answer(304), id="304 Not Modified"),
        pytest.param(Reset(), id="a reset"),
        pytest.param(Raw([head(200, {"Content-Length": "5000"}), BODY[:99]], end="reset"), id="a reset in the body"),
        pytest.param(Truncated(BODY, "length"), id="fewer bytes than announced"),
        pytest.param(Truncated(BODY, "chunk"), id="half a chunk"),
        pytest.param(Truncated(BODY, "last chunk"), id="no last chunk"),
        pytest.param(Answer(200, {"Content-Type": "text/html"}, b"<!doctype html><title>Sign in"), id="HTML"),
        pytest.param(Answer(200, {"Content-Encoding": "gzip"}, BODY), id="gzip that is none"),
        pytest.param(Answer(body=b""), id="nothing"),
        pytest.param(Answer(body=None), id="null"),
        pytest.param(Answer(body={}), id="an empty object"),
        pytest.param(Answer(body=[]), id="an empty list"),
        pytest.param(Answer(body=b"[" * 100_000), id="deep JSON"),
        pytest.param(wrong(feature_states="none"), id="features of a wrong type"),
        pytest.param(wrong(project=None), id="a project of a wrong type"),
        pytest.param(wrong(updated_at=[12]), id="a date of a wrong type"),
        pytest.param(wrong(updated_at="2026-02-31T00:00:00Z"), id="a date that does not exist"),
        pytest.param(of_another_environment(), id="the document of another environment"),
        pytest.param(Redirect("https://elsewhere.example/"), id="a redirect to another origin"),
    ],
)
def test_update_is_answered_twice_with(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, reply: Reply
) -> None:
    with deployed(flagsmith) as deployment:
        heal(flagsmith, deployment, healing, *[reply] * TWICE)
        wait_for_recovery(caplog, "Flagsmith fetch")


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Silence(), id="silence"),
        pytest.param(Drip({}, 30, what="headers"), id="dripping headers"),
        pytest.param(Drip(document("Slow", FIRST_TIME + HOUR), 30), id="a dripping body"),
    ],
)
def test_update_is_answered_with(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, reply: Reply
) -> None:
    with deployed(flagsmith, REQUEST_TIMEOUT=0.5) as deployment:
        heal(flagsmith, deployment, healing, *[reply] * TWICE)
        wait_for_recovery(caplog, "Flagsmith fetch")
    (warning,) = warnings(caplog)
    assert "FLAGSMITH['REQUEST_TIMEOUT']" in warning


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "a date"])
def test_update_is_answered_with_a_retry_after_in(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, status: int, form: str
) -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=3), usegmt=True)
    with deployed(flagsmith) as deployment:
        heal(flagsmith, deployment, healing, Refuse(status, retry_after=2 if form == "seconds" else date))
        wait_for_recovery(caplog, "Flagsmith fetch")
    *_, refused, answered = flagsmith.api.requests_to(DOCUMENT_PATH)
    assert answered.at - refused.at >= (1.9 if form == "seconds" else 1)  # a date knows no fractions


@pytest.mark.parametrize("fault", ["refused", "reset at once"])
def test_api_connections_are(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    with deployed(flagsmith) as deployment:
        before = flagsmith.document_requests
        with flagsmith.api.refusing() if fault == "refused" else flagsmith.api.turning_away():
            flagsmith.update("Sale")
            wait_until(lambda: warnings(caplog))
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - before
        wait_for_recovery(caplog, "Flagsmith fetch")
    assert healing.requests == 1


def test_updates_during_an_outage_are_fetched_together(flagsmith: ScriptedFlagsmith, healing: Healing) -> None:
    with deployed(flagsmith) as deployment:
        flagsmith.script_document(*[Refuse(503)] * 4)
        for banner in ("One", "Two", "Three"):
            flagsmith.update(banner)
        flagsmith.api.wait_for(lambda: flagsmith.document_requests == 5, 10)
        with healing():
            deployment.wait_for("Three")
        healing.requests = flagsmith.document_requests - 5
    assert healing.requests == 1
    assert deployment.seen == [FIRST, "Three"]


def test_poll_fails_three_times(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture
) -> None:
    with deployed(flagsmith, POLL_INTERVAL=1) as deployment:
        flagsmith.change("Sale")  # a scheduled change, say, that no event announces
        flagsmith.script_document(*[Refuse(500)] * 3)
        flagsmith.api.wait_for(lambda: flagsmith.document_requests == 4, 10)
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 4
    assert healing.requests == 1
    assert warnings(caplog)[0].startswith("Flagsmith fetch: 127.0.0.1")


# It is old


@pytest.mark.parametrize(
    ("age", "most"),
    [pytest.param(3600, 13, id="by an hour"), pytest.param(0.5, 5, id="by half a second")],
)
def test_document_is_behind_the_event_for_a_minute(
    flagsmith: ScriptedFlagsmith, healing: Healing, monkeypatch: pytest.MonkeyPatch, age: float, most: int
) -> None:
    hurry = Hurry(monkeypatch, speed=40)
    with deployed(flagsmith) as deployment:
        flagsmith.break_document(Answer(body=flagsmith.document))
        flagsmith.update("Sale", after=age)
        is_over = hurry.after(60)
        wait_until(is_over)
        flagsmith.script_document()
        with hurry.takes(healing):
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - 1
    assert healing.requests <= most
    assert deployment.seen == [FIRST, "Sale"]


def test_document_is_older_than_the_published_one_for_half_a_minute(
    flagsmith: ScriptedFlagsmith, healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry = Hurry(monkeypatch, speed=40)
    first = Answer(body=flagsmith.document)
    with deployed(flagsmith) as deployment:
        flagsmith.update("Sale", after=60)
        deployment.wait_for("Sale")
        flagsmith.break_document(first)
        flagsmith.update("Summer", after=60)
        wait_until(hurry.after(30))
        flagsmith.script_document()
        with hurry.takes(healing):
            deployment.wait_for("Summer")
        healing.requests = flagsmith.document_requests - 2
    assert healing.requests <= 10
    assert deployment.seen == [FIRST, "Sale", "Summer"], "the flags did not step back"


def test_document_comes_now_new_and_now_old(
    flagsmith: ScriptedFlagsmith, healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry = Hurry(monkeypatch, speed=40)
    first = Answer(body=flagsmith.document)
    with deployed(flagsmith, POLL_INTERVAL=5) as deployment:
        flagsmith.update("Sale", after=60)
        deployment.wait_for("Sale")
        flagsmith.script_document(*[first, flagsmith.current, first, first, flagsmith.current, first])
        before = flagsmith.document_requests
        with hurry.takes(healing):
            flagsmith.api.wait_for(lambda: flagsmith.document_requests >= before + 8, 10)
        healing.requests = 8
    assert deployment.seen == [FIRST, "Sale"], "the flags did not step back"


def test_document_has_no_features_for_a_while(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture
) -> None:
    with deployed(flagsmith) as deployment:
        heal(flagsmith, deployment, healing, *[wrong(feature_states=[])] * 3)


@pytest.mark.parametrize("found", ["at the next event", "by a poll"])
def test_database_is_restored_to_yesterday_which_is_found(
    flagsmith: ScriptedFlagsmith, healing: Healing, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    hurry = Hurry(monkeypatch, speed=40)
    yesterday = FIRST_TIME - 24 * HOUR
    with deployed(flagsmith, POLL_INTERVAL=10 if found == "by a poll" else 3600) as deployment:
        before = flagsmith.document_requests
        with hurry.takes(healing):
            flagsmith.break_document(Answer(body=document("Yesterday", yesterday)))
            if found == "at the next event":
                flagsmith.live.send(b'data: {"updated_at": 1795372805}\n\n')
            deployment.wait_for("Yesterday")
        healing.requests = flagsmith.document_requests - before
        assert healing.seconds is not None
        assert healing.seconds > 60, "what is old for a minute is not believed"
    assert healing.requests <= 15
    assert deployment.seen == [FIRST, "Yesterday"]


def test_listener_is_replaced_while_the_document_is_behind_the_event(
    flagsmith: ScriptedFlagsmith, healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry = Hurry(monkeypatch, speed=40)
    flagsmith.replays = False
    with deployed(flagsmith) as deployment:
        flagsmith.break_document(Answer(body=flagsmith.document))
        flagsmith.update("Sale", after=60)
        flagsmith.api.wait_for(lambda: flagsmith.document_requests >= 3)
    with deployed(flagsmith) as deployment:
        before = flagsmith.document_requests
        wait_until(hurry.after(20))
        flagsmith.script_document()
        with hurry.takes(healing):
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - before
    assert healing.requests <= 8
    assert deployment.seen == [FIRST, "Sale"]


# Nobody tells


def test_real_time_is_switched_off_in_the_project(healing: Healing, caplog: pytest.LogCaptureFixture) -> None:
    with (
        ScriptedFlagsmith(has_realtime=False) as flagsmith,
        deployed(flagsmith, FALLBACK_POLL_INTERVAL=1) as deployment,
    ):
        before = flagsmith.document_requests
        flagsmith.change("Sale")
        with healing():
            deployment.wait_for("Sale")
        healing.requests = flagsmith.document_requests - before
        flagsmith.api.wait_for(lambda: flagsmith.document_requests >= before + 3)
    (warning,) = warnings(caplog)
    assert "Project Settings" in warning


def test_stream_is_open_and_never_tells_of_a_change(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry = Hurry(monkeypatch, speed=40)
    flagsmith.replays = False
    with deployed(flagsmith, POLL_INTERVAL=60, FALLBACK_POLL_INTERVAL=5) as deployment:
        flagsmith.api.wait_for(lambda: flagsmith.document_requests == 2)
        for banner in ("One", "Two", "Three"):
            before, is_late = flagsmith.document_requests, hurry.after(30)
            flagsmith.change(banner)
            with hurry.takes(healing):
                deployment.wait_for(banner)
            healing.requests = flagsmith.document_requests - before
            assert banner == "One" or not is_late(), "polled more often from the first on"
    (warning,) = warnings(caplog)
    assert "A change came without an event" in warning


def test_change_while_no_listener_runs_is_no_sign_of_a_stream_that_tells_nothing(
    flagsmith: ScriptedFlagsmith, healing: Healing, caplog: pytest.LogCaptureFixture
) -> None:
    flagsmith.replays = False
    with deployed(flagsmith):
        pass
    flagsmith.change("Sale")
    with healing(), deployed(flagsmith) as deployment:
        deployment.wait_for("Sale")
    healing.requests = flagsmith.document_requests - 1
    assert healing.requests == 1
    assert warnings(caplog) == []


# It is told to stop


@pytest.mark.parametrize(
    "while_", ["connecting", "reading", "backing off", "chasing", "fetching", "waiting to fetch again"]
)
def test_listener_is_stopped_while(flagsmith: ScriptedFlagsmith, healing: Healing, while_: str) -> None:
    if while_ == "connecting":
        flagsmith.break_stream(Silence())
    elif while_ == "backing off":
        flagsmith.break_stream(Refuse(503, retry_after=3_000))
    with deployed(flagsmith, connected=while_ not in ("connecting", "backing off")) as deployment:
        flagsmith.realtime.wait_for(lambda: flagsmith.stream_requests == 1)
        if while_ == "chasing":
            flagsmith.break_document(Answer(body=flagsmith.document))
        elif while_ == "fetching":
            flagsmith.break_document(Silence())
        elif while_ == "waiting to fetch again":
            flagsmith.break_document(Refuse(503, retry_after=3_000))
        if while_ in ("chasing", "fetching", "waiting to fetch again"):
            flagsmith.update("Sale", after=60)
            flagsmith.api.wait_for(lambda: flagsmith.document_requests == 2)
        with healing():
            deployment.stop()
