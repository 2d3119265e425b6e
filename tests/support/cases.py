"""Cases of one test, where a test for each would cost more than it checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import pytest

Test = Callable[..., None]


def each_case(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Run a test's body for each case, as a subtest; all cases share the fixtures, unlike `parametrize`'s.

    A case is a value, or a tuple of values where there are several names.
    """
    several = names if isinstance(names, tuple) else (names,)

    def decorate(body: Test) -> Test:
        parameters = inspect.signature(body).parameters

        @wraps(body)
        def test(*self: Any, subtests: pytest.Subtests, **fixtures: Any) -> None:
            if "subtests" in parameters:  # the body is another `each_case`
                fixtures["subtests"] = subtests
            for case in cases:
                values = dict(zip(several, case if isinstance(names, tuple) else [case], strict=True))
                with subtests.test(**values):
                    body(*self, **values, **fixtures)

        own = {name: each for name, each in parameters.items() if name not in several}
        own["subtests"] = inspect.Parameter("subtests", inspect.Parameter.KEYWORD_ONLY)
        test.__signature__ = inspect.Signature(list(own.values()))  # type: ignore[attr-defined]
        return test

    return decorate
