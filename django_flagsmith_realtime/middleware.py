"""`request.flags` and `request.aflags`, and one snapshot for the whole request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from .reading.scope import Stay, asteps_in_scope, current_flags, reset_innermost, set_innermost, steps_in_scope


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
        stay = _prepare(request)
        token = set_innermost(stay)
        try:
            response: HttpResponseBase = self.get_response(request)
            if isinstance(response, StreamingHttpResponse):
                _keep_scope(stay, response)
            return response
        finally:
            reset_innermost(token)
            stay.is_over = not stay.goes_on

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        stay = _prepare(request)
        token = set_innermost(stay)
        try:
            response: HttpResponseBase = await self.get_response(request)
            if isinstance(response, StreamingHttpResponse):
                _keep_scope(stay, response)
            return response
        finally:
            reset_innermost(token)
            stay.is_over = not stay.goes_on


def _keep_scope(stay: Stay, response: StreamingHttpResponse) -> None:
    """Let the steps of a streaming response, which come after the middleware, see what the request saw."""
    if not isinstance(response, FileResponse):
        stay.goes_on = True
        content: Any = response.streaming_content
        response.streaming_content = (asteps_in_scope if response.is_async else steps_in_scope)(stay, content)


def _prepare(request: Any) -> Stay:
    request.flags = flags = current_flags(request)
    request.aflags = flags.prepared
    return Stay(flags)
