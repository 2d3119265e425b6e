"""Pages that say three times which flags they see and for whom: in the view, in its template, in a streamed body."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from django.http import HttpRequest, StreamingHttpResponse
from django.shortcuts import render

from django_flagsmith_realtime import Flags, Identity, aget_flags, get_flags
from django_flagsmith_realtime.decorators import flag_enabled

NAMES = ("support_email", "theme_colour", "api_base_url", "max_cart_items", "request_timeout_ms")
PAUSE = 0.005  # seconds, in which others run and updates come


def visitor(request: HttpRequest) -> Identity:
    return Identity(request.headers["X-Visitor"])


def line(flags: Flags) -> str:
    identity, snapshot = flags.identity, flags.snapshot
    assert identity and snapshot
    values = [str(flags.get_feature_value(name)) for name in NAMES]
    return " ".join([identity.identifier, snapshot.version, *values])


@flag_enabled("support_email")
def page(request: HttpRequest) -> StreamingHttpResponse:
    seen = line(request.flags)
    time.sleep(PAUSE)
    body = render(request, "consistent.html", {"seen": seen}).content

    def steps() -> Iterator[bytes]:
        yield body
        time.sleep(PAUSE)
        yield line(get_flags()).encode()

    return StreamingHttpResponse(steps())


@flag_enabled("support_email")
async def apage(request: HttpRequest) -> StreamingHttpResponse:
    seen = line(await request.aflags())
    await asyncio.sleep(PAUSE)
    body = render(request, "consistent.html", {"seen": seen}).content

    async def steps() -> AsyncIterator[bytes]:
        yield body
        await asyncio.sleep(PAUSE)
        yield line(await aget_flags()).encode()

    return StreamingHttpResponse(steps())
