"""`request.flags` and `request.aflags`, of every request, made when somebody asks for them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import cached_property

from .flags import Flags
from .scope import current_flags


async def _aflags(request: HttpRequest) -> Flags:
    """Return `request.flags` with everything asked that a read needs, so that none blocks the event loop."""
    return await current_flags(request).prepared()


def _add_to(requests: Any) -> None:
    """Add them to the class, not to each request: that takes longer than all else that the middleware does."""
    flags: Any = cached_property(current_flags)
    flags.__set_name__(requests, "flags")
    requests.flags, requests.aflags = flags, _aflags


_add_to(HttpRequest)
