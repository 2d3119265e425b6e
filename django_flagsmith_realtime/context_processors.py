"""`{{ flags.banner.value }}` and `{% if flags.new_checkout.enabled %}` in every template."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from .api import get_flags


def flags(request: HttpRequest) -> dict[str, Any]:
    """Add `flags`, which asks for nothing until a template reads one."""
    return {"flags": get_flags(request)}
