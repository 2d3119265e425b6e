"""What an identity may be, and the one that `from_user` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import path

from django_flagsmith_realtime import Identity, get_flags
from django_flagsmith_realtime.identity import from_user
from tests.support.cases import each_case
from tests.support.documents import publish


class TestIdentity:
    @each_case("identifier", [42, None, b"x", object()])
    def test_an_identifier_is_a_string(self, identifier: Any) -> None:
        with pytest.raises(TypeError, match=r"Identity\(str\(…\)\)"):
            Identity(identifier)

    @each_case("traits", [None, "plan", [("plan", "pro")], 7])
    def test_traits_are_a_dict(self, traits: Any) -> None:
        with pytest.raises(TypeError, match="Traits are a dict"):
            Identity("42", traits)

    def test_it_is_made_anew_from_its_own_fields(self) -> None:
        identity = Identity("42", {"plan": "pro", "address": {"city": "Bern"}})
        assert asdict(identity) == {"identifier": "42", "traits": {"plan": "pro", "address": {"city": "Bern"}}}
        assert Identity(**asdict(identity)) == identity


class TestFromUser:
    """With Django's own middleware and a real session."""

    @pytest.fixture(params=["wsgi", "asgi"])
    def get(self, request: pytest.FixtureRequest, settings: Any, db: None) -> Iterator[Callable[..., HttpResponse]]:
        settings.MIDDLEWARE = [
            "django_flagsmith_realtime.middleware.FlagsmithMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
        settings.FLAGSMITH = {
            "ENVIRONMENT_KEY": "ser.tests",
            "IDENTITY": "django_flagsmith_realtime.identity.from_user",
        }

        def get(view: Callable[..., Any], user: Any = None) -> HttpResponse:
            settings.ROOT_URLCONF = (path("", view),)
            if request.param == "wsgi":
                client = Client()
                if user:
                    client.force_login(user)
                return client.get("/")
            aclient = AsyncClient()
            if user:
                aclient.force_login(user)
            return async_to_sync(aclient.get)("/")

        yield get

    @pytest.fixture
    def user(self, db: None, django_user_model: Any) -> Any:
        return django_user_model.objects.create_user("alice", id=7)

    def test_the_user_who_is_logged_in_is_named_by_primary_key(self, get: Any, user: Any) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            request.flags.is_feature_enabled("banner_text")
            return HttpResponse(repr(request.flags.identity))

        async def aview(request: HttpRequest) -> HttpResponse:
            return HttpResponse(repr((await request.aflags()).identity))

        async def sync_read(request: HttpRequest) -> HttpResponse:
            request.flags.is_feature_enabled("banner_text")
            return HttpResponse(repr(request.flags.identity))

        publish()
        for each in (view, aview, sync_read):
            assert get(each, user).content.decode() == repr(Identity("7"))
            assert get(each).content == b"None"

    def test_a_page_that_reads_no_flag_does_not_touch_the_session(self, get: Any, user: Any) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            assert request.flags is not None
            assert bool(request.flags)
            return HttpResponse(str(request.session.accessed))

        async def aview(request: HttpRequest) -> HttpResponse:
            return HttpResponse(str(request.session.accessed))

        publish()
        for each in (view, aview):
            answer = get(each, user)
            assert answer.content == b"False"
            assert not answer.has_header("Vary")

    def test_a_page_that_reads_one_varies_with_the_cookie(self, get: Any, user: Any) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            return render(request, "banner.html")

        async def aview(request: HttpRequest) -> HttpResponse:
            await request.aflags()
            return render(request, "banner.html")

        async def blocking(request: HttpRequest) -> HttpResponse:
            return render(request, "banner.html")

        publish()
        for each in (view, aview, blocking):
            assert get(each, user)["Vary"] == "Cookie"
            assert get(each)["Vary"] == "Cookie"

    def test_all_reads_of_a_request_cost_the_queries_of_one(self, get: Any, user: Any) -> None:
        queries: list[int] = []

        def view(request: HttpRequest) -> HttpResponse:
            with CaptureQueriesContext(connection) as captured:
                for name in request.flags:
                    request.flags.is_feature_enabled(name)
            queries.append(len(captured))
            return HttpResponse()

        publish()
        get(view, user)
        assert queries == [2], "the session, and the user"

    def test_without_the_middleware_of_auth_the_log_says_what_is_missing(
        self, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish()
        settings.FLAGSMITH = {
            "ENVIRONMENT_KEY": "ser.tests",
            "IDENTITY": "django_flagsmith_realtime.identity.from_user",
        }
        flags = get_flags(RequestFactory().get("/"))
        assert flags.get_feature_value("banner_text") == "Welcome to Northwind"
        assert "has no attribute 'user'" in caplog.text

    def test_it_may_be_called_by_a_callable_of_ones_own(self) -> None:
        request = RequestFactory().get("/")
        request.user = AnonymousUser()
        assert from_user(request) is None
