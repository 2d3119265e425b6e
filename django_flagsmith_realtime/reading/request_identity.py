"""Whom the flags of a request are for: `IDENTITY` names it, and is asked once."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.utils.module_loading import import_string

from ..conf import get_config
from ..exceptions import InvalidIdentity
from ..identity import Identity
from . import event_loop

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0  # of a read that blocks an event loop
LOG_SECONDS = 60.0  # between reports of the same kind of error


class RequestIdentity:
    """The identity that `IDENTITY` names for a request: it is asked when that is first needed, and once.

    Threads wait for each other, and so do coroutines. A thread never waits for a coroutine, which may need that
    very thread to go on: should both be first, both ask, and the first answer counts.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._answers: list[Identity | None] = []
        self._lock = threading.Lock()
        self._loop_locks: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}

    @property
    def is_settled(self) -> bool:
        return bool(self._answers)

    def identity(self) -> Identity | None:
        """Return the identity; on a running event loop this blocks it, for a second at most."""
        if self._answers or self._is_asking:
            return self._answer
        if event_loop.is_running():
            self._answers.append(self._ask_elsewhere())
            return self._answer
        with self._lock:
            if not self._answers:
                with self._asking():
                    self._answers.append(_ask(self._request))
        return self._answer

    async def aidentity(self) -> Identity | None:
        """Return the identity without blocking the event loop."""
        if self._answers or self._is_asking:
            return self._answer
        async with self._loop_locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if not self._answers:
                with self._asking():
                    self._answers.append(await _aask(self._request))
        return self._answer

    def _ask_elsewhere(self) -> Identity | None:
        with _errors_reported(), self._asking():
            try:
                return event_loop.run_elsewhere(lambda: _aask(self._request), PATIENCE_SECONDS)
            except FutureTimeoutError as error:
                raise TimeoutError(
                    f"No answer within {PATIENCE_SECONDS:g} s, and a read on the event loop waits no longer: "
                    "`await request.aflags()` before it."
                ) from error
        return None

    @property
    def _answer(self) -> Identity | None:
        return self._answers[0] if self._answers else None

    @property
    def _is_asking(self) -> bool:
        return self in _asked.get()  # the callable itself reads a flag

    @contextmanager
    def _asking(self) -> Iterator[None]:
        token = _asked.set((*_asked.get(), self))
        try:
            yield
        finally:
            _asked.reset(token)


_asked: ContextVar[tuple[RequestIdentity, ...]] = ContextVar("flagsmith_identity_asked", default=())
_reported: dict[str, float] = {}


def load_callable() -> Callable[[HttpRequest], Any] | None:
    """Return what `IDENTITY` names, if it does."""
    named = get_config().identity
    return import_string(named) if isinstance(named, str) else named


def _ask(request: HttpRequest) -> Identity | None:
    with _errors_reported():
        if ask := load_callable():
            answer = async_to_sync(ask)(request) if _is_async(ask) else ask(request)
            return _checked(async_to_sync(_awaited)(answer) if inspect.isawaitable(answer) else answer)
    return None


async def _aask(request: HttpRequest) -> Identity | None:
    with _errors_reported():
        if ask := load_callable():
            ask = getattr(ask, "acall", ask)
            answer = ask(request) if _is_async(ask) else await sync_to_async(ask)(request)
            return _checked(await answer if inspect.isawaitable(answer) else answer)
    return None


def _is_async(ask: Callable[..., Any]) -> bool:
    return iscoroutinefunction(ask) or iscoroutinefunction(getattr(ask, "__call__", None))  # noqa: B004


async def _awaited(answer: Any) -> Any:
    return await answer


def _checked(answer: Any) -> Identity | None:
    if answer is None or isinstance(answer, Identity):
        return answer
    raise InvalidIdentity(
        f"FLAGSMITH['IDENTITY'] returned a {type(answer).__name__}: return an Identity, or None for nobody."
    )


@contextmanager
def _errors_reported() -> Iterator[None]:
    """Log an error of the project's own, once a minute for each kind: a read never fails, unless `STRICT` is on."""
    try:
        yield
    except Exception as error:
        if get_config().strict:
            raise
        kind, now = type(error).__qualname__, time.monotonic()
        if now - _reported.get(kind, -LOG_SECONDS) >= LOG_SECONDS:
            _reported[kind] = now
            logger.exception("FLAGSMITH['IDENTITY'] failed: flags are the environment's instead")
