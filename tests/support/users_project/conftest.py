from __future__ import annotations

from collections.abc import Iterator

import pytest
import sockets

sockets.block()


@pytest.fixture(autouse=True)
def no_sockets() -> Iterator[None]:
    yield
    assert sockets.refused == []
