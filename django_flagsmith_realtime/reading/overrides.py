"""Flags that tests set, in layers. A layer applies where it was entered, and to callers that have entered none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

from . import event_loop

if TYPE_CHECKING:
    from flagsmith.models import Flag


class Layer:
    """Some flags, and the thread whose sync code entered them: all that this thread runs now runs inside."""

    def __init__(self, flags: Mapping[str, Flag]) -> None:
        self.flags = flags
        self.thread = None if event_loop.is_running() else threading.get_ident()


_lock = threading.Lock()
entered: tuple[Layer, ...] = ()  # in this process, in order
_entered_here: ContextVar[tuple[Layer, ...]] = ContextVar("flagsmith_overrides", default=())


def enter(flags: Mapping[str, Flag]) -> Callable[[], None]:
    """Put a layer on top; return a function that removes it, and no other."""
    global entered
    layer = Layer(flags)
    _entered_here.set((*_entered_here.get(), layer))
    with _lock:
        entered = (*entered, layer)

    def leave() -> None:
        global entered
        with _lock:
            entered = tuple(other for other in entered if other is not layer)
        _entered_here.set(tuple(other for other in _entered_here.get() if other is not layer))

    return leave


def are_active() -> bool:
    """Tell whether tests have entered a layer: then no read asks the cache, also for flags that no layer has."""
    return bool(entered)


def visible() -> Mapping[str, Flag]:
    """Return the flags that are set for the caller, those of upper layers over those of lower ones."""
    if not (layers := entered):
        return {}
    here, thread = _entered_here.get(), threading.get_ident()
    own = [layer for layer in layers if layer in here or layer.thread == thread]
    return {name: flag for layer in own or layers for name, flag in layer.flags.items()}
