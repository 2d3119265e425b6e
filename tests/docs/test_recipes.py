"""The recipes of docs/, run as they are written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from tests.docs.pages import blocks
from tests.support.documents import publish
from tests.support.paths import DOCS


def with_anonymous_user(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> HttpResponse:
        request.user = AnonymousUser()
        return get_response(request)

    return middleware


@pytest.fixture
def visitors(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    code, wanted = (block.code for block in blocks(DOCS / "howto/anonymous.md", "python"))
    module = ModuleType("flags")
    sys.modules["flags"] = module
    exec(code, module.__dict__)
    monkeypatch.setattr(module, "uuid4", count().__next__)  # the same visitors in each run
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
        assert client.get("/page/").content == variant
        variants.add(variant)
    assert len(variants) == 3
    client.cookies["visitor"] = "forged"
    assert client.get("/page/").status_code == 200
