"""`@flag_enabled`: views that exist only while a flag is on."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.http import Http404, HttpRequest
from django.shortcuts import redirect

from .api import aget_flags, get_flags

View = TypeVar("View", bound=Callable[..., Any])
Fallback = str | Callable[..., Any] | None


def flag_enabled(name: str, *, fallback: Fallback = None) -> Callable[[View], View]:
    """Run the view while the flag is on, else `fallback`.

    A callable gets the view's arguments, a string is redirected to as `django.shortcuts.redirect` reads it;
    without a fallback the answer is 404. Views may be sync or async; the fallback is of the same kind.
    """

    def decorate(view: Any) -> Any:
        if iscoroutinefunction(view):

            @wraps(view)
            async def awrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                enabled = (await aget_flags(request)).is_feature_enabled(name)
                return await _awaited((view if enabled else _fall_back)(request, *args, **kwargs))

            return awrapper

        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            enabled = get_flags(request).is_feature_enabled(name)
            return (view if enabled else _fall_back)(request, *args, **kwargs)

        return wrapper

    def _fall_back(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if fallback is None:
            raise Http404(f"The flag {name!r} is off.")
        return redirect(fallback) if isinstance(fallback, str) else fallback(request, *args, **kwargs)

    return decorate


async def _awaited(response: Any) -> Any:
    return await response if hasattr(response, "__await__") else response
