"""`{{ flags.banner.value }}` and `{% if flags.new_checkout.enabled %}` in every template."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from .api import get_flags


def flags(request: HttpRequest) -> dict[str, Any]:
    """Add `flags`, which reads nothing until a template does."""
    return {"flags": SimpleLazyObject(partial(get_flags, request))}
