"""Pages that read flags in every way there is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import View

from django_flagsmith_realtime import Identity, aget_flags, flags_scope, get_flags
from django_flagsmith_realtime.decorators import flag_enabled
from django_flagsmith_realtime.mixins import FlagEnabledMixin


def identify(request: HttpRequest) -> Identity | None:
    name = request.GET.get("who")
    return Identity(name, {"plan": request.GET.get("plan", "gold")}) if name else None


def limit() -> Any:
    return get_flags().get_feature_value("max_cart_items", default=10)


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<title>no flags</title><body></body>")


def page(request: HttpRequest) -> HttpResponse:
    request.flags.is_feature_enabled("dark_mode")
    return render(request, "panel/page.html", {"numbers": range(3)})


async def apage(request: HttpRequest) -> HttpResponse:
    (await request.aflags()).is_feature_enabled("dark_mode")
    return render(request, "panel/page.html", {"numbers": range(3)})


def defaults(request: HttpRequest) -> HttpResponse:
    for number, default in enumerate([Decimal("1.5"), {(1, 2): 3}]):
        request.flags.get_feature_value(f"unknown_{number}", default=default)
    return HttpResponse("<body></body>")


def own_flags(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<body>{request.flags}</body>")


class OwnFlags:
    """Middleware of a project whose requests have `flags` already."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        request.flags = "of the project"
        return self.get_response(request)


def jinja(request: HttpRequest) -> HttpResponse:
    return render(request, "panel/page.jinja", using="jinja2")


def calls(request: HttpRequest) -> HttpResponse:
    limit()
    get_flags(request).get_flag("banner_text").value = "the caller's own"
    request.flags["banner_text"]
    get_flags(identity=Identity("user_alice")).is_feature_enabled("dark_mode")
    get_flags(identity=None).is_feature_enabled("dark_mode")
    with flags_scope(identity=Identity("user_alice")):
        get_flags().is_feature_enabled("dark_mode")
    get_flags().get_feature_value("nowhere", default="as the caller says")
    return HttpResponse("<body></body>")


async def acalls(request: HttpRequest) -> HttpResponse:
    await aget_flags()
    await sync_to_async(limit)()
    return HttpResponse("<body></body>")


def without_scope(request: HttpRequest) -> HttpResponse:
    """Read flags where there is no middleware of ours."""
    get_flags(request).is_feature_enabled("dark_mode")
    return HttpResponse(f"<body>{get_flags().identity}</body>")


@flag_enabled("new_checkout", fallback=plain)
def checkout(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<body></body>")


@flag_enabled("new_checkout")
async def acheckout(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<body></body>")


class Checkout(FlagEnabledMixin, View):
    flag_name = "new_checkout"

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("<body></body>")


def crash(request: HttpRequest) -> HttpResponse:
    limit()
    raise ZeroDivisionError
