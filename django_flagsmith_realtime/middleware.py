"""`request.flags` and `request.aflags`, and one snapshot for the whole request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from .api import aget_flags, get_flags
from .scope import Stay, asteps_in_scope, request_scope, steps_in_scope


class FlagsmithMiddleware:
    """Pins a snapshot when a request first reads a flag; a request that reads none costs nothing."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.async_mode = iscoroutinefunction(get_response)
        if self.async_mode:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.async_mode:
            return self.__acall__(request)
        _add_flags(request)
        with request_scope(request) as stay:
            return _keep_scope(stay, self.get_response(request))

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        _add_flags(request)
        with request_scope(request) as stay:
            return _keep_scope(stay, await self.get_response(request))


def _keep_scope(stay: Stay, response: HttpResponseBase) -> HttpResponseBase:
    """Let the steps of a streaming response, which come after the middleware, see what the request saw."""
    if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
        stay.goes_on = True
        content: Any = response.streaming_content
        response.streaming_content = (asteps_in_scope if response.is_async else steps_in_scope)(stay, content)
    return response


def _add_flags(request: HttpRequest) -> None:
    attributes: Any = request
    attributes.flags = SimpleLazyObject(partial(get_flags, request))
    attributes.aflags = partial(aget_flags, request)
