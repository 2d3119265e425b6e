"""`request.flags`, and one snapshot for the whole request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase

from .api import aget_flags
from .live.stream import EventStreamResponse
from .reading.scope import Scope, request_flags


class FlagsmithMiddleware:
    """Sets `request.flags` and `request.aflags`, and lets `get_flags()` find the request.

    The first read of a flag pins a snapshot for the request; a request that reads none does not ask the cache.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.async_mode: bool = iscoroutinefunction(get_response)
        if self.async_mode:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.async_mode:
            return self.__acall__(request)
        with _make_scope(request) as scope:
            return _extend(scope, self.get_response(request))

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        with _make_scope(request) as scope:
            return _extend(scope, await self.get_response(request))


def _make_scope(request: Any) -> Scope:
    flags = request_flags(request)
    if not hasattr(request, "flags"):  # else it is the project's own
        request.flags = flags
    request.aflags = partial(aget_flags, request)
    return Scope(flags)


def _extend(scope: Scope, response: Any) -> HttpResponseBase:
    """Let the steps of a streaming response, which come after the middleware, see what the request saw.

    Not those of files, nor of our streams, which last for hours.
    """
    if response.streaming and not isinstance(response, (FileResponse, EventStreamResponse)):
        scope.is_streaming = True
        steps = scope.asteps if response.is_async else scope.steps
        response.streaming_content = steps(response.streaming_content)
    return response  # type: ignore[no-any-return]
