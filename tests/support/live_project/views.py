"""Log in as anybody, and see a flag's value."""

from __future__ import annotations

from typing import Any

from django.contrib import auth
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse

from django_flagsmith_realtime import Identity, aget_flags


def identify(request: HttpRequest) -> Identity | None:
    """Return the identity whose identifier is the user's name."""
    return Identity(request.user.get_username()) if request.user.is_authenticated else None


def read_user(get_response: Any) -> Any:
    """Be a middleware that asks the database for the user of each request."""

    def middleware(request: HttpRequest) -> Any:
        request.user.get_username()
        return get_response(request)

    return middleware


@login_not_required
def login(request: HttpRequest, name: str) -> HttpResponse:
    auth.login(request, User.objects.get_or_create(username=name)[0])
    return HttpResponse(name)


@login_not_required
def logout(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    return HttpResponse()


@login_not_required
async def flag(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(str((await aget_flags(request)).get_feature_value(name)))
