"""OFREP: which form a flag has, what a client is told of changes, and what is wrong with a request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.test import override_flags
from tests.support.cases import each_case
from tests.support.documents import publish
from tests.unit.live.pages import GOLD, OFREP, PER_SESSION, SETTING, apost, evaluations, post

pytestmark = pytest.mark.usefixtures("all_visible")


@pytest.fixture
def all_visible(settings: Any) -> None:
    settings.FLAGSMITH = PER_SESSION


def one(name: str, **headers: str) -> Any:
    """Return a flag's evaluation, which both endpoints answer alike."""
    single = post(f"{OFREP}/{name}", **headers).json()
    assert single == evaluations(post(OFREP, **headers))[name]
    return single


def test_they_are_where_the_protocol_says() -> None:
    assert reverse("flagsmith-ofrep-flags") == OFREP
    assert reverse("flagsmith-ofrep-flag", args=["my flag/2"]) == f"{OFREP}/my%20flag/2"


# The form of a flag


def test_a_flag_without_a_value_is_a_boolean() -> None:
    publish(dark_mode=True, new_checkout=False)
    assert one("dark_mode") == {
        "key": "dark_mode",
        "value": True,
        "reason": "STATIC",
        "variant": "",
        "metadata": {"enabled": True},
    }
    assert one("new_checkout")["value"] is False
    assert one("new_checkout", **{"X-Session": "ann"})["reason"] == "DEFAULT", "no segment's override is hers"


def test_a_flag_with_a_value_has_it_in_its_own_type() -> None:
    publish()
    found = evaluations(post(OFREP))
    for name, value in {
        "banner_text": "Welcome to Northwind",
        "max_cart_items": 25,
        "negative_number": -7,
        "bool_value": True,
        "unicode_text": "Grüße, 世界 🚀",
    }.items():
        assert found[name]["value"] == value
        assert type(found[name]["value"]) is type(value)


def test_one_that_is_off_leaves_the_value_to_the_pages_code() -> None:
    publish()
    assert one("api_base_url") == {
        "key": "api_base_url",
        "reason": "DISABLED",
        "variant": "",
        "metadata": {"enabled": False},
    }
    assert "value" not in one("max_cart_items", **{"X-Session": "user_bob"}), "Flagsmith has 3 for him, switched off"


def test_a_segment_for_which_flagsmith_stores_an_empty_text_changes_no_type() -> None:
    publish()
    gold = one("new_checkout", **GOLD)
    assert (gold["value"], gold["reason"]) == (True, "TARGETING_MATCH")


def test_reasons_are_those_of_openfeature_and_name_no_segment() -> None:
    publish()
    gold = post(OFREP, **GOLD)
    reasons = {flag["reason"] for flag in evaluations(gold).values()}
    assert reasons <= {"STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED"}
    assert evaluations(gold)["banner_text"]["value"] == "Welcome back, gold member"
    assert "gold_members" not in gold.content.decode()


def test_a_variant_is_named_where_flagsmith_names_it() -> None:
    publish()
    assert one("checkout_button")["variant"] == "", "nobody's flag is in no split"
    found = {
        (flag["variant"], flag["reason"])
        for number in range(5)
        for flag in [post(f"{OFREP}/checkout_button", **{"X-Session": f"user{number}"}).json()]
    }
    assert found == {("control", "STATIC"), ("", "SPLIT")}, "the recorded variants have no key"


def test_defaults_stand_in_for_what_flagsmith_does_not_know(settings: Any) -> None:
    settings.FLAGSMITH = {**SETTING, "BROWSER_FLAGS": ["planned", "limit"], "DEFAULTS": {"planned": True, "limit": 3}}
    for when in ("before", "after"):
        assert (one("planned")["value"], one("planned")["reason"]) == (True, "DEFAULT"), when
        assert one("limit")["value"] == 3
        publish()


def test_a_test_sets_what_its_page_gets() -> None:
    with override_flags(new_checkout=True, banner_text="Hi"):
        assert {name: flag["value"] for name, flag in evaluations(post(OFREP)).items()} == {
            "new_checkout": True,
            "banner_text": "Hi",
        }


# Changes


def test_a_client_that_has_the_flags_gets_304() -> None:
    publish()
    response = post(OFREP)
    etag = response["ETag"]
    for sent in (etag, f"W/{etag}", f'"other", {etag}'):
        again = post(OFREP, **{"If-None-Match": sent})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
        assert "no-store" in again["Cache-Control"]
    publish(banner_text="Sale")
    changed = post(OFREP, **{"If-None-Match": etag})
    assert changed["ETag"] != etag
    assert evaluations(changed)["banner_text"]["value"] == "Sale"


