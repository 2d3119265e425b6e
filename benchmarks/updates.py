"""What an update costs, from the event to a flag that is read."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from flagsmith import Flagsmith

from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.listener.sources import ApiSource
from django_flagsmith_realtime.reading.reader import Reader
from django_flagsmith_realtime.storage.store import Store

from .documents import PLAIN, SIZES, Size, make_body
from .flagsmith import flagsmith
from .rounds import Contender, race, shown_ratio, shown_time
from .tables import Table

ALIAS = "Redis"
KEY = "ser.benchmark"


class Deployment:
    """This package's two sides of an update, in one process."""

    def __init__(self, size: Size, api_url: str) -> None:
        source = ApiSource(api_url=api_url, environment_key=KEY, timeout=10, headers={})
        self.publisher = Publisher(source=source, store=Store(ALIAS, size.name))
        self.reader = Reader(Store(ALIAS, size.name))

    def publish(self) -> None:
        assert self.publisher.refresh()

    def adopt(self) -> Any:
        before, after = self.reader._held, self.reader.current()
        assert after and after is not before
        return after.environment.flags[PLAIN]


class Sdk:
    """The official SDK's part of an update, in each process."""

    def __init__(self, api_url: str) -> None:
        self.client = Flagsmith(environment_key=KEY, api_url=api_url, enable_local_evaluation=True)

    def update(self) -> Any:
        self.client.update_environment()
        return self.client.get_environment_flags().get_flag(PLAIN)


def tables(turns: int) -> Iterator[Table]:
    table = Table(
        "CPU time of an update",
        "From the event until the flag is read: CPU time of the whole process, one update after the other, with a "
        "real HTTP API and Redis beside it. *Listener*: fetch, parse, compare, publish, send the signals. *Reader*: in "
        "each process that reads. *Official SDK*: `update_environment()` and a read, in each process.",
        [
            "environment",
            "listener",
            "reader",
            "official SDK",
            "listener and reader, to the SDK",
            "reader, to the SDK",
            "bytes from Flagsmith",
            "bytes in the cache",
        ],
    )
    for size in SIZES:
        with flagsmith(size) as api_url:
            table.rows.append(_row(size, turns, api_url))
    yield table


def _row(size: Size, turns: int, api_url: str) -> list[str]:
    here, there = Deployment(size, api_url), Sdk(api_url)
    both = Contender("publish(); adopt()", publish=here.publish, adopt=here.adopt)
    listener = Contender("publish()", publish=here.publish)
    sdk = Contender("update()", update=there.update)
    race([both, listener, sdk], turns, clock=time.process_time)
    reader = both.without(listener)
    published = here.publisher.published
    assert published
    return [
        str(size),
        *(shown_time(each.median) for each in (listener, reader, sdk)),
        shown_ratio(both.ratio(sdk)),
        shown_ratio(reader.ratio(sdk)),
        f"{len(make_body(size)):,}",
        f"{len(b64encode(published.environment.payload)):,}",
    ]
