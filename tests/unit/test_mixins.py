"""`FlagEnabledMixin` on class-based views of all kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.views import View
from django.views.generic import RedirectView, TemplateView

from django_flagsmith_realtime.mixins import FlagEnabledMixin
from tests.support.cases import each_case
from tests.support.documents import publish

Get = Callable[[str], HttpResponse]


def other(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return HttpResponse(f"other {args} {kwargs}")


async def aother(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return HttpResponse(f"other {args} {kwargs}")


class Sync(FlagEnabledMixin, View):
    flag_name: Any = "new_checkout"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(f"new {args} {kwargs}")


class Async(FlagEnabledMixin, View):
    flag_name: Any = "new_checkout"

    async def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(f"new {args} {kwargs}")


def get_under_wsgi(url: str) -> HttpResponse:
    return Client().get(url)


def get_under_asgi(url: str) -> HttpResponse:
    return asyncio.run(AsyncClient().get(url))


# Each kind of view, with a GET that comes to it without Django adapting one.
each_kind = each_case(("base", "get"), [(Sync, get_under_wsgi), (Async, get_under_asgi)])


def serve(settings: Any, view: Any) -> None:
    settings.ROOT_URLCONF = (path("<int:number>/", view), path("old-checkout/", other, name="old-checkout"))


@each_case("base", [Sync, Async])
@each_case("get", [get_under_wsgi, get_under_asgi])
def test_the_view_runs_while_the_flag_is_on_and_does_not_exist_while_it_is_off(
    settings: Any, base: Any, get: Get
) -> None:
    serve(settings, base.as_view())
    publish(new_checkout=True)
    assert get("/1/").content == b"new () {'number': 1}"
    publish(new_checkout=False)
    assert get("/1/").status_code == 404


@each_case("base", [Sync, Async])
def test_another_method_than_the_views_is_not_allowed_as_ever(settings: Any, base: Any) -> None:
    serve(settings, base.as_view())
    publish(new_checkout=True)
    assert Client().post("/1/").status_code == 405


class TestFallback:
    @pytest.fixture(autouse=True)
    def off(self) -> None:
        publish(new_checkout=False)

    @each_kind
    def test_a_string_is_redirected_to(self, settings: Any, base: Any, get: Get) -> None:
        serve(settings, type("Closed", (base,), {"flag_fallback": "old-checkout"}).as_view())
        answer = get("/1/")
        assert (answer.status_code, answer["Location"]) == (302, "/old-checkout/")

    @each_case(
        "fallback",
        [
            other,
            staticmethod(other),
            Sync.as_view(flag_enabled=False),
            lambda request, number: other(request, number=number),
        ],
    )
    @each_kind
    def test_a_view_gets_the_views_arguments(self, settings: Any, base: Any, get: Get, fallback: Any) -> None:
        serve(settings, type("Closed", (base,), {"flag_fallback": fallback}).as_view())
        assert get("/1/").content.split(b" ", 1)[1] == b"() {'number': 1}"

    @each_kind
    def test_a_method_is_one(self, settings: Any, base: Any, get: Get) -> None:
        class Closed(base):
            def flag_fallback(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
                return HttpResponse(f"{type(self).__name__} {self.kwargs} {kwargs}")

        serve(settings, Closed.as_view())
        assert get("/1/").content == b"Closed {'number': 1} {'number': 1}"

    @each_case("get", [get_under_wsgi, get_under_asgi])
    def test_of_an_async_view_may_be_async(self, settings: Any, get: Get) -> None:
        class Closed(Async):
            async def flag_fallback(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
                return HttpResponse("awaited")

        serve(settings, Closed.as_view())
        assert get("/1/").content == b"awaited"
        serve(settings, Async.as_view(flag_fallback=aother))
        assert get("/1/").content == b"other () {'number': 1}"

    @each_kind
    def test_options_of_as_view_count(self, settings: Any, base: Any, get: Get) -> None:
        serve(settings, base.as_view(flag_fallback=other))
        assert get("/1/").content.startswith(b"other")
        serve(settings, base.as_view(flag_enabled=False))
        assert get("/1/").content.startswith(b"new")
        serve(settings, base.as_view(flag_name="dark_mode"))
        assert get("/1/").content.startswith(b"new")


@each_case(
    ("kind", "states", "enabled", "status"),
    [
        (list, (True, True), True, 200),
        (tuple, (True, False), True, 404),
        (list, (True, False), False, 404),
        (tuple, (False, False), False, 200),
    ],
)
@each_kind
def test_several_flags_have_to_be_all_on_or_all_off(
    settings: Any, base: Any, get: Get, kind: Any, states: tuple[bool, bool], enabled: bool, status: int
) -> None:
    publish(new_checkout=states[0], gift_cards=states[1])
    serve(settings, base.as_view(flag_name=kind(("new_checkout", "gift_cards")), flag_enabled=enabled))
    assert get("/1/").status_code == status


def test_generic_views_keep_what_they_do(settings: Any) -> None:
    class Page(FlagEnabledMixin, TemplateView):
        flag_name = "new_checkout"
        template_name = "part.html"

    class Away(FlagEnabledMixin, RedirectView):
        flag_name = "new_checkout"
        url = "/away/"

    publish(new_checkout=True)
    serve(settings, Page.as_view())
    assert get_under_wsgi("/1/").content.strip() == b"new"
    serve(settings, Away.as_view())
    assert get_under_wsgi("/1/")["Location"] == "/away/"


@each_case(
    ("attributes", "message"),
    [
        ({"flag_name": ()}, "Unfinished.flag_name.*Name the flags"),
        ({"flag_name": ""}, "not \\("),
        ({"flag_name": None}, "not \\("),
        ({"flag_name": ["a", 5]}, "not \\("),
        ({"flag_enabled": "no"}, "True or False, not 'no'"),
        ({"flag_fallback": 404}, "not 404"),
        ({"flag_fallback": aother}, "async, and the view is not"),
    ],
)
def test_wrong_attributes_are_found_when_urls_are_read(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        type("Unfinished", (Sync,), attributes).as_view()
    with pytest.raises(ImproperlyConfigured, match=message.replace("Unfinished", "Sync")):
        Sync.as_view(**attributes)