def test_the_etag_is_that_of_the_identity_and_the_same_in_every_process(settings: Any) -> None:
    publish()
    tags = {post(OFREP, **{"X-Session": name})["ETag"] for name in ("user_alice", "user_bob", "user_carol")}
    assert len(tags) == 3
    names = ["banner_text", "dark_mode", "max_cart_items", "beta_banner"]
    tags = set()
    for order in (names, names[::-1], set(names)):
        settings.FLAGSMITH = {**SETTING, "BROWSER_FLAGS": order}
        tags.add(post(OFREP)["ETag"])
    assert len(tags) == 1


def test_a_request_after_a_notification_sees_the_change_that_it_is_about(settings: Any) -> None:
    settings.FLAGSMITH = {**SETTING, "FRESHNESS": 60}
    settings.MIDDLEWARE = ["tests.unit.live.test_ofrep.reads_a_flag"]
    publish(banner_text="old")
    assert evaluations(post(OFREP))["banner_text"]["value"] == "old"
    publish(banner_text="new")
    assert evaluations(post(OFREP))["banner_text"]["value"] == "new"


def reads_a_flag(get_response: Any) -> Any:
    """A middleware that pins an older snapshot for the request."""

    def middleware(request: Any) -> Any:
        assert get_flags(request).get_feature_value("banner_text")
        return get_response(request)

    return middleware


def test_under_asgi_it_names_the_stream_and_under_wsgi_none(settings: Any) -> None:
    publish()
    [stream] = apost(OFREP).json()["eventStreams"]
    assert stream == {
        "type": "sse",
        "endpoint": {"requestUri": "/flagsmith/ofrep/v1/stream"},
        "inactivityDelaySec": 120,
    }
    assert "eventStreams" not in post(OFREP).json(), "its provider polls then, if the page says so"
    for subscribe, where in {
        "/hub/subscribe": {"endpoint": {"requestUri": "/hub/subscribe"}},
        "https://hub.example/subscribe": {"url": "https://hub.example/subscribe"},
    }.items():
        settings.FLAGSMITH = {**SETTING, "HUB": {"PUBLISH_URL": "http://hub/publish", "SUBSCRIBE_URL": subscribe}}
        for respond in (post, apost):
            assert respond(OFREP).json()["eventStreams"] == [{"type": "sse", **where, "inactivityDelaySec": 120}]


def test_without_flags_a_new_client_gets_defaults_and_another_keeps_what_it_has() -> None:
    assert apost(OFREP).json()["flags"] == []
    assert apost(OFREP).json()["eventStreams"], "it is notified once there are flags"
    response = post(OFREP, **{"If-None-Match": '"of an earlier answer"'})
    assert (response.status_code, response.json()["errorCode"]) == (503, "PROVIDER_NOT_READY")
    assert response["Retry-After"] == "2"


# Requests that are wrong


@each_case("body", [b"", b"{", b"nonsense", b"\xff", b'{"context": {"age": NaN}}', b"[" * 60_000, b"1" * 60_000])
def test_a_body_that_is_not_json_is_a_parse_error(body: bytes) -> None:
    for url, named in ((OFREP, {}), (f"{OFREP}/dark_mode", {"key": "dark_mode"})):
        response = post(url, body)
        assert response.status_code == 400
        assert response.json() == {**named, "errorCode": "PARSE_ERROR", "errorDetails": "The body is not JSON."}


def test_a_context_is_an_object_that_may_be_empty_or_left_out() -> None:
    publish()
    for body in ([], "text", 3, {"context": None}, {"context": []}, {"context": "user"}):
        response = post(OFREP, json.dumps(body).encode())
        assert (response.status_code, response.json()["errorCode"]) == (400, "INVALID_CONTEXT"), body
    for body in ({}, {"context": {}}, {"context": {"targetingKey": 3, "more": [1, {"deep": None}]}}):
        assert evaluations(post(OFREP, body))


@override_settings(FLAGSMITH={**SETTING, "BROWSER_FLAGS": ["banner_text"]})
def test_what_is_not_listed_does_not_exist() -> None:
    publish()
    unlisted, unknown, server_only = (
        post(f"{OFREP}/{name}") for name in ("dark_mode", "no_such_flag", "server_only_secret")
    )
    assert unlisted.status_code == unknown.status_code == server_only.status_code == 404
    assert unlisted.json() == {**unknown.json(), "key": "dark_mode"}
    assert server_only.json() == {**unknown.json(), "key": "server_only_secret"}
    assert unknown.json()["errorCode"] == "FLAG_NOT_FOUND"
    assert unlisted.headers.keys() == unknown.headers.keys() == server_only.headers.keys()
    assert Client().post(f"{OFREP}/", b"{}", content_type="application/json").status_code == 404
