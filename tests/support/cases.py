"""Cases of one test, where a test for each would cost more than it checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import pytest

Test = Callable[..., None]


def each_case(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Run a test's body for each case; all share the fixtures, unlike `parametrize`'s. An error names the case.

    A case is a value, or a tuple of values where there are several names.
    """

    keys = names if isinstance(names, tuple) else (names,)

    def decorate(body: Test) -> Test:
        @wraps(body)
        def test(*self: Any, **fixtures: Any) -> None:
            for case in cases:
                values = dict(zip(keys, case if isinstance(names, tuple) else [case], strict=True))
                try:
                    body(*self, **values, **fixtures)
                except (Exception, pytest.fail.Exception) as error:
                    raise AssertionError(f"for {values}") from error

        parameters = inspect.signature(body).parameters
        own = [each for name, each in parameters.items() if name not in keys]
        test.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        return test

    return decorate
