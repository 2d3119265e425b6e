"""What users call: `get_flags`, `aget_flags`, the `Flags` they return, and a request that has them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from django.http import HttpRequest

from .identity import UNSET, IdentityOrUnset, check_identity
from .reading.flags import Flags
from .reading.scope import current_flags, request_flags

__all__ = ["Flags", "FlagsmithHttpRequest", "aget_flags", "get_flags"]


class FlagsmithHttpRequest(HttpRequest):
    """A request as `FlagsmithMiddleware` hands it on, for annotations only: no request is an instance of this class."""

    flags: Flags
    aflags: Callable[[], Coroutine[Any, Any, Flags]]


def get_flags(request: HttpRequest | None = None, *, identity: IdentityOrUnset = UNSET) -> Flags:
    """Return the flags of an identity: by default the one that `IDENTITY` returns for the request, or the scope's.

    `identity=None` is nobody's: the environment's flags. Nothing is asked until a flag is read. Within a request all
    reads see one snapshot; `request` may be left out where the middleware runs.
    """
    flags = current_flags() if request is None else request_flags(request)
    if flags is None:  # outside of requests, tasks and scopes
        flags = Flags()
    return flags.of(check_identity(identity))


async def aget_flags(request: HttpRequest | None = None, *, identity: IdentityOrUnset = UNSET) -> Flags:
    """Return what `get_flags` returns, once all that a read needs is there: none blocks the event loop."""
    return await get_flags(request, identity=identity).apin()
