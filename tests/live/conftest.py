from __future__ import annotations

from typing import Any

import pytest

from tests.support.processes import RedisServer


@pytest.fixture
def cache(redis_server: RedisServer, settings: Any) -> dict[str, Any]:
    """An entry of `CACHES` that test and sites share."""
    settings.CACHES = {"default": redis_server.cache()}
    return redis_server.cache()
