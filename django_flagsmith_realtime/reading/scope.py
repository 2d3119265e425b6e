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
from .flags import Flags, environment_flags
from .request_identity import RequestIdentity

UNSCOPED_SECONDS = 1.0  # outside a scope the cache is asked at most this often
ATTRIBUTE = "_flagsmith_flags"


class Unscoped(Flags):
    """For one read outside a request or task."""

    __slots__ = ()

    @property
    def _max_age(self) -> float:  # type: ignore[override]
        return max(UNSCOPED_SECONDS, get_config().freshness)


class Scope:
    """One time in a scope. When it is over, contexts that were copied meanwhile are out of the scope too.

    The flags are None until somebody asks for a request's, and after the end.
    """

    # No `__init__`: to call it takes a request longer than all else that the middleware does with this.
    outer: Scope | None = None
    request: HttpRequest | None = None
    flags: Flags | None = None

    def find_flags(self) -> Flags:
        """Return the flags, made on first use; when it is over, those of the outer one."""
        if (request := self.request) is not None:
            flags = self.flags = flags_of(request)
            if self.request is not None:
                return flags
            self.flags = None  # another thread has ended it meanwhile
        if (own := self.flags) is not None:
            return own
        return self.outer.find_flags() if self.outer else Unscoped()

    @property
    def is_over(self) -> bool:
        return self.flags is None and self.request is None

    def end(self) -> None:
        self.request = None
        self.flags = None

    @contextmanager
    def resumed(self) -> Iterator[None]:
        interrupted = innermost_stay()
        set_innermost(self)
        try:
            yield
        finally:
            set_innermost(interrupted)


NOWHERE = Scope()
innermost: ContextVar[Scope] = ContextVar("flagsmith_stay", default=NOWHERE)
innermost_stay, set_innermost, reset_innermost = innermost.get, innermost.set, innermost.reset  # faster when bound


def current_flags(request: HttpRequest | None = None) -> Flags:
    """Return the request's flags, made on first use; without a request, those of the context."""
    return innermost_stay().find_flags() if request is None else flags_of(request)


def flags_of(request: HttpRequest) -> Flags:
    flags: Flags | None = request.__dict__.get(ATTRIBUTE)
    return _find_or_add(request) if flags is None else flags


def _find_or_add(request: HttpRequest) -> Flags:
    if not isinstance(request, HttpRequest):
        found: Flags | None = getattr(request, ATTRIBUTE, None)  # of the request that this one wraps
        if found is not None:
            return found
        request = _unwrapped(request)
    config = get_config()
    made = Flags(RequestIdentity(request)) if config.identity else environment_flags(config)
    flags: Flags = request.__dict__.setdefault(ATTRIBUTE, made)
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
        outer = current_flags()
        flags = Flags() if isinstance(outer, Unscoped) else outer
        stay = Scope()
        stay.outer, stay.flags = innermost_stay(), flags.of(self._identity)
        set_innermost(stay)
        return partial(_leave, stay)


def _leave(stay: Scope) -> None:
    stay.end()
    outer = innermost_stay()
    while outer.is_over and outer.outer:
        outer = outer.outer
    set_innermost(outer)


def steps_in_scope(stay: Scope, content: Iterable[bytes]) -> Iterator[bytes]:
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
        stay.end()


async def asteps_in_scope(stay: Scope, content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
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
        stay.end()
