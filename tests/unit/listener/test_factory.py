"""The engine as the settings describe it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.listener.factory import build_listener


def test_a_listener_whose_cache_carries_no_lease_says_that_it_must_be_the_only_one(
    settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build_listener(get_config())
    assert not caplog.records
    files = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path / "cache")}
    settings.CACHES = {"default": files}
    build_listener(get_config())
    assert "The cache 'default' can't tell" in caplog.text
    assert "must be the only one" in caplog.text
