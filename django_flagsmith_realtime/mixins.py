"""`FlagEnabledMixin`: class-based views that exist only while a flag is on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from .api import aget_flags, get_flags
from .decorators import awaited
from .reading.gate import Fallback, Gate


class FlagEnabledMixin:
    """Run the view while its flags are on, else its fallback: `flag_enabled` for sync and async classes.

    A view of Django REST framework asks once it knows whom the request is from, before it looks at permissions.
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
            Gate(_names(names), enabled, fallback)
        except TypeError as error:
            raise ImproperlyConfigured(f"{cls.__name__}.flag_name, flag_enabled, flag_fallback: {error}") from error
        if iscoroutinefunction(fallback) and not getattr(cls, "view_is_async", False):
            raise ImproperlyConfigured(f"{cls.__name__}.flag_fallback is async, and the view is not.")
        return super().as_view(*args, **initkwargs)  # type: ignore[misc, no-any-return]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        view: Any = super().dispatch  # type: ignore[misc]
        if hasattr(super(), "perform_authentication"):
            return view(request, *args, **kwargs)
        if getattr(self, "view_is_async", False):
            return self._adispatch(view, request, *args, **kwargs)
        gate = self._gate
        return (view if gate.is_open(get_flags(request)) else gate.fall_back)(request, *args, **kwargs)

    async def _adispatch(self, view: Callable[..., Any], request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        gate = self._gate
        is_open = gate.is_open(await aget_flags(request))
        return await awaited((view if is_open else gate.fall_back)(request, *args, **kwargs))

    def perform_authentication(self, request: Any) -> None:
        """Do so, and leave the request to the fallback where the view is closed: a hook of Django REST framework's."""
        super().perform_authentication(request)  # type: ignore[misc]
        gate = self._gate
        if gate.is_open(get_flags(request)):
            return
        if gate.fallback is None:
            gate.fall_back(request)  # raises where the framework answers in its own way
        setattr(self, request.method.lower(), gate.fall_back)

    @property
    def _gate(self) -> Gate:
        return Gate(_names(self.flag_name), self.flag_enabled, self._find_fallback())

    def _find_fallback(self) -> Any:
        """Return the fallback as it was given: only a method that was written as one gets the view itself."""
        fallback = inspect.getattr_static(self, "flag_fallback")
        if isinstance(fallback, staticmethod):
            return fallback.__func__
        is_method = getattr(fallback, "__name__", None) == "flag_fallback"
        return self.flag_fallback if is_method else fallback


def _names(names: Any) -> tuple[Any, ...]:
    return (names,) if isinstance(names, str) or not isinstance(names, Sequence) else tuple(names)
