"""The scope of a request or a task: which flags a read without a request finds."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from django.http import HttpRequest

from ..conf import get_config
from ..identity import UNSET, Identity, Whose, check_identity
from .around import Around, Undo
from .flags import Flags
from .whom import NOBODY, OfRequest

UNSCOPED_SECONDS = 1.0  # outside a scope the cache is asked at most this often
ATTRIBUTE = "_flagsmith_flags"


class Unscoped(Flags):
    """For one read outside a request or task."""

    __slots__ = ()

    @property
    def _max_age(self) -> float:  # type: ignore[override]
        return max(UNSCOPED_SECONDS, get_config().freshness)


class Stay:
    """One time in a scope. When it is over, contexts that were copied meanwhile are out of the scope too."""

    __slots__ = ("flags", "goes_on", "is_over", "outer")

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        self.outer = innermost_stay()
        self.is_over = False
        self.goes_on = False  # beyond the block that began it

    @contextmanager
    def resumed(self) -> Iterator[None]:
        interrupted = innermost_stay()
        set_innermost(self)
        try:
            yield
        finally:
            set_innermost(interrupted)


innermost: ContextVar[Stay | None] = ContextVar("flagsmith_stay", default=None)
innermost_stay, set_innermost, reset_innermost = innermost.get, innermost.set, innermost.reset  # faster when bound


def current_stay() -> Stay | None:
    stay = innermost_stay()
    while stay and stay.is_over:
        stay = stay.outer
    return stay


def current_flags(request: HttpRequest | None = None) -> Flags:
    """Return the request's flags, made on first use; without a request, those of the context."""
    if request is None:
        stay = current_stay()
        return stay.flags if stay else Unscoped(NOBODY)
    flags: Flags | None = getattr(request, ATTRIBUTE, None)  # also of a request that another wraps
    return _add_flags(request) if flags is None else flags


def _add_flags(request: HttpRequest) -> Flags:
    if not isinstance(request, HttpRequest):
        request = _unwrapped(request)
    whom = OfRequest(request) if get_config().identity else NOBODY
    flags: Flags = request.__dict__.setdefault(ATTRIBUTE, Flags(whom))
    return flags


def _unwrapped(request: Any) -> Any:
    if isinstance(request, Identity):
        raise TypeError('An identity is named by keyword: get_flags(identity=Identity("42")).')
    return getattr(request, "_request", request)  # Django REST framework's wraps Django's


class flags_scope(Around):  # noqa: N801 - read as a statement
    """Let all reads inside see one snapshot, for `identity` where one is given.

    Inside another scope it keeps that one's snapshot and, where none is given, its identity; `identity=None` is
    nobody's. For `with`, `async with`, functions and coroutine functions.
    """

    def __init__(self, *, identity: Whose = UNSET) -> None:
        super().__init__()
        self._identity = check_identity(identity)

    def enter(self) -> Undo:
        outer = current_stay()
        stay = Stay((outer.flags if outer else Flags(NOBODY)).of(self._identity))
        set_innermost(stay)
        return partial(_leave, stay)


def _leave(stay: Stay) -> None:
    stay.is_over = True
    set_innermost(current_stay())


@contextmanager
def request_scope(request: HttpRequest) -> Iterator[Stay]:
    """Make the request's flags those that reads without a request find."""
    stay = Stay(current_flags(request))
    token = set_innermost(stay)
    try:
        yield stay
    finally:
        reset_innermost(token)
        stay.is_over = not stay.goes_on


def steps_in_scope(stay: Stay, content: Iterable[bytes]) -> Iterator[bytes]:
    """Go through the content of a streaming response, each step in the request's scope."""
    steps = iter(content)
    try:
        while True:
            with stay.resumed():
                try:
                    step = next(steps)
                except StopIteration:
                    return
            yield step
    finally:
        stay.is_over = True


async def asteps_in_scope(stay: Stay, content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Do what `steps_in_scope` does, for content that is made by coroutines."""
    steps = aiter(content)
    try:
        while True:
            with stay.resumed():
                try:
                    step = await anext(steps)
                except StopAsyncIteration:
                    return
            yield step
    finally:
        stay.is_over = True
