"""Scopes: a request, a task or a block, within which all reads share one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.http import HttpRequest

from ..identity import UNSET, Identity, IdentityOrUnset, check_identity
from .context_decorator import ContextDecorator, Function, Leave
from .flags import Flags, Pin
from .request_identity import RequestIdentity

ATTRIBUTE = "_flagsmith_flags"  # of a request


class Scope:
    """A request, a task or a block. Once it has ended, contexts that were copied meanwhile are out of it too."""

    def __init__(self, flags: Flags) -> None:
        self.flags: Flags | None = flags  # None: it has ended
        self.outer = innermost.get()
        self.is_streaming = False  # it ends with the response's content

    def __enter__(self) -> Scope:
        self._token = innermost.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        innermost.reset(self._token)
        if not self.is_streaming:
            self.end()

    def end(self) -> None:
        self.flags = None

    def steps(self, content: Iterable[bytes]) -> Iterator[bytes]:
        """Go through the content of a streaming response, each step in the scope, and end it."""
        steps = iter(content)
        try:
            while True:
                with self._resumed():
                    try:
                        step = next(steps)
                    except StopIteration:
                        return
                yield step
        finally:
            self.end()

    async def asteps(self, content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Do what `steps` does, for content that coroutines make."""
        steps = aiter(content)
        try:
            while True:
                with self._resumed():
                    try:
                        step = await anext(steps)
                    except StopAsyncIteration:
                        return
                yield step
        finally:
            self.end()

    @contextmanager
    def _resumed(self) -> Iterator[None]:
        interrupted = innermost.get()
        innermost.set(self)
        try:
            yield
        finally:
            innermost.set(interrupted)


innermost: ContextVar[Scope | None] = ContextVar("flagsmith_scope", default=None)


def current_flags() -> Flags | None:
    """Return the flags of the innermost scope that has not ended; None outside of all."""
    scope = innermost.get()
    while scope is not None:
        flags = scope.flags  # once: another thread may end the scope
        if flags is not None:
            return flags
        scope = scope.outer
    return None


def request_flags(request: HttpRequest) -> Flags:
    """Return a request's flags, which are kept on it."""
    kept: Flags | None = getattr(request, ATTRIBUTE, None)  # also through an object that wraps the request
    if kept is not None:
        return kept
    if isinstance(request, Identity):
        raise TypeError('An identity is named by keyword: get_flags(identity=Identity("42")).')
    request = getattr(request, "_request", request)  # Django REST framework's wraps Django's
    flags: Flags = request.__dict__.setdefault(ATTRIBUTE, Flags(RequestIdentity(request)))
    return flags


def release_flags(request: HttpRequest) -> None:
    """Let a request that lasts for hours hold no snapshot; a read that comes later finds the latest."""
    kept = request.__dict__.pop(ATTRIBUTE, None)
    if kept is not None and request.__dict__.get("flags") is kept:
        request.__dict__["flags"] = request_flags(request)


class flags_scope(ContextDecorator):  # noqa: N801 - read as a statement
    """Let all reads inside see one snapshot, for `identity` where one is given.

    Its first read asks the cache, whatever `FRESHNESS` says. Inside another scope it keeps that one's snapshot and,
    where none is given, its identity; `identity=None` is nobody's. For `with`, `async with`, functions and coroutine
    functions.
    """

    def __init__(self, *, identity: IdentityOrUnset = UNSET) -> None:
        super().__init__()
        self._identity = check_identity(identity)

    def enter(self) -> Leave:
        flags = current_flags()
        if flags is None:
            flags = Flags(pin=Pin(max_age=0))  # the receiver of a signal may have started what runs inside
        scope = Scope(flags.of(self._identity))
        innermost.set(scope)

        def leave() -> None:
            scope.end()
            outer = innermost.get()
            while outer is not None and outer.flags is None:
                outer = outer.outer
            innermost.set(outer)

        return leave

    def __call__(self, function: Function) -> Function:
        if isinstance(function, type):
            raise TypeError(f"{function.__qualname__} is a class: decorate its methods.")
        return self.decorate_callable(function)
