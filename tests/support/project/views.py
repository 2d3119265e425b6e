"""Sample views, sync and async."""

from __future__ import annotations

import os

from django.http import HttpRequest, HttpResponse

from django_flagsmith_realtime import Flags, aget_flags, get_flags


def read_fifty(*views_of_flags: Flags) -> HttpResponse:
    names = [name for flags in views_of_flags for name in flags]
    assert len(names) >= 50
    return HttpResponse(sum(flags.is_feature_enabled(name) for flags in views_of_flags for name in flags))


def many(request: HttpRequest) -> HttpResponse:
    return read_fifty(request.flags, get_flags(), get_flags(request))


async def amany(request: HttpRequest) -> HttpResponse:
    return read_fifty(await request.aflags(), await aget_flags(), request.flags, get_flags())


def none(request: HttpRequest) -> HttpResponse:
    return HttpResponse("none")


async def anone(request: HttpRequest) -> HttpResponse:
    return HttpResponse("none")


def banner(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{os.getpid()} {get_flags().get_feature_value('banner_text')}")


async def abanner(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{os.getpid()} {(await request.aflags()).get_feature_value('banner_text')}")


def old_checkout(request: HttpRequest) -> HttpResponse:
    return HttpResponse("old")
