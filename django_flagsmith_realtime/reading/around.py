"""What can be entered by `with`, by `async with`, and as a decorator of functions and coroutine functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction

Function = TypeVar("Function", bound=Callable[..., Any])
Undo = Callable[[], None]


class Around:
    """Subclasses say in `enter` what to do before, and return how to undo it."""

    def __init__(self) -> None:
        self._undo: list[Undo] = []

    def enter(self) -> Undo:
        raise NotImplementedError

    def __enter__(self) -> None:
        self._undo.append(self.enter())

    def __exit__(self, *exception: object) -> None:
        self._undo.pop()()

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *exception: object) -> None:
        self.__exit__()

    def __call__(self, function: Function) -> Function:
        return cast(Function, around(function, self.enter))


def around(function: Any, enter: Callable[[], Undo]) -> Any:
    """Return the function with `enter` before each call of it, and what that returns after it."""
    if isinstance(function, type):
        raise TypeError(f"{function.__qualname__} is a class: decorate its methods.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator, which runs between its steps: use `with` inside it.")

    @wraps(function)
    async def awrapper(*args: Any, **kwargs: Any) -> Any:
        undo = enter()
        try:
            return await function(*args, **kwargs)
        finally:
            undo()

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        undo = enter()
        try:
            return function(*args, **kwargs)
        finally:
            undo()

    return awrapper if iscoroutinefunction(function) else wrapper
