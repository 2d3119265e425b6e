"""What the server of benchmarks/live.py serves: this package's streams, and one as it is written by hand."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from django.core.cache import caches
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import include, path

from django_flagsmith_realtime.live import events

KEY = "flags"

if os.environ.get("BENCH_SPREAD") == "no":
    events.NOTIFIED_PER_SECOND = 1_000_000


async def polling(request: HttpRequest) -> StreamingHttpResponse:
    """Stream a key of the cache; each connection asks for it once a second."""

    async def changes() -> AsyncIterator[bytes]:
        seen = None
        while True:
            current = await caches["Redis"].aget(KEY)
            if current != seen:
                yield f'data: {{"etag": "{current}"}}\n\n'.encode()
            seen = current
            await asyncio.sleep(1)

    return StreamingHttpResponse(changes(), content_type="text/event-stream")


urlpatterns = [path("polling/", polling), path("", include("django_flagsmith_realtime.live.urls"))]
