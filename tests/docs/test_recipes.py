"""The recipes of docs/, run as they are written."""

from __future__ import annotations

import hmac
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_flagsmith_realtime.tasks import refresh_flags
from tests.docs.pages import blocks
from tests.support.documents import publish
from tests.support.paths import DOCS


def with_anonymous_user(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> HttpResponse:
        request.user = AnonymousUser()
        return get_response(request)

    return middleware


@pytest.fixture
def visitors(settings: Any) -> Iterator[None]:
    code, wanted = (block.code for block in blocks(DOCS / "anonymous.md", "python"))
    module = ModuleType("flags")
    sys.modules["flags"] = module
    exec(code, module.__dict__)
    written: dict[str, Any] = {}
    exec(wanted.replace("{...,", '{"ENVIRONMENT_KEY": "ser.tests",').replace("[...,", "["), written)
    settings.FLAGSMITH = written["FLAGSMITH"]
    settings.MIDDLEWARE = ["tests.docs.test_recipes.with_anonymous_user", *written["MIDDLEWARE"]]
    yield
    del sys.modules["flags"]


def test_an_anonymous_visitor_keeps_a_variant_and_others_get_no_cookie(settings: Any, visitors: None) -> None:
    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.flags.get_feature_value("checkout_button"))

    def plain(request: HttpRequest) -> HttpResponse:
        return HttpResponse("plain")

    settings.ROOT_URLCONF = (path("page/", page), path("plain/", plain))
    publish()
    variants = set()
    for _ in range(20):
        client = Client()
        assert not client.get("/plain/").cookies
        variant = client.get("/page/").content
        assert client.cookies["visitor"]["httponly"]
        assert {client.get("/page/").content for _ in range(3)} == {variant}
        variants.add(variant)
    assert len(variants) == 3
    client.cookies["visitor"] = "forged"
    assert client.get("/page/").status_code == 200


# A webhook


@pytest.fixture
def webhook(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Serve the page's view, and note when it asks for a fetch."""
    [code] = [block.code for block in blocks(DOCS / "self-hosted.md", "python") if "# views.py" in block.code]
    asked: list[str] = []
    monkeypatch.setattr(refresh_flags, "delay", lambda: asked.append("refresh"))
    views: dict[str, Any] = {"__name__": "views"}
    exec(code, views)
    settings.FLAGSMITH_WEBHOOK_SECRET = "secret"
    settings.ROOT_URLCONF = (path("webhook/", views["flagsmith_webhook"]),)
    return asked


def test_a_signed_webhook_asks_for_a_fetch_and_a_forged_one_does_not(webhook: list[str]) -> None:
    body = b'{"data": {}, "event_type": "FLAG_UPDATED"}'
    signature = hmac.new(b"secret", body, "sha256").hexdigest()
    client = Client()
    for sent, status in ((signature, 204), ("0" * 64, 403), ("", 403)):
        answer = client.post("/webhook/", body, "application/json", headers={"X-Flagsmith-Signature": sent})
        assert answer.status_code == status
    assert webhook == ["refresh"]
    assert client.get("/webhook/").status_code == 405
