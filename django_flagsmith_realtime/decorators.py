"""`@flag_enabled`: views that exist only while a flag is on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeAlias, TypeVar

from asgiref.sync import iscoroutinefunction
from django.http import Http404, HttpRequest
from django.shortcuts import redirect
from django.utils.functional import Promise

from .api import Flags, aget_flags, get_flags

logger = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])
Fallback: TypeAlias = str | Callable[..., Any] | None


@dataclass(frozen=True)
class RequiredFlags:
    """The flags that a view needs, and what answers instead of it while they are not as required."""

    names: tuple[str, ...]
    enabled: bool
    fallback: Fallback

    def __post_init__(self) -> None:
        if not self.names or not all(isinstance(name, (str, Promise)) and name for name in self.names):
            raise TypeError(f'Name the flags, as in flag_enabled("new_checkout"), not {self.names!r}.')
        if not isinstance(self.enabled, bool):
            raise TypeError(f"enabled is True or False, not {self.enabled!r}.")
        if not (self.fallback is None or isinstance(self.fallback, str) or callable(self.fallback)):
            raise TypeError(f"A fallback is a view, or what django.shortcuts.redirect takes, not {self.fallback!r}.")

    def are_met(self, flags: Flags) -> bool:
        return all(flags.is_feature_enabled(name) is self.enabled for name in self.names)

    def fall_back(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return what the fallback answers, or a redirect to it; raise `Http404` where there is none."""
        if self.fallback is None:
            logger.debug("404: not all flags are %s: %s", "on" if self.enabled else "off", self.names)
            raise Http404  # without a text, which Django REST framework shows to everybody
        if isinstance(self.fallback, str):
            return redirect(self.fallback)
        if hasattr(self.fallback, "view_class"):
            request = getattr(request, "_request", request)  # Django REST framework's views take Django's request
        return self.fallback(request, *args, **kwargs)


def flag_enabled(*names: str, enabled: bool = True, fallback: Fallback = None) -> Callable[[View], View]:
    """Run the view while all flags are on, or with `enabled=False` while all are off; else run `fallback`.

    A callable gets the view's arguments, a string is redirected to as `django.shortcuts.redirect` reads it;
    without a fallback the answer is 404. Views may be sync or async; only an async one may have an async fallback.
    """
    required = RequiredFlags(names, enabled, fallback)

    def decorate(view: Any) -> Any:
        if isinstance(view, type):
            raise TypeError(
                f"{view.__name__} is a class: derive it from FlagEnabledMixin, "
                'or use @method_decorator(flag_enabled(…), name="dispatch").'
            )
        if not callable(view):
            raise TypeError(f"flag_enabled decorates a view, not {view!r}.")
        if iscoroutinefunction(fallback) and not iscoroutinefunction(view):
            raise TypeError(f"The fallback of {view!r} is async, and the view is not: give it one of the same kind.")

        @wraps(view)
        async def awrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            are_met = required.are_met(await aget_flags(_checked(request)))
            return await awaited((view if are_met else required.fall_back)(request, *args, **kwargs))

        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            are_met = required.are_met(get_flags(_checked(request)))
            return (view if are_met else required.fall_back)(request, *args, **kwargs)

        return awrapper if iscoroutinefunction(view) else wrapper

    return decorate


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
