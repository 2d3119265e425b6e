"""One request's or task's view of the flags: a snapshot that is asked for once, when a flag is first read."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest

from .around import Around, Undo
from .conf import get_config
from .identity import UNSET, Whose, check_identity, is_same
from .reader import get_reader
from .snapshot import Snapshot
from .snapshot_file import load_snapshot
from .whom import Known, OfRequest

if TYPE_CHECKING:
    from .api import Flags

UNSCOPED_SECONDS = 1.0  # outside a scope the cache is asked at most this often
MAX_IDENTITIES = 100  # whose evaluated flags a scope keeps
ATTRIBUTE = "_flagsmith_scope"


class Scope:
    """Pins the snapshot that its first read finds, and knows whom its flags are for.

    `pinned` holds that snapshot; another thread or coroutine may add one more, the first counts. It and the scopes of
    other identities are common to all scopes of one snapshot.
    """

    max_age = 0.0  # seconds since a look at the cache that is good enough for the first read

    def __init__(
        self,
        whom: Known | OfRequest,
        pinned: list[Snapshot | None] | None = None,
        scopes: dict[str | None, Scope] | None = None,
    ) -> None:
        self.whom = whom
        self.flags: Flags | None = None  # made by `api`
        self._pinned = [] if pinned is None else pinned
        self._scopes = {} if scopes is None else scopes

    def snapshot(self) -> Snapshot | None:
        if not self._pinned:
            self._pinned.append(get_reader().current(self._accepted_age()))
        return self._pinned[0]

    async def asnapshot(self) -> Snapshot | None:
        if not self._pinned:
            self._pinned.append(await get_reader().acurrent(self._accepted_age()))
        return self._pinned[0]

    def _accepted_age(self) -> float:
        return max(self.max_age, get_config().freshness)

    def of(self, identity: Whose) -> Scope:
        """Return the scope of the same snapshot for an identity or for nobody; `UNSET`: this one."""
        if identity is UNSET:
            return self
        key = identity.identifier if identity else None
        scope = self._scopes.get(key)
        if scope is None or (identity and not is_same(identity, scope.whom.identity())):
            if len(self._scopes) >= MAX_IDENTITIES:
                self._scopes.clear()
            scope = self._scopes[key] = type(self)(Known(identity), self._pinned, self._scopes)
        return scope


def file_snapshot() -> Snapshot | None:
    """Return the flags of `SNAPSHOT_FILE` where that is the source: what tests have without a cache."""
    config = get_config()
    if config.environment_key or not config.snapshot_file:
        return None
    path = Path(config.snapshot_file)
    return _load_snapshot(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=1)
def _load_snapshot(path: Path, changed_at: int) -> Snapshot:
    return load_snapshot(path)


class Unscoped(Scope):
    """For one read outside a request or task."""

    max_age = UNSCOPED_SECONDS


class Stay:
    """One time in a scope. When it is over, contexts that were copied meanwhile are out of the scope too."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.outer = current_stay()
        self.is_over = False
        self.goes_on = False  # beyond the block that began it

    @contextmanager
    def resumed(self) -> Iterator[None]:
        interrupted = _current.get()
        _current.set(self)
        try:
            yield
        finally:
            _current.set(interrupted)


_current: ContextVar[Stay | None] = ContextVar("flagsmith_stay", default=None)


def current_stay() -> Stay | None:
    stay = _current.get()
    while stay and stay.is_over:
        stay = stay.outer
    return stay


def current_scope(request: HttpRequest | None = None) -> Scope:
    """Return the request's scope, made on first use; without a request, that of the context."""
    if request is None:
        stay = current_stay()
        return stay.scope if stay else Unscoped(Known(None))
    request = getattr(request, "_request", request)  # Django REST framework's wraps Django's
    scope: Scope | None = getattr(request, ATTRIBUTE, None)  # also of a request that another wraps
    attributes: dict[str, Any] = request.__dict__
    return scope or attributes.setdefault(ATTRIBUTE, Scope(OfRequest(request)))


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
        stay = Stay((outer.scope if outer else Scope(Known(None))).of(self._identity))
        _current.set(stay)
        return partial(_leave, stay)


def _leave(stay: Stay) -> None:
    stay.is_over = True
    _current.set(current_stay())


@contextmanager
def request_scope(request: HttpRequest) -> Iterator[Stay]:
    """Make the request's scope the one that reads without a request find."""
    stay = Stay(current_scope(request))
    try:
        with stay.resumed():
            yield stay
    finally:
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
