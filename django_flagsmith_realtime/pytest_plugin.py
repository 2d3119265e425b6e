"""For pytest: flags in tests are what the tests and `DEFAULTS` say; `flagsmith_flags` sets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from .reading import overrides


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(overrides.enter({}))


@pytest.fixture
def flagsmith_flags() -> Iterator[Callable[..., None]]:
    """Set flags until the end of the test, as `override_flags` does: `flagsmith_flags(new_checkout=True)`."""
    from .test import override_flags

    with ExitStack() as stack:

        def set_flags(flags: Any = None, /, **more: Any) -> None:
            stack.enter_context(override_flags(flags, **more))

        yield set_flags
