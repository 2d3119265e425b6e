"""Flagsmith's API for browsers: the shapes of a real one, for the identity of the session."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from django_flagsmith_realtime.reading.usage import usage_counter
from django_flagsmith_realtime.test import override_flags
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.documents import publish
from tests.unit.live.pages import ANALYTICS, FLAGS, IDENTITIES, PER_SESSION, post

ALICE = {"X-Session": "user_alice", "X-Traits": '{"plan": "gold", "age": 31, "country": "DE"}'}  # as recorded
UPDATED_AT = "X-Flagsmith-Document-Updated-At"
# Flagsmith tells more: what a page does not need, or must not know, as a description.
LEFT_OUT = {"environment", "identity", "feature_segment", "created_date", "description", "initial_value"}
LEFT_OUT |= {"default_enabled"}


@pytest.fixture(autouse=True)
def all_visible(settings: Any) -> None:
    settings.FLAGSMITH = PER_SESSION


def get(url: str, **headers: str) -> Any:
    return Client().get(url, headers=headers)


def without(value: Any) -> Any:
    """Return what Flagsmith answered without what is left out here, and without the flags for servers only."""
    if isinstance(value, list):
        return [
            without(each) for each in value if "trait_key" in each or each["feature"]["name"] != "server_only_secret"
        ]
    if not isinstance(value, dict):
        return value
    hidden = LEFT_OUT if "name" in value else {*LEFT_OUT, "id"}  # the feature's id counts, a state's or trait's doesn't
    return {key: without(inner) for key, inner in value.items() if key not in hidden}


def by_name(answer: Any) -> Any:
    """Return an answer with its flags in the order of their names."""
    if isinstance(answer, dict) and "flags" in answer:
        return {**answer, "flags": by_name(answer["flags"])}
    return sorted(answer, key=lambda flag: str(flag["feature"]["name"])) if isinstance(answer, list) else answer


def test_they_are_where_the_client_asks() -> None:
    names = ("flagsmith-api-flags", "flagsmith-api-identities", "flagsmith-api-analytics")
    assert [reverse(name) for name in names] == [FLAGS, IDENTITIES, ANALYTICS]


@each_case(
    ("name", "session"),
    [
        ("flags_get", {}),
        ("flags_get_feature", {}),
        ("flags_get_feature_unknown_404", {}),
        ("identities_get", ALICE),
        ("identities_get_feature", ALICE),
    ],
)
def test_an_answer_is_the_recorded_one(name: str, session: dict[str, str]) -> None:
    publish()
    recorded = recordings.exchange(name)
    answer = get(recorded.target.replace("/api/v1/", "/flagsmith/api/v1/"), **session)
    assert answer.status_code == recorded.status
    expected = without(json.loads(recorded.body))
    if "traits" in expected:
        expected["traits"] = []  # the session's own stay on the server
    assert by_name(answer.json()) == by_name(expected)


@each_case("name", ["identities_post_traits", "identities_post_traits_remove_null"])
def test_traits_come_back_in_the_recorded_form(name: str) -> None:
    publish()
    text = (recordings.FOLDER / "api" / f"{name}.http").read_text()
    sent = next(line for line in text.splitlines() if line.startswith("> {"))[2:]
    answer = post(IDENTITIES, sent.encode()).json()
    recorded = json.loads(recordings.exchange(name).body)
    assert answer["identifier"] == recorded["identifier"]
    sent_names = {trait["trait_key"] for trait in json.loads(sent)["traits"]}
    stored = [trait for trait in recorded["traits"] if trait["trait_key"] in sent_names]
    assert answer["traits"] == [without(trait) for trait in stored], "but for those that Flagsmith had stored before"


def test_a_multivariate_feature_is_of_that_type() -> None:
    publish()
    types = {flag["feature"]["name"]: flag["feature"]["type"] for flag in get(FLAGS).json()}
    assert [name for name, type in types.items() if type == "MULTIVARIATE"] == ["checkout_button"]


def test_the_time_is_that_of_what_is_served() -> None:
    before = publish()
    assert float(get(FLAGS)[UPDATED_AT]) * 1_000_000 == pytest.approx(before.head.changed_at, abs=0.5)
    first = get(IDENTITIES)[UPDATED_AT]
    publish(banner_text="Sale")
    changed = get(FLAGS)
    assert float(changed[UPDATED_AT]) > float(first), "though Flagsmith's own time is the same"
    assert changed[UPDATED_AT] == post(IDENTITIES, {})[UPDATED_AT]


def test_without_flags_a_client_keeps_its_defaults() -> None:
    for answer in (get(FLAGS), get(IDENTITIES), post(IDENTITIES, {})):
        assert (answer.status_code, answer.json()) == (503, {"detail": "There are no flags yet."})
        assert UPDATED_AT not in answer
    with override_flags(banner_text="Hi"):
        assert [flag["feature_state_value"] for flag in get(FLAGS).json()] == ["Hi"]


@pytest.fixture
def counted(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is counted for Flagsmith where `USAGE` is on."""
    settings.FLAGSMITH = {**PER_SESSION, "USAGE": True, "DEFAULTS": {"planned": True}}
    calls: list[tuple[str, int]] = []
    monkeypatch.setattr(usage_counter, "count", lambda *call: calls.append(call))
    return calls


def test_the_reads_of_flags_that_a_page_may_see_are_counted(counted: list[tuple[str, int]]) -> None:
    publish()
    sent = {"banner_text": 3, "dark_mode": 10**9, "unknown": 1, "planned": 1, "server_only_secret": 1}
    answer = post(ANALYTICS, {**sent, "gift_cards": -1, "bool_value": True, "beta_banner": "1"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert counted == [("banner_text", 3), ("dark_mode", 1_000)]


@each_case("body", [b"", b"{not json", b"[]", b'{"banner_text": {}}', b"[" * 60_000])
def test_figures_are_accepted_whatever_they_are(counted: list[tuple[str, int]], body: bytes) -> None:
    publish()
    assert post(ANALYTICS, body).status_code == 200
    assert counted == []


def test_without_the_setting_figures_are_accepted_and_nothing_is_read(recording: list[tuple[str, str]]) -> None:
    publish()
    recording.clear()
    assert post(ANALYTICS, {"banner_text": 3}).status_code == 200
    assert recording == []


@each_case(
    "body",
    [
        b"",
        b"{not json",
        b"[]",
        b'"text"',
        b"[" * 60_000,
        b'{"traits": [{"trait_value": 1, "trait_key": %s}]}' % (b"[" * 950 + b"]" * 950),
        *(
            json.dumps(body).encode()
            for body in (
                {"traits": "nope"},
                {"traits": 5},
                {"traits": ["plan"]},
                {"traits": [{"trait_key": "plan"}]},
                {"traits": [{"trait_value": "gold"}]},
                {"traits": [{"trait_key": "plan", "trait_value": {"value": "gold"}}]},
                {"traits": {"plan": "gold"}},
                {"identifier": ["user_alice"]},
                {"identifier": float("nan")},
            )
        ),
    ],
)
def test_a_wrong_body_is_answered_with_the_right_one(body: bytes) -> None:
    publish()
    answer = post(IDENTITIES, body)
    assert answer.status_code == 400
    assert "trait_key" in answer.json()["detail"]
