"""The script of `{% flags_live %}`, by Django's tag and by Jinja2's function."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import django
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import RequestFactory

from tests.support.cases import each_case
from tests.support.documents import publish
from tests.unit.test_jinja2 import environment

ATTRIBUTE = re.compile(r' ([a-z-]+)="([^"]*)"')


def attributes(script: Any) -> dict[str, str]:
    assert re.fullmatch(r"<script [^>]+></script>", script)
    return dict(ATTRIBUTE.findall(script))


def by_tag(**variables: Any) -> dict[str, str]:
    return attributes(Template("{% load flagsmith %}{% flags_live %}").render(Context(variables)))


def by_function(**variables: Any) -> dict[str, str]:
    return attributes(environment().from_string("{{ flags_live() }}").render(variables))


def by_async_function(**variables: Any) -> dict[str, str]:
    template = environment(enable_async=True).from_string("{{ flags_live() }}")
    return attributes(asyncio.run(template.render_async(variables)))


each_way = each_case("flags_live", [by_tag, by_function, by_async_function])


@each_way
def test_it_names_the_stream_and_the_version_of_the_page(flags_live: Callable[..., Any], settings: Any) -> None:
    settings.STATIC_URL = "/assets/"
    snapshot = publish()
    assert flags_live() == {
        "type": "module",
        "src": "/assets/django_flagsmith_realtime/live.js",
        "data-stream": "/flagsmith/ofrep/v1/stream",
        "data-sequence": str(snapshot.sequence),
    }


@each_way
def test_without_flags_the_page_has_no_version(flags_live: Callable[..., Any]) -> None:
    assert flags_live()["data-sequence"] == ""


@each_way
def test_a_hub_takes_the_streams_place(flags_live: Callable[..., Any], settings: Any) -> None:
    hub = {"PUBLISH_URL": "http://127.0.0.1:8002/publish", "SUBSCRIBE_URL": "https://hub.example/?channel=a&b"}
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "HUB": hub}
    assert flags_live()["data-stream"] == "https://hub.example/?channel=a&amp;b"


@each_way
def test_it_carries_the_nonce_of_django_csp(flags_live: Callable[..., Any]) -> None:
    request: Any = RequestFactory().get("/")
    request.csp_nonce = "abc"
    assert flags_live(request=request)["nonce"] == "abc"


@each_way
def test_it_carries_the_nonce_of_django_6(flags_live: Callable[..., Any], settings: Any) -> None:
    request = RequestFactory().get("/")
    if django.VERSION < (6, 0):
        assert "nonce" not in flags_live(request=request)
        return
    from django.middleware.csp import ContentSecurityPolicyMiddleware
    from django.utils.csp import CSP

    settings.SECURE_CSP = {"script-src": [CSP.NONCE]}
    nonces = []

    def page(request: HttpRequest) -> HttpResponse:
        nonces.append(flags_live(request=request)["nonce"])
        return HttpResponse()

    response = ContentSecurityPolicyMiddleware(page)(request)
    assert response["Content-Security-Policy"] == f"script-src 'nonce-{nonces[0]}'"


def test_the_script_is_small() -> None:
    path = finders.find("django_flagsmith_realtime/live.js")
    with open(path, "rb") as file:
        assert len(file.read()) < 2_000
