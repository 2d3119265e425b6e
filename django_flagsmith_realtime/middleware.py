"""One snapshot for the whole request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase

from .reading import request_flags  # noqa: F401 - for a project that has only the middleware
from .reading.scope import Scope, asteps_in_scope, innermost_stay, reset_innermost, set_innermost, steps_in_scope


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
        stay = Scope()
        stay.outer, stay.request = innermost_stay(), request
        token = set_innermost(stay)
        try:
            response: HttpResponseBase = self.get_response(request)
        except BaseException:
            stay.end()
            raise
        finally:
            reset_innermost(token)
        if response.streaming:
            _keep(stay, response)
        else:
            stay.request = stay.flags = None  # as `end` does, which takes long to call
        return response

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        stay = Scope()
        stay.outer, stay.request = innermost_stay(), request
        token = set_innermost(stay)
        try:
            response: HttpResponseBase = await self.get_response(request)
        except BaseException:
            stay.end()
            raise
        finally:
            reset_innermost(token)
        if response.streaming:
            _keep(stay, response)
        else:
            stay.request = stay.flags = None  # as `end` does, which takes long to call
        return response


def _keep(stay: Scope, response: Any) -> None:
    """Let the steps of a streaming response, which come after the middleware, see what the request saw."""
    if isinstance(response, FileResponse):
        stay.end()
    else:
        steps = asteps_in_scope if response.is_async else steps_in_scope
        response.streaming_content = steps(stay, response.streaming_content)
