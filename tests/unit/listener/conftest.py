from __future__ import annotations

import pytest

from django_flagsmith_realtime.listener import factory, on_demand, schedule
from django_flagsmith_realtime.listener.backoff import Backoff
from django_flagsmith_realtime.listener.schedule import Schedule
from django_flagsmith_realtime.listener.sources import FileSource


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what a listener waits for between two looks at the cache or a file, between two fetches, and after one
    that failed.
    """
    monkeypatch.setattr(factory, "INBOX_SECONDS", 0.02)
    monkeypatch.setattr(on_demand, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(schedule, "COALESCE_SECONDS", 0.02)
    monkeypatch.setitem(Schedule.__init__.__kwdefaults__, "retry", Backoff(first=0.02, limit=0.02))
    monkeypatch.setattr(FileSource, "interval", 0.02)
