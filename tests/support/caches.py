"""Whether flags can be published, led and read over a cache, whatever its client and its servers are."""

from __future__ import annotations

import json
from typing import Any

from django_flagsmith_realtime.reading.reader import drop_readers, get_reader
from django_flagsmith_realtime.storage.lease import Lease
from tests.support.documents import banner, configured_store, make_document
from tests.unit.storage.test_status import FULL


class JSONSerializer:
    """What a project gives Django's `RedisCache` that wants to read its entries elsewhere."""

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def loads(self, data: bytes | str) -> Any:
        return json.loads(data)


def check_cache(settings: Any, entry: dict[str, Any]) -> None:
    """Assert that a cache keeps everything that processes tell each other."""
    settings.CACHES = {"default": entry}
    drop_readers()
    lease, other = leases = [Lease("default", "tests", seconds=15) for _ in range(2)]
    try:
        _check(lease, other)
    finally:
        for each in leases:
            each.close()


def _check(lease: Lease, other: Lease) -> None:
    store = configured_store()
    assert (lease.acquire(), other.acquire()) == (True, False)
    assert other.leader == lease.leader
    first = store.publish(make_document(banner_text="one"), after=None)
    store.mark_signaled(first.head)
    second = store.publish(make_document(banner_text="two"), after=first.head)
    store.mark_signaled(second.head)
    signaled = store.read_signaled()
    assert signaled and signaled.head == second.head
    store.write_status(FULL)
    assert store.read_status() == FULL
    store.write_events(1, (2, 3))
    assert store.read_events() == (1, (2, 3))
    mark = store.write_nudge()
    assert store.read_inbox() == (mark, ())
    assert store.read_nudge() == mark
    store.clear_nudge(mark)
    assert store.read_nudge() is None
    assert banner(get_reader().current()) == "two"
    lease.release()
    assert other.acquire()
    other.release()
