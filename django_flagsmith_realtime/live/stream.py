"""The streams: one for Flagsmith's SDKs, one for OFREP clients and pages."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator

from django.contrib.auth.decorators import login_not_required
from django.core.handlers.asgi import ASGIRequest
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET

from ..conf import get_read_config
from .events import PING, Subscriber, get_fanout, retry_event

RECENT_SECONDS = 60.0  # an OFREP client that connects may have asked for its flags just before a change
RETURN_SECONDS = (1.0, 10.0)  # at random: the clients of a process that ends come back over this long


class EventStreamResponse(StreamingHttpResponse):
    """Server-sent events: nothing may store, hold back or compress them on the way."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, content_type="text/event-stream; charset=utf-8")
        self.headers["Cache-Control"] = "no-store"
        self.headers["X-Accel-Buffering"] = "no"  # nginx
        self.headers["Content-Encoding"] = "identity"  # Django's GZipMiddleware leaves what has an encoding

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return the events themselves, not a generator around them: each open stream would keep two of those."""
        return aiter(self._iterator)  # type: ignore[attr-defined]


def stream_url() -> str:
    """Return where pages connect to: the hub, or `ofrep/v1/stream`."""
    hub = get_read_config().hub
    return hub["SUBSCRIBE_URL"] if hub else reverse("flagsmith-ofrep-stream")


@login_not_required
@non_atomic_requests
@require_GET
async def flagsmith_stream(request: HttpRequest, key: str) -> HttpResponseBase:
    """Send the time of each change of an environment, as Flagsmith's stream service does.

    It begins with the latest known time. The key of an unknown environment gets an answer too, in which nothing comes.
    """
    response = _respond(request, _times(key))
    response.headers["Access-Control-Allow-Origin"] = "*"  # of any page: it holds times only
    return response


@login_not_required
@non_atomic_requests
@require_GET
async def ofrep_stream(request: HttpRequest) -> HttpResponseBase:
    """Notify OFREP clients and pages of each change; they ask for the flags of their own session then.

    One that connects is notified at once where it last saw another version: `Last-Event-ID`, or `lastEventId` of an
    `EventSource` that is new. One that names none, where a change came within the last minute.
    """
    seen = request.headers.get("Last-Event-ID") or request.GET.get("lastEventId")
    return _respond(request, _notifications(seen))


def _respond(request: HttpRequest, events: AsyncIterator[bytes]) -> HttpResponseBase:
    if isinstance(request, ASGIRequest):
        return EventStreamResponse(events)
    text = "Streams need ASGI: run this site, or these URLs of it, with uvicorn or another ASGI server."
    return HttpResponse(text, status=501, content_type="text/plain")


async def _times(key: str) -> AsyncIterator[bytes]:
    fanout, subscriber = get_fanout(), Subscriber(key)
    await fanout.look()
    with fanout.subscribed(subscriber):
        if latest := fanout.latest(key):
            fanout.send(subscriber, latest)
        else:
            yield PING  # proxies pass on the headers
        while not subscriber.is_last:
            yield await subscriber.get()


async def _notifications(seen: str | None) -> AsyncIterator[bytes]:
    fanout, subscriber = get_fanout(), Subscriber(None)
    head = await fanout.look()
    with fanout.subscribed(subscriber):
        yield retry_event(random.uniform(*RETURN_SECONDS))
        if head:
            is_recent = abs(time.time() - head.published_at / 1_000_000) < RECENT_SECONDS
            if is_recent if seen is None else seen != str(head.sequence):
                fanout.send(subscriber, fanout.latest(None) or PING)
            else:
                subscriber.sent = fanout.latest(None)
        while not subscriber.is_last:
            yield await subscriber.get()
