"""The identity of a request: `IDENTITY` returns it, and is called once."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.utils.module_loading import import_string

from ..conf import get_read_config
from ..exceptions import InvalidIdentity
from ..identity import Identity
from . import event_loop
from .throttle import may_log

logger = logging.getLogger(__name__)


class RequestIdentity:
    """Calls `IDENTITY` for a request when the identity is first needed, and keeps the answer.

    Threads wait for each other, and so do coroutines of a loop. A thread never waits for a coroutine, which may need
    that very thread to go on: if both come first, both call, and the first answer counts.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._answers: list[Identity | None] = []
        self._lock = threading.Lock()
        self._loop_locks: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy of the request takes over: the answer, not the locks."""
        return {"_request": self._request, "_answers": list(self._answers)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_request"])  # type: ignore[misc]
        self._answers = state["_answers"]

    @property
    def is_resolved(self) -> bool:
        """Whether the identity is known without another call."""
        return bool(self._answers) or get_read_config().identity is None

    @property
    def _answer(self) -> Identity | None:
        return self._answers[0] if self._answers else None

    @property
    def _is_resolving(self) -> bool:
        """Whether `IDENTITY` itself reads a flag: that one is the environment's."""
        return self in _resolving_here.get()

    def identity(self) -> Identity | None:
        """Return the identity; on a running event loop this blocks it, for `BLOCK_SECONDS` at most."""
        if self.is_resolved or self._is_resolving:
            return self._answer
        if event_loop.is_running():
            with self._resolving():
                self._answers.append(event_loop.run_in_thread(self._acall))
            return self._answer
        with self._lock:
            if not self._answers:
                with self._resolving():
                    self._answers.append(self._call())
        return self._answer

    async def aidentity(self) -> Identity | None:
        """Return the identity without blocking the event loop."""
        if self.is_resolved or self._is_resolving:
            return self._answer
        async with self._loop_locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if not self._answers:
                with self._resolving():
                    self._answers.append(await self._acall())
        return self._answer

    def _call(self) -> Identity | None:
        answer = import_callable()(self._request)

        async def await_answer() -> Any:
            return await answer

        return _checked(async_to_sync(await_answer)() if inspect.isawaitable(answer) else answer)

    async def _acall(self) -> Identity | None:
        call = import_callable()
        call = getattr(call, "acall", call)
        is_async = iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
        answer = call(self._request) if is_async else await sync_to_async(call)(self._request)
        return _checked(await answer if inspect.isawaitable(answer) else answer)

    @contextmanager
    def _resolving(self) -> Iterator[None]:
        """Note that `IDENTITY` is called in this context. If it fails, log that, and go on without an identity."""
        token = _resolving_here.set((*_resolving_here.get(), self))
        try:
            yield
        except Exception as error:
            if get_read_config().strict:
                raise
            self._answers.append(None)
            if may_log(("IDENTITY", type(error).__qualname__)):
                logger.exception("FLAGSMITH['IDENTITY'] failed: flags are the environment's instead")
        finally:
            _resolving_here.reset(token)


_resolving_here: ContextVar[tuple[RequestIdentity, ...]] = ContextVar("flagsmith_identity_resolving_here", default=())


def import_callable() -> Callable[[HttpRequest], Any]:
    """Return what `IDENTITY` names."""
    named = get_read_config().identity
    return import_string(named) if isinstance(named, str) else named  # type: ignore[return-value]


def _checked(answer: Any) -> Identity | None:
    if answer is None or isinstance(answer, Identity):
        return answer
    raise InvalidIdentity(
        f"FLAGSMITH['IDENTITY'] returned a {type(answer).__name__}: return an Identity, or None for nobody."
    )
