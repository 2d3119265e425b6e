"""The common base of `flags_scope` and `override_flags`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction

Function = TypeVar("Function", bound=Callable[..., Any])
Leave = Callable[[], None]


class ContextDecorator:
    """Does what `contextlib.ContextDecorator` does, for `async with` and coroutine functions too.

    Subclasses define `enter`, which returns a function that leaves again. Calls of a decorated function that run beside
    each other don't end each other's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._leave: list[Leave] = []  # what `with` has entered, in order

    def enter(self) -> Leave:
        raise NotImplementedError

    def __enter__(self) -> None:
        self._leave.append(self.enter())

    def __exit__(self, *exception: object) -> None:
        self._leave.pop()()

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *exception: object) -> None:
        self.__exit__()

    def decorate_callable(self, func: Function) -> Function:
        """Return a function that enters, calls the given one, and leaves."""
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise TypeError(f"{func.__qualname__} is a generator, which runs between its steps: use `with` inside it.")

        @wraps(func)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            leave = self.enter()
            try:
                return await func(*args, **kwargs)
            finally:
                leave()

        @wraps(func)
        def call(*args: Any, **kwargs: Any) -> Any:
            leave = self.enter()
            try:
                return func(*args, **kwargs)
            finally:
                leave()

        return cast(Function, acall if iscoroutinefunction(func) else call)
