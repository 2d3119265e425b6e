"""Whose flags leave the server, and which: for another user's session, another page, a cache in front, and any body."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware
from django.test import Client, RequestFactory, override_settings
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from django_flagsmith_realtime import Flags, Identity, get_flags
from django_flagsmith_realtime.live.endpoint import is_trusted_origin
from tests.support.backends import HangingCache
from tests.support.cases import each_case
from tests.support.documents import publish
from tests.support.observers import Recorder, watch
from tests.support.strategies import documents, identities, texts
from tests.unit.environment.test_evaluation import publish_raw
from tests.unit.live.pages import (
    ANALYTICS,
    FLAGS,
    IDENTITIES,
    OFREP,
    PER_SESSION,
    SETTING,
    apost,
    evaluations,
    post,
)

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_flagsmith_realtime.middleware.FlagsmithMiddleware",
]
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"
POSTS = (OFREP, f"{OFREP}/banner_text", IDENTITIES, ANALYTICS)
CACHED = [
    "django.middleware.cache.UpdateCacheMiddleware",
    *MIDDLEWARE,
    "django.middleware.cache.FetchFromCacheMiddleware",
]


def by_name(request: HttpRequest) -> Identity | None:
    """The `IDENTITY` of a site whose users Flagsmith knows by their names."""
    return Identity(request.user.get_username(), {"plan": "free"}) if request.user.is_authenticated else None


@pytest.fixture
def site(settings: Any, db: None) -> None:
    settings.MIDDLEWARE = MIDDLEWARE
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"  # to log in costs a third
    settings.FLAGSMITH = {**SETTING, "IDENTITY": f"{__name__}.by_name"}
    publish()


def banners(client: Client) -> set[Any]:
    """Return the value of one flag by each endpoint that a page has."""
    item = client.get(f"{FLAGS}?feature=banner_text").json()
    listed = {each["feature"]["name"]: each for each in client.get(IDENTITIES).json()["flags"]}
    return {
        evaluations(post(OFREP, client=client))["banner_text"]["value"],
        post(f"{OFREP}/banner_text", client=client).json()["value"],
        item["feature_state_value"],
        listed["banner_text"]["feature_state_value"],
    }


# The session


def test_each_session_sees_the_flags_of_its_own_user_whatever_djangos_page_cache_is_given(
    site: None, settings: Any
) -> None:
    settings.MIDDLEWARE = CACHED
    alice, bob = Client(), Client()
    alice.force_login(get_user_model().objects.create_user("user_alice"))
    bob.force_login(get_user_model().objects.create_user("user_bob"))
    assert banners(alice) == {"Hello Alice"}
    assert banners(bob) == {"Welcome to Northwind"}
    alice.logout()
    assert banners(alice) == {"Welcome to Northwind"}
    alice.force_login(get_user_model().objects.get(username="user_alice"))
    assert banners(alice) == {"Hello Alice"}
    publish(banner_text="Sale")
    assert banners(bob) == {"Sale"}


def test_a_page_can_not_name_another_user(site: None) -> None:
    bob = Client()
    bob.force_login(get_user_model().objects.create_user("user_bob"))
    asked = {"identifier": "user_alice", "traits": [{"trait_key": "plan", "trait_value": "gold"}]}
    context = {"targetingKey": "user_alice", "identifier": "user_alice", "plan": "gold"}
    for client in (bob, Client()):
        answers = [
            post(OFREP, {"context": context}, client=client),
            post(f"{OFREP}/banner_text", {"context": context}, client=client),
            post(IDENTITIES, asked, client=client),
            client.get(IDENTITIES, {"identifier": "user_alice"}),
            client.get(FLAGS, {"identifier": "user_alice"}),
        ]
        for answer in answers:
            assert answer.status_code == 200
            assert "Hello Alice" not in answer.content.decode()
            assert "gold member" not in answer.content.decode()


def test_what_the_server_knows_of_its_user_stays_there(site: None) -> None:
    alice = Client()
    alice.force_login(get_user_model().objects.create_user("user_alice"))
    for answer in (*(post(url, {}, client=alice) for url in POSTS), alice.get(FLAGS), alice.get(IDENTITIES)):
        assert answer.status_code == 200
        assert not {"user_alice", "free", "segment"} & set(answer.content.decode().replace('"', " ").split())


def test_a_site_that_is_for_its_members_lets_visitors_ask(site: None, settings: Any) -> None:
    settings.MIDDLEWARE = [*MIDDLEWARE, LOGIN_REQUIRED]
    assert [respond(url, {}).status_code for respond in (post, apost) for url in POSTS] == [200] * 8


def test_atomic_requests_are_no_hindrance(site: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
    assert [respond(url, {}).status_code for respond in (post, apost) for url in POSTS] == [200] * 8
    for stream in ("/flagsmith/ofrep/v1/stream", "/flagsmith/sse/environments/key/stream"):
        assert Client().get(stream).status_code == 501


# What is visible


@each_case("browser_flags", [(), ["no_such_flag"], ["server_only_secret"]])
def test_nothing_is_visible_that_is_not_named(browser_flags: Any) -> None:
    publish()
    with override_settings(FLAGSMITH={**SETTING, "BROWSER_FLAGS": browser_flags}):
        assert evaluations(post(OFREP)) == {}
        assert Client().get(FLAGS).json() == post(IDENTITIES, {}).json()["flags"] == []
        for name in ("banner_text", "server_only_secret"):
            assert post(f"{OFREP}/{name}").status_code == 404
            assert Client().get(FLAGS, {"feature": name}).json() == {"detail": "Given feature not found"}


@each_case("browser_flags", ["all", ["banner_text", "server_only_secret"]])
def test_a_flag_for_servers_only_stays_there(browser_flags: Any) -> None:
    publish(server_only_secret="moved")
    with override_settings(
        FLAGSMITH={**SETTING, "BROWSER_FLAGS": browser_flags, "DEFAULTS": {"server_only_secret": 1}}
    ):
        assert "banner_text" in evaluations(post(OFREP))
        for answer in (post(OFREP), Client().get(FLAGS), post(IDENTITIES, {})):
            assert "server_only_secret" not in answer.content.decode()
        assert post(f"{OFREP}/server_only_secret").status_code == 404


def test_naming_one_is_reported_once(caplog: pytest.LogCaptureFixture, settings: Any) -> None:
    settings.FLAGSMITH = {**SETTING, "BROWSER_FLAGS": ["banner_text", "server_only_secret"]}
    settings.DEBUG = True
    publish()
    for _ in range(3):
        assert post(OFREP).status_code == 200
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "['BROWSER_FLAGS'] names 'server_only_secret', which no browser gets" in record.getMessage()
    assert "s3cr3t" not in caplog.text


def test_defaults_are_visible_by_name_only(settings: Any) -> None:
    """A default has no mark that it is for servers only."""
    settings.FLAGSMITH = {**SETTING, "DEFAULTS": {"internal": "for servers only, once it is in Flagsmith"}}
    assert evaluations(post(OFREP)) == {}
    publish()
    assert "internal" not in evaluations(post(OFREP))


def test_what_a_page_asks_for_is_no_read(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """A page gets all flags and may use none: its own client counts those that it uses."""
    recorder = Recorder()
    watch(monkeypatch, recorder)
    settings.FLAGSMITH = SETTING
    publish()
    for answer in (post(OFREP), post(f"{OFREP}/banner_text"), Client().get(FLAGS), post(IDENTITIES, {})):
        assert "banner_text" in answer.content.decode()
    assert recorder.reads == []


@given(documents(), identities)
@examples(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_both_protocols_agree_with_the_server(document: Any, identity: tuple[str, dict[str, Any]]) -> None:
    publish_raw(document)
    session.identity = Identity(*identity)
    marked = {
        state["feature"]["name"]
        for state in document["feature_states"]
        if state["feature"]["id"] in document["project"]["server_key_only_feature_ids"]
    }
    with override_settings(FLAGSMITH={**SETTING, "IDENTITY": f"{__name__}.session"}):
        flags = get_flags(identity=session.identity)
        visible = {flag.feature_name: flag for flag in flags.all_flags() if flag.feature_name not in marked}
        served = evaluations(post(OFREP))
        listed = {each["feature"]["name"]: each for each in post(IDENTITIES, {}).json()["flags"]}
    assert served.keys() == listed.keys() == visible.keys()
    for name, flag in visible.items():
        assert listed[name] == {
            "feature": {"id": flag.feature_id, "name": name, "type": listed[name]["feature"]["type"]},
            "enabled": flag.enabled,
            "feature_state_value": flag.value,
            "variant": flag.variant,
        }
        assert served[name]["metadata"] == {"enabled": flag.enabled}
        assert served[name]["variant"] == (flag.variant or "")
        assert json.dumps(served[name].get("value")) == json.dumps(value_in_the_protocol(flags, flag))


class Session:
    """An `IDENTITY` that a test sets."""

    identity: Identity | None = None

    def __call__(self, request: HttpRequest) -> Identity | None:
        return self.identity


session = Session()


def value_in_the_protocol(flags: Flags, flag: Any) -> Any:
    has_value = any(each.value not in (None, "") for each in (flag, flags.of(None).get_flag(flag.feature_name)))
    return flag.enabled if not has_value else flag.value if flag.enabled else None


# Other pages


def test_a_page_of_another_origin_gets_nothing(settings: Any) -> None:
    settings.FLAGSMITH = SETTING
    publish()
    others = ("https://evil.example", "null", "http://testserver.evil.example", "https://testserver", "x", "")
    answers = [post(OFREP, {}, Origin=origin) for origin in others]
    answers += [respond(url, {}, Origin=others[0]) for respond in (post, apost) for url in POSTS]
    for answer in answers:
        assert answer.status_code == 403
        assert "CSRF_TRUSTED_ORIGINS" in answer.content.decode()
        assert "Access-Control-Allow-Origin" not in answer
    for url in (FLAGS, IDENTITIES):
        assert Client().get(url, headers={"Origin": others[0]}).status_code == 403


def test_a_page_of_the_site_and_a_trusted_one_get_their_flags(settings: Any) -> None:
    settings.FLAGSMITH = SETTING
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example", "https://*.shop.example"]
    publish()
    for origin in ("http://testserver", "https://app.example", "https://a.b.shop.example", "https://shop.example"):
        assert [post(url, {}, Origin=origin).status_code for url in POSTS] == [200] * 4, origin


@given(
    st.sampled_from(("http", "https", "ftp", "")),
    st.sampled_from(
        ("app.example", "shop.example", "a.shop.example", "evilshop.example", "testserver", "testserver:80", "")
    ),
    st.sampled_from(("", ":443", ":8000", "@evil", "://")),
)
def test_origins_are_trusted_as_by_djangos_csrf_protection(scheme: str, host: str, rest: str) -> None:
    request = RequestFactory().get("/", headers={"Origin": f"{scheme}://{host}{rest}"})
    trusted = ["https://app.example", "https://*.shop.example", "http://*.shop.example:8000"]
    with override_settings(CSRF_TRUSTED_ORIGINS=trusted):
        django = CsrfViewMiddleware(lambda request: None)._origin_verified(request)  # type: ignore[arg-type, attr-defined, return-value]
        assert is_trusted_origin(request) == django


def test_behind_a_proxy_the_origin_is_the_one_that_the_browser_sees(settings: Any) -> None:
    settings.FLAGSMITH = SETTING
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.USE_X_FORWARDED_HOST = True
    publish()
    proxied = {"Origin": "https://testserver", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "testserver"}
    assert post(OFREP, **proxied).status_code == 200


# Caches


def test_no_cache_may_keep_an_answer() -> None:
    publish()
    with override_settings(FLAGSMITH=PER_SESSION):
        etag = post(OFREP)["ETag"]
        answers = [post(OFREP), post(OFREP, **{"If-None-Match": etag}), post(OFREP, b"{"), post(f"{OFREP}/unknown")]
        answers += [Client().get(FLAGS), Client().head(FLAGS), Client().get(IDENTITIES), post(IDENTITIES, {})]
        answers.append(apost(OFREP))
    for answer in answers:
        directives = {each.strip() for each in answer["Cache-Control"].split(",")}
        assert {"private", "no-store", "no-cache", "max-age=0"} <= directives
        assert "Cookie" in answer["Vary"]


def test_while_the_cache_is_away_a_page_gets_what_the_process_holds(hanging: type[HangingCache], settings: Any) -> None:
    settings.FLAGSMITH = SETTING
    publish()
    asks = (lambda: post(OFREP), lambda: apost(OFREP), lambda: Client().get(FLAGS), lambda: post(IDENTITIES, {}))
    before = [ask().content for ask in asks]
    hanging.timeout = 0
    hanging.open.clear()
    assert [ask().content for ask in asks] == before


# Requests


@each_case(
    ("url", "allowed"),
    [
        (OFREP, {"POST"}),
        (f"{OFREP}/banner_text", {"POST"}),
        (FLAGS, {"GET", "HEAD"}),
        (IDENTITIES, {"GET", "HEAD", "POST"}),
        (ANALYTICS, {"POST"}),
    ],
)
def test_other_methods_are_refused(url: str, allowed: set[str]) -> None:
    publish()
    with override_settings(FLAGSMITH=SETTING):
        for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "PROPFIND"):
            answer = Client().generic(method, url, b"{}", content_type="application/json")
            assert (answer.status_code == 405) == (method not in allowed), method
            if method not in allowed:
                assert set(answer["Allow"].split(", ")) == allowed


@each_case("url", POSTS)
def test_a_large_body_is_refused(url: str) -> None:
    publish()
    with override_settings(FLAGSMITH=SETTING):
        for respond in (post, apost):
            assert respond(url, {"context": {"text": "x" * 66_000}}).status_code == 413
            assert respond(url, {"context": {"text": "x" * 65_000}}).status_code == 200


NAMES = ("context", "targetingKey", "identifier", "traits", "trait_key", "trait_value", "transient")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | texts(), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()), st.sampled_from(POSTS))
def test_no_body_is_an_error_of_the_server(body: bytes, url: str) -> None:
    publish()
    with override_settings(FLAGSMITH=SETTING):
        client = Client(raise_request_exception=True)
        answer = post(url, body, client=client)
    assert answer.status_code in (200, 400)
    if answer.content:
        json.loads(answer.content, parse_constant=lambda text: pytest.fail(f"a browser can't parse {text}"))


@given(texts(max_size=20))
def test_no_name_is_an_error_of_the_server(name: str) -> None:
    publish()
    with override_settings(FLAGSMITH=SETTING):
        assert Client().get(FLAGS, {"feature": name}).status_code == 404
        assert Client().get(IDENTITIES, {"identifier": name}).json()["identifier"] == name
