"""What an identity may be, and the one that `from_user` names."""

from __future__ import annotations

from collections.abc import Callable
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
    @each_case("traits", [None, "plan", [("plan", "pro")], 7])
    def test_an_identifier_is_a_string_and_traits_are_a_dict(self, identifier: Any, traits: Any) -> None:
        with pytest.raises(TypeError, match=r"Identity\(str\(…\)\)"):
            Identity(identifier)
        with pytest.raises(TypeError, match="Traits are a dict"):
            Identity("42", traits)

    def test_it_is_made_anew_from_its_own_fields(self) -> None:
        identity = Identity("42", {"plan": "pro", "address": {"city": "Bern"}})
        assert asdict(identity) == {"identifier": "42", "traits": {"plan": "pro", "address": {"city": "Bern"}}}
        assert Identity(**asdict(identity)) == identity


each_client = each_case("client", [Client, AsyncClient])


class TestFromUser:
    """With Django's own middleware and a real session."""

    @pytest.fixture
    def get(self, settings: Any, db: None, django_user_model: Any) -> Callable[..., HttpResponse]:
        """Send a GET to a view by a kind of client, for somebody who is logged in, or for a visitor."""
        settings.MIDDLEWARE = [
            "django_flagsmith_realtime.middleware.FlagsmithMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
        settings.FLAGSMITH = {
            "ENVIRONMENT_KEY": "ser.tests",
            "IDENTITY": "django_flagsmith_realtime.identity.from_user",
        }
        alice = django_user_model.objects.create_user("alice", id=7)

        def get(kind: type[Client | AsyncClient], view: Callable[..., Any], *, logged_in: bool = True) -> Any:
            settings.ROOT_URLCONF = (path("", view),)
            client = kind()
            if logged_in:
                client.force_login(alice)
            return client.get("/") if kind is Client else async_to_sync(client.get)("/")

        return get

    @each_client
    def test_a_page_that_reads_no_flag_does_not_touch_the_session(self, get: Any, client: Any) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            assert request.flags is not None
            assert bool(request.flags)
            return HttpResponse(str(request.session.accessed))

        async def aview(request: HttpRequest) -> HttpResponse:
            return HttpResponse(str(request.session.accessed))

        publish()
        for each in (view, aview):
            answer = get(client, each)
            assert answer.content == b"False"
            assert not answer.has_header("Vary")

    @each_client
    def test_a_page_that_reads_one_is_for_the_user_by_primary_key_and_varies_with_the_cookie(
        self, get: Any, client: Any
    ) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            page = render(request, "banner.html")
            page["X-Identity"] = repr(request.flags.identity)
            return page

        async def aview(request: HttpRequest) -> HttpResponse:
            await request.aflags()
            return view(request)

        async def blocking(request: HttpRequest) -> HttpResponse:
            return view(request)

        publish()
        for each in (view, aview, blocking):
            answers = get(client, each), get(client, each, logged_in=False)
            assert [answer["X-Identity"] for answer in answers] == [repr(Identity("7")), "None"]
            assert [answer["Vary"] for answer in answers] == ["Cookie", "Cookie"]

    @each_client
    def test_all_reads_of_a_request_cost_the_queries_of_one(self, get: Any, client: Any) -> None:
        queries: list[int] = []

        def view(request: HttpRequest) -> HttpResponse:
            with CaptureQueriesContext(connection) as captured:
                for name in request.flags:
                    request.flags.is_feature_enabled(name)
            queries.append(len(captured))
            return HttpResponse()

        publish()
        get(client, view)
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
