"""One request's or task's view of the flags: a snapshot that is asked for once, when a flag is first read."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest

from .conf import get_config
from .reader import get_reader
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .api import Flags

UNSCOPED_SECONDS = 1.0  # outside a scope the cache is asked at most this often
ATTRIBUTE = "_flagsmith_scope"


class Scope:
    """Pins the snapshot that its first read finds; `flags` holds what was built on it, by identifier."""

    def __init__(self) -> None:
        self.flags: dict[str | None, Flags] = {}
        self._pinned: list[Snapshot | None] = []  # its first item: another thread or coroutine may add one more

    def snapshot(self) -> Snapshot | None:
        if not self._pinned:
            self._pinned.append(get_reader().current(get_config().freshness))
        return self._pinned[0]

    async def asnapshot(self) -> Snapshot | None:
        if not self._pinned:
            self._pinned.append(await get_reader().acurrent(get_config().freshness))
        return self._pinned[0]


class Unscoped(Scope):
    """For reads outside a request: nothing is pinned, and the cache is asked at most once a second."""

    def snapshot(self) -> Snapshot | None:
        return get_reader().current(max(UNSCOPED_SECONDS, get_config().freshness))

    async def asnapshot(self) -> Snapshot | None:
        return await get_reader().acurrent(max(UNSCOPED_SECONDS, get_config().freshness))


_current: ContextVar[Scope | None] = ContextVar("flagsmith_scope", default=None)


def current_scope(request: HttpRequest | None = None) -> Scope:
    """Return the request's scope, made on first use; without a request, that of the context."""
    if request is None:
        return _current.get() or Unscoped()
    scope: Scope | None = getattr(request, ATTRIBUTE, None)  # also of a request that another wraps
    attributes: dict[str, Any] = request.__dict__
    return scope or attributes.setdefault(ATTRIBUTE, Scope())


@contextmanager
def request_scope(request: HttpRequest) -> Iterator[Scope]:
    """Make the request's scope the one that reads without a request find."""
    scope = current_scope(request)
    token = _current.set(scope)
    try:
        yield scope
    finally:
        _current.reset(token)


def steps_in_scope(request: HttpRequest, content: Iterable[bytes]) -> Iterator[bytes]:
    """Go through the content of a streaming response with the request's scope set around each step."""
    steps = iter(content)
    while True:
        with request_scope(request):
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


async def asteps_in_scope(request: HttpRequest, content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Do what `steps_in_scope` does, for content that is made by coroutines."""
    steps = aiter(content)
    while True:
        with request_scope(request):
            try:
                step = await anext(steps)
            except StopAsyncIteration:
                return
        yield step
