"""`@flag_enabled`: views that exist only while a flag is on."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest

from .api import aget_flags, get_flags
from .reading.gate import Fallback, Gate

View = TypeVar("View", bound=Callable[..., Any])


def flag_enabled(*names: str, enabled: bool = True, fallback: Fallback = None) -> Callable[[View], View]:
    """Run the view while all flags are on, or with `enabled=False` while all are off; else run `fallback`.

    A callable gets the view's arguments, a string is redirected to as `django.shortcuts.redirect` reads it;
    without a fallback the answer is 404. Views may be sync or async; only an async one may have an async fallback.
    """
    gate = Gate(names, enabled, fallback)

    def decorate(view: Any) -> Any:
        _check_view(view, gate)

        @wraps(view)
        async def awrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            is_open = gate.is_open(await aget_flags(_checked(request)))
            return await awaited((view if is_open else gate.fall_back)(request, *args, **kwargs))

        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            is_open = gate.is_open(get_flags(_checked(request)))
            return (view if is_open else gate.fall_back)(request, *args, **kwargs)

        return awrapper if iscoroutinefunction(view) else wrapper

    return decorate


def _check_view(view: Any, gate: Gate) -> None:
    if isinstance(view, type):
        raise TypeError(
            f"{view.__name__} is a class: derive it from FlagEnabledMixin, "
            'or use @method_decorator(flag_enabled(…), name="dispatch").'
        )
    if not callable(view):
        raise TypeError(f"flag_enabled decorates a view, not {view!r}.")
    if iscoroutinefunction(gate.fallback) and not iscoroutinefunction(view):
        raise TypeError(f"The fallback of {view!r} is async, and the view is not: give it one of the same kind.")


def _checked(request: HttpRequest) -> HttpRequest:
    if hasattr(request, "META"):
        return request
    raise TypeError(
        f"flag_enabled expects a request as the view's first argument, not {type(request).__name__}: "
        "on a method use @method_decorator(flag_enabled(…))."
    )


async def awaited(response: Any) -> Any:
    """Return a response that may have to be awaited first."""
    return await response if hasattr(response, "__await__") else response
