"""The streams: one for Flagsmith's SDKs, one for OFREP clients and pages."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from django.contrib.auth.decorators import login_not_required
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET

from ..compat import close_caches, end_request_thread
from ..conf import get_read_config
from ..environment.snapshot import Head
from ..reading.scope import release_flags
from .endpoint import without_transaction
from .events import Subscriber, get_fanout, retry_event

RECENT_SECONDS = 60.0  # an OFREP client that connects may have asked for its flags just before a change

MAX_STREAMS = 5_000  # of one process: 24 KiB each; more pages than that belong on more processes, or on a hub
FULL_SECONDS = (30.0, 90.0)  # at random: a client that found a full process comes back then


class EventStreamResponse(StreamingHttpResponse):
    """Server-sent events: nothing on the way may store them, hold them back or compress them."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, content_type="text/event-stream; charset=utf-8")
        self.headers["Cache-Control"] = "no-store"
        self.headers["X-Accel-Buffering"] = "no"  # nginx
        self.headers["Content-Encoding"] = "identity"  # Django's GZipMiddleware leaves what has an encoding

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return the events themselves: Django wraps two generators around them, which each stream would keep."""
        return aiter(self._iterator)  # type: ignore[attr-defined]


def stream_url() -> str:
    """Return where pages connect to: the hub, or `ofrep/v1/stream`."""
    hub = get_read_config().hub
    return hub["SUBSCRIBE_URL"] if hub else reverse("flagsmith-ofrep-stream")


@login_not_required
@without_transaction
@require_GET
async def flagsmith_stream(request: HttpRequest, key: str) -> HttpResponseBase:
    """Send the time of each change of an environment, as Flagsmith's stream service does.

    It begins with the latest known time. A key of which nothing is known gets an answer too: nothing comes in it.
    """
    response = _respond(request, key, lambda head: False)
    response.headers["Access-Control-Allow-Origin"] = "*"  # it holds times only
    return response


@login_not_required
@without_transaction
@require_GET
async def ofrep_stream(request: HttpRequest) -> HttpResponseBase:
    """Notify OFREP clients and pages of each change: then they ask for the flags of their session again.

    Who connects and has last seen another version (`Last-Event-ID`, or `lastEventId` of a new `EventSource`) is
    notified at once; who names none, if a change came within the last minute.
    """
    seen = request.headers.get("Last-Event-ID") or request.GET.get("lastEventId")

    def is_current(head: Head) -> bool:
        if seen is not None:
            return seen == str(head.sequence)
        return abs(time.time() - head.published_at / 1_000_000) >= RECENT_SECONDS

    return _respond(request, None, is_current)


def _respond(request: HttpRequest, key: str | None, is_current: Callable[[Head], bool]) -> HttpResponseBase:
    if not isinstance(request, ASGIRequest):
        text = "Streams need ASGI: serve these URLs with uvicorn, or with another ASGI server."
        return HttpResponse(text, status=501, content_type="text/plain")
    release_flags(request)
    return EventStreamResponse(_events(key, is_current))


async def _events(key: str | None, is_current: Callable[[Head], bool]) -> AsyncIterator[bytes]:
    await end_request_thread(connections.close_all)
    close_caches()
    fanout, subscriber = get_fanout(), Subscriber(key)
    head = await fanout.look()  # before the next line: meanwhile, others connect
    if fanout.is_ended or len(fanout) >= max_streams():
        yield retry_event() if fanout.is_ended else retry_event(FULL_SECONDS)
        return
    if head and is_current(head):
        subscriber.sent = fanout.latest(key)
    with fanout.subscribed(subscriber):
        yield retry_event()
        if (latest := fanout.latest(key)) and latest != subscriber.sent:
            fanout.send(subscriber, latest)
        while subscriber.waiting or not subscriber.is_last:
            yield await subscriber.get()


def max_streams() -> int:
    """Return how many streams this process may hold: half of its file descriptors are for other requests."""
    with suppress(ImportError):  # not on Windows
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            return min(MAX_STREAMS, soft // 2)
    return MAX_STREAMS
