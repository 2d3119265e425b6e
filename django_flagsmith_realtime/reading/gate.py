"""What decides between a view and its fallback: flags that have to be on, or off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest
from django.shortcuts import redirect

from .flags import Flags

Fallback = str | Callable[..., Any] | None


class Gate:
    """Open while all flags of some names are on; with `enabled=False`, while all are off."""

    def __init__(self, names: tuple[str, ...], enabled: bool, fallback: Fallback) -> None:
        if not names or not all(isinstance(name, str) and name for name in names):
            raise TypeError(f'Name the flags, as in flag_enabled("new_checkout"): {names!r} are no names.')
        if not isinstance(enabled, bool):
            raise TypeError(f"enabled is True or False, not {enabled!r}.")
        if not (fallback is None or isinstance(fallback, str) or callable(fallback)):
            raise TypeError(f"A fallback is a view, or what django.shortcuts.redirect takes, not {fallback!r}.")
        self.names = names
        self.enabled = enabled
        self.fallback = fallback

    def is_open(self, flags: Flags) -> bool:
        return all(flags.is_feature_enabled(name) is self.enabled for name in self.names)

    def fall_back(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return what the fallback answers, or a redirect to it; raise `Http404` where there is none."""
        if self.fallback is None:
            raise Http404(f"Flags that are not {'on' if self.enabled else 'off'}: one of {', '.join(self.names)}.")
        if isinstance(self.fallback, str):
            return redirect(self.fallback)
        if hasattr(self.fallback, "view_class"):
            request = getattr(request, "_request", request)  # Django REST framework's views take Django's request
        return self.fallback(request, *args, **kwargs)
