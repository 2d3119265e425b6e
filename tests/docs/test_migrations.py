"""Small projects that read flags with django-waffle and with Flagsmith's SDK, migrated as the pages say."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from standin.server import StandIn

from django_flagsmith_realtime.listener.sources import FileSource
from tests.docs.newcomer import Newcomer
from tests.docs.pages import blocks
from tests.support import recordings
from tests.support.documents import RECORDED
from tests.support.paths import DOCS
from tests.support.processes import RedisServer

pytestmark = pytest.mark.slow

URLS = """
from django.urls import path

from shop import views

urlpatterns = [path(f"{name}/", getattr(views, name)) for name in ("home", "beta") if hasattr(views, name)]
"""
FLAGS_AND_VISITORS = """
from django.contrib.auth.models import Group, User
from waffle.models import Flag, Sample, Switch

groups = {name: Group.objects.create(name=name) for name in ("beta", "beta-testers")}
for name, group in (("member", "beta"), ("tester", "beta-testers"), ("root", None)):
    user = User.objects.create(username=name, is_superuser=not group)
    user.groups.set([groups[group]] if group else [])
for name in ("new_checkout", "Dark_Mode"):
    Flag.objects.create(name=name, everyone=True)
Flag.objects.create(name="beta_banner").groups.add(groups["beta"])
Flag.objects.create(name="search_v2", authenticated=True)
Switch.objects.create(name="gift_cards", active=True)
Sample.objects.create(name="promo_codes", percent=20)
"""
ASK = """
import logging

from django.contrib.auth.models import User
from django.test import Client

logging.disable()
for name in (None, "member", "tester", "root"):
    client = Client(SERVER_NAME="localhost")
    if name:
        client.force_login(User.objects.get(username=name))
    print(name, client.get("/home/").content.decode(), client.get("/beta/").status_code, sep="; ")
"""
Begin = Callable[[dict[str, Any]], Newcomer]


@pytest.fixture
def begin(tmp_path: Path, redis_server: RedisServer) -> Iterator[Begin]:
    """Start a project in the environment of the tests, beside a stand-in that serves a document."""
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / ".venv").symlink_to(sys.prefix)
    begun: list[Newcomer] = []
    with ExitStack() as ends:

        def begin(document: dict[str, Any]) -> Newcomer:
            (tmp_path / "document.json").write_text(json.dumps(document))
            standin = ends.enter_context(
                StandIn(state_path=tmp_path / "state.json", document_path=tmp_path / "document.json")
            )
            replaced = {
                "redis://127.0.0.1:6379": redis_server.url(),
                '"ENVIRONMENT_KEY": "ser.…"': f'"ENVIRONMENT_KEY": {standin.server_key!r}, '
                f'"API_URL": {standin.api_url!r}, "REALTIME_URL": {standin.realtime_url!r}',
            }
            newcomer = Newcomer(directory, None, replaced, standin)
            newcomer.environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
            newcomer.call("python -m django startproject shop .", check=True)
            (directory / "shop/urls.py").write_text(URLS)
            begun.append(newcomer)
            return newcomer

        yield begin
        for newcomer in begun:
            newcomer.end()


def piped(newcomer: Newcomer, code: str) -> str:
    """Return what Django's shell prints."""
    (newcomer.directory / "piped.py").write_text(code)
    return newcomer.call("python manage.py shell -v 0 < piped.py", check=True)


def segment(number: int, name: str, operator: str, value: str | None, property_: str, flag: str) -> dict[str, Any]:
    """Return a segment of one condition, which switches a flag on."""
    feature = next(each["feature"] for each in RECORDED["feature_states"] if each["feature"]["name"] == flag)
    condition = {"operator": operator, "value": value, "property_": property_}
    override = {
        "feature": feature,
        "enabled": True,
        "django_id": 1_000 + number,
        "feature_segment": {"priority": number},
        "featurestate_uuid": f"00000000-0000-4000-8000-{number:012}",
        "feature_state_value": "",
        "multivariate_feature_state_values": [],
    }
    rules = [{"type": "ALL", "rules": [{"type": "ANY", "rules": [], "conditions": [condition]}], "conditions": []}]
    return {"id": 100 + number, "name": name, "rules": rules, "feature_states": [override]}


def environment_of_waffle() -> dict[str, Any]:
    """Return the features and segments that the page has its reader create."""
    document = recordings.document()
    switched = {"new_checkout": True, "gift_cards": True, "dark_mode": True, "beta_banner": False, "search_v2": False}
    for state in document["feature_states"]:
        state["enabled"] = switched.get(state["feature"]["name"], state["enabled"])
    document["identity_overrides"] = []
    document["project"]["segments"] = [
        segment(0, "beta", "EQUAL", "true", "group_beta", "beta_banner"),
        segment(1, "superusers", "EQUAL", "true", "superuser", "beta_banner"),
        segment(2, "authenticated", "IS_SET", "", "staff", "search_v2"),
    ]
    return document


def test_a_project_with_waffle_shows_each_visitor_the_same_afterwards(begin: Begin) -> None:
    newcomer = begin(environment_of_waffle())
    page = blocks(DOCS / "howto/from-waffle.md")
    [before] = [block for block in page if "from waffle import flag_is_active" in block.code]
    (newcomer.directory / "shop/views.py").write_text(before.code)
    newcomer.add(
        "shop/settings.py", 'INSTALLED_APPS += ["waffle"]\nMIDDLEWARE += ["waffle.middleware.WaffleMiddleware"]\n'
    )
    newcomer.call("python manage.py migrate", check=True)
    piped(newcomer, FLAGS_AND_VISITORS)
    shown = piped(newcomer, ASK)
    assert shown.splitlines() == [
        "None; checkout, cards, dark; 404",
        "member; banner, checkout, search, cards, dark; 200",
        "tester; checkout, search, cards, dark; 404",
        "root; banner, checkout, search, cards, dark; 200",
    ]
    for block in page:
        if block is not before:
            newcomer.follow(block)
    assert piped(newcomer, ASK) == shown
    exported = FileSource(newcomer.directory / "flags.json").fetch().environment.flags
    assert {name for name, flag in exported.items() if flag.enabled} == {"new_checkout", "Dark_Mode", "gift_cards"}
    newcomer.call("python manage.py migrate waffle zero", check=True)


ASK_AS_IDENTITIES = """
from django.test import Client

for visitor in ("user_alice", "user_bob", "42", "43"):
    for plan in ("free", "gold"):
        page = Client(SERVER_NAME="localhost").get("/home/", {"visitor": visitor, "plan": plan})
        print(visitor, plan, page.content.decode(), sep="; ")
"""


def test_a_project_with_the_sdk_shows_each_identity_the_same_afterwards(begin: Begin) -> None:
    newcomer = begin(recordings.document())
    page = blocks(DOCS / "howto/from-flagsmith-sdk.md")
    [before] = [block for block in page if "Flagsmith(environment_key=" in block.code]
    own = f'"ser.…", api_url={newcomer.standin.api_url!r}'.replace("ser.…", newcomer.standin.server_key)
    (newcomer.directory / "shop/views.py").write_text(before.code.replace('"ser.…"', own))
    shown = piped(newcomer, ASK_AS_IDENTITIES)
    assert len(set(shown.splitlines())) == 8
    assert "gold member" in shown
    assert newcomer.standin.counts.environment_document > 0, "by the process itself"
    for block in page:
        if block is not before:
            newcomer.follow(block)
    asked = newcomer.standin.counts.environment_document
    assert piped(newcomer, ASK_AS_IDENTITIES) == shown
    assert newcomer.standin.counts.environment_document == asked, "by the listener alone"
