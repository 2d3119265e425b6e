"""`FlagEnabledMixin`: class-based views that exist only while a flag is on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from .api import aget_flags, get_flags
from .decorators import Fallback, RequiredFlags, awaited


class FlagEnabledMixin:
    """Run the view while its flags are on, else its fallback: `flag_enabled` for sync and async classes.

    A view of Django REST framework reads them once it has authenticated the user, and before it checks permissions.
    """

    flag_name: str | Sequence[str] = ()  # one or several
    flag_enabled: bool = True  # False: while all of them are off
    flag_fallback: Fallback = None  # a view, what `redirect` takes, or a method of this name; None: 404

    @classmethod
    def as_view(cls, *args: Any, **initkwargs: Any) -> Callable[..., Any]:
        """Return the view; raise `ImproperlyConfigured` where it names no flag, or not a flag."""
        names, enabled, fallback = (
            initkwargs.get(name, getattr(cls, name)) for name in ("flag_name", "flag_enabled", "flag_fallback")
        )
        try:
            RequiredFlags(_as_tuple(names), enabled, fallback)
        except TypeError as error:
            raise ImproperlyConfigured(f"{cls.__name__}.flag_name, flag_enabled, flag_fallback: {error}") from error
        if iscoroutinefunction(fallback) and not getattr(cls, "view_is_async", False):
            raise ImproperlyConfigured(f"{cls.__name__}.flag_fallback is async, and the view is not.")
        return super().as_view(*args, **initkwargs)  # type: ignore[misc, no-any-return]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        view: Any = super().dispatch  # type: ignore[misc]
        if hasattr(super(), "perform_authentication"):
            return view(request, *args, **kwargs)
        required = self._required_flags()
        if getattr(self, "view_is_async", False):

            async def dispatch() -> Any:
                are_met = required.are_met(await aget_flags(request))
                return await awaited((view if are_met else required.fall_back)(request, *args, **kwargs))

            return dispatch()
        return (view if required.are_met(get_flags(request)) else required.fall_back)(request, *args, **kwargs)

    def perform_authentication(self, request: Any) -> None:
        """Authenticate the user, and let the fallback answer while the flags are not as required.

        Django REST framework calls this, and then the method that has the name of the request's.
        """
        super().perform_authentication(request)  # type: ignore[misc]
        required = self._required_flags()
        if required.are_met(get_flags(request)):
            return
        if required.fallback is None:
            required.fall_back(request)  # raises here, where the framework makes its own answer of it
        setattr(self, request.method.lower(), required.fall_back)

    def _required_flags(self) -> RequiredFlags:
        fallback = inspect.getattr_static(self, "flag_fallback")
        if isinstance(fallback, staticmethod):
            fallback = fallback.__func__
        elif getattr(fallback, "__name__", None) == "flag_fallback":  # it was written as a method, and is not a view
            fallback = self.flag_fallback
        return RequiredFlags(_as_tuple(self.flag_name), self.flag_enabled, fallback)


def _as_tuple(names: Any) -> tuple[Any, ...]:
    return (names,) if isinstance(names, str) or not isinstance(names, Sequence) else tuple(names)
