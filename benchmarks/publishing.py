"""A document of some size, published in one of the caches, for this process to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import override_settings

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.environment.snapshot import parse_document
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.storage.store import Store

from .documents import Size, make_body


def publish(size: Size, alias: str, revision: int = 0) -> int:
    """Publish a document of some size; return its sequence."""
    store = Store(alias, get_config().namespace)
    snapshot = store.publish(parse_document(json.loads(make_body(size, revision))), after=store.read_head())
    store.close()
    return snapshot.sequence


@contextmanager
def published(size: Size, alias: str, **setting: Any) -> Iterator[None]:
    with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": f"ser.{size.name}", "CACHE": alias, **setting}):
        publish(size, alias)
        assert get_reader().current()
        yield
