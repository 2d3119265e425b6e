"""Sources whose documents a test decides."""

from __future__ import annotations

from collections.abc import Callable

from django_flagsmith_realtime.environment.snapshot import Document
from django_flagsmith_realtime.listener.sources import Source


class FakeSource(Source):
    """Stands for Flagsmith's API: `fetch` returns what a function returns."""

    setting = "FLAGSMITH['API_URL']"
    interval = None
    is_flagsmith = True

    def __init__(self, fetch: Callable[[], Document]) -> None:
        self._fetch = fetch

    def fetch(self) -> Document:
        return self._fetch()

    def close(self) -> None: ...
