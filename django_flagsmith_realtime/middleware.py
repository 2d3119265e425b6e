"""`request.flags` and `request.aflags`, and one snapshot for the whole request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from .api import aget_flags, get_flags
from .scope import request_scope


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
        with request_scope(request):
            return cast(HttpResponseBase, self.get_response(request))

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        _add_flags(request)
        with request_scope(request):
            return cast(HttpResponseBase, await self.get_response(request))


def _add_flags(request: HttpRequest) -> None:
    attributes: Any = request
    attributes.flags = SimpleLazyObject(partial(get_flags, request))
    attributes.aflags = partial(aget_flags, request)
