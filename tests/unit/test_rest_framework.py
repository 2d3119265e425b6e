"""Views of Django REST framework, with the decorator and the mixin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import include, path
from django.utils.decorators import method_decorator
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.decorators import flag_enabled
from django_flagsmith_realtime.mixins import FlagEnabledMixin
from tests.support.cases import each_case
from tests.support.documents import publish


@pytest.fixture(scope="module", autouse=True)
def project() -> Iterator[None]:
    flagsmith = {
        "FRESHNESS": 0,
        "ENVIRONMENT_KEY": "ser.tests",
        "IDENTITY": "django_flagsmith_realtime.identity.from_user",
        "STRICT": True,
    }
    with override_settings(
        INSTALLED_APPS=[*settings.INSTALLED_APPS, "rest_framework"],
        MIDDLEWARE=["django_flagsmith_realtime.middleware.FlagsmithMiddleware"],
        FLAGSMITH=flagsmith,
    ):
        yield


def banner(request: Request) -> Response:
    assert get_flags().identity == request.flags.identity == get_flags(request).identity
    return Response({"banner": get_flags(request).get_feature_value("banner_text")})


def old(request: Request, *args: Any, **kwargs: Any) -> Response:
    return Response({"old": str(request.user), **kwargs})


@api_view(["GET"])
def old_view(request: Request, *args: Any, **kwargs: Any) -> Response:
    return Response({"old view": str(request.user), **kwargs})


class Plain(APIView):
    def get(self, request: Request) -> Response:
        return banner(request)


class Mixed(FlagEnabledMixin, APIView):
    flag_name = "new_checkout"

    def get(self, request: Request) -> Response:
        return banner(request)


class Decorated(APIView):
    @method_decorator(flag_enabled("new_checkout"))
    def get(self, request: Request) -> Response:
        return banner(request)


@api_view(["GET"])
@flag_enabled("new_checkout")
def function(request: Request) -> Response:
    return banner(request)


@flag_enabled("new_checkout")
@api_view(["GET"])
def outer(request: Request) -> Response:
    return banner(request)


class MixedSet(FlagEnabledMixin, ViewSet):
    flag_name = "new_checkout"

    def list(self, request: Request) -> Response:
        return banner(request)


class DecoratedSet(ViewSet):
    @method_decorator(flag_enabled("new_checkout"))
    def list(self, request: Request) -> Response:
        return banner(request)

    @action(detail=False)
    @method_decorator(flag_enabled("new_checkout"))
    def recent(self, request: Request) -> Response:
        return banner(request)


def serve(settings: Any, view: Any) -> None:
    settings.ROOT_URLCONF = (path("", view),)


VIEWS = {
    "mixin": Mixed.as_view(),
    "method": Decorated.as_view(),
    "function": function,
    "mixin of a set": MixedSet.as_view({"get": "list"}),
    "method of a set": DecoratedSet.as_view({"get": "list"}),
    "action of a set": DecoratedSet.as_view({"get": "recent"}),
}


@each_case("view", VIEWS.values())
def test_a_view_answers_in_the_frameworks_way_while_the_flag_is_on_and_while_it_is_off(
    settings: Any, view: Any
) -> None:
    serve(settings, view)
    publish(new_checkout=True)
    assert Client().get("/").json() == {"banner": "Welcome to Northwind"}
    publish(new_checkout=False)
    answer = Client().get("/")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == {"detail": "Not found."}, "it names no flag"


@each_case("view", [Plain.as_view(), *VIEWS.values()])
def test_flags_are_for_the_user_whom_the_framework_authenticated(settings: Any, view: Any) -> None:
    serve(settings, view)
    publish(new_checkout=True)
    assert Client().get("/", headers={"X-User": "user_alice"}).json() == {"banner": "Hello Alice"}


def test_a_decorator_outside_of_the_frameworks_asks_before_it_authenticates(settings: Any) -> None:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "FRESHNESS": 0, "IDENTITY": lambda request: None}
    serve(settings, outer)
    publish(new_checkout=True)
    assert Client().get("/").json() == {"banner": "Welcome to Northwind"}
    publish(new_checkout=False)
    assert Client().get("/").status_code == 404


class TestFallback:
    @pytest.fixture(autouse=True)
    def off(self) -> None:
        publish(new_checkout=False)

    @each_case(("fallback", "key"), [(old, "old"), (old_view, "old view")])
    def test_a_view_of_the_framework_or_a_function(self, settings: Any, fallback: Any, key: str) -> None:
        decorated = api_view(["GET"])(flag_enabled("new_checkout", fallback=fallback)(banner))
        for view in (Mixed.as_view(flag_fallback=fallback), decorated):
            serve(settings, view)
            assert Client().get("/", headers={"X-User": "ann"}).json() == {key: "ann"}

    def test_a_view_of_djangos(self, settings: Any) -> None:
        def plain(request: HttpRequest) -> HttpResponse:
            return HttpResponse("plain")

        serve(settings, Mixed.as_view(flag_fallback=plain))
        assert Client().get("/").content == b"plain"

    def test_a_redirect_and_a_method(self, settings: Any) -> None:
        class Closed(Mixed):
            def flag_fallback(self, request: Request) -> Response:
                return Response({"user": str(request.user), "view": type(self).__name__})

        serve(settings, Mixed.as_view(flag_fallback="/old/"))
        assert Client().get("/")["Location"] == "/old/"
        serve(settings, Closed.as_view())
        assert Client().get("/").json() == {"user": str(AnonymousUser()), "view": "Closed"}

    def test_permissions_are_asked_before_a_fallback_and_after_a_404(self, settings: Any) -> None:
        class Closed(Mixed):
            permission_classes = [IsAuthenticated]  # noqa: RUF012

        serve(settings, Closed.as_view())
        assert Client().get("/").status_code == 404
        serve(settings, Closed.as_view(flag_fallback=old))
        assert Client().get("/").status_code == 403
        assert Client().get("/", headers={"X-User": "ann"}).json() == {"old": "ann"}


def test_a_decorated_function_keeps_its_permissions(settings: Any) -> None:
    @api_view(["GET"])
    @permission_classes([IsAuthenticated])
    @flag_enabled("new_checkout")
    def view(request: Request) -> Response:
        return banner(request)

    serve(settings, view)
    publish(new_checkout=True)
    assert Client().get("/").status_code == 403


def test_a_router_finds_the_sets(settings: Any) -> None:
    router = SimpleRouter()
    router.register("mixed", MixedSet, "mixed")
    router.register("decorated", DecoratedSet, "decorated")
    settings.ROOT_URLCONF = (path("api/", include(router.urls)),)
    publish(new_checkout=True)
    for url in ("/api/mixed/", "/api/decorated/", "/api/decorated/recent/"):
        assert Client().get(url).status_code == 200


def test_without_the_middleware_a_wrapped_request_shares_its_scope(settings: Any) -> None:
    class Both(APIView):
        def get(self, request: Request) -> Response:
            return Response(get_flags(request) is get_flags(request._request))

    settings.MIDDLEWARE = []
    serve(settings, Both.as_view())
    assert Client().get("/").json() is True
