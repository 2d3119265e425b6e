"""Log in as anybody, and see a flag's value, or the page that a test wrote."""

from __future__ import annotations

from typing import Any

from django.contrib import auth
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from django_flagsmith_realtime import Identity, aget_flags, get_flags
from tests.support.admin_project.content_security_policy import ContentSecurityPolicyMiddleware


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


@login_not_required
def page(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html")


@login_not_required
def strict_page(request: HttpRequest) -> HttpResponse:
    """Show the page with a content security policy that allows nothing inline."""
    return ContentSecurityPolicyMiddleware(page)(request)


@login_not_required
def banner(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_flags().get_feature_value("banner_text"))


@login_not_required
def no_icon(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)
