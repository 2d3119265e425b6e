"""Who is notified of reads: the toolbar's panel, hooks, and whatever else records or counts them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from flagsmith.models import Flag

from ..identity import IdentityOrUnset
from .throttle import may_log

T = TypeVar("T")
logger = logging.getLogger(__name__)

OPENFEATURE = "openfeature"


@dataclass(frozen=True)
class Read:
    """A read of a flag, which is a copy, with the value that the caller got: it may be `default`, the caller's own.

    `by` is the method of `Flags` that was called, or `OPENFEATURE` where its client read the flag. `identity` is None
    for the environment's flag, and `UNSET` where nobody asked for the request's identity yet.
    """

    flag: Flag
    by: str
    default: Any
    identity: IdentityOrUnset


class Observer:
    """Is notified once of a flag, for each method that reads it and each identity, in a request, task or scope."""

    each_read = False  # True: of repeated reads too

    def observe(self, read: Read) -> None:
        """Use a read. What this raises is logged, and changes no read; flags that it reads itself are not observed."""
        raise NotImplementedError


_is_notifying: ContextVar[bool] = ContextVar("flagsmith_is_notifying", default=False)


def notify(observers: Iterable[Observer], read: Read) -> None:
    """Notify observers of a read, in order."""
    if _is_notifying.get():
        return
    token = _is_notifying.set(True)
    try:
        for observer in observers:
            call(observer, observer.observe, read)
    finally:
        _is_notifying.reset(token)


def call(observer: object, method: Callable[..., T], *args: object, **named: object) -> T | None:
    """Call a method of an observer or a hook; log what it raises, once a minute for each class, and return None."""
    try:
        return method(*args, **named)
    except Exception:
        if may_log(type(observer)):
            name = f"{type(observer).__module__}.{type(observer).__qualname__}"
            logger.exception("An observer of flag reads failed, which changes no read: %s", name)
        return None
