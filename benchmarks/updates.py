"""What an update costs, from Flagsmith's body to a flag that is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django_flagsmith_realtime.changes import diff
from django_flagsmith_realtime.snapshot import Snapshot, parse_document
from django_flagsmith_realtime.store import Store

from .documents import PLAIN, SIZES, Size, make_body
from .peers import flagsmith_sdk
from .rounds import Contender, race, shown_ratio, shown_time
from .tables import Table


class Listener:
    """The listener's part: a body is parsed, compared with what is published, and published."""

    def __init__(self, size: Size, alias: str) -> None:
        self.bodies = [make_body(size, revision) for revision in (1, 2)]
        self.store = Store(alias, f"updates-{size.name}")
        self.published: Snapshot | None = None
        self.update()

    def update(self) -> None:
        self.bodies.reverse()
        document = parse_document(json.loads(self.bodies[0]))
        assert self.published is None or document.environment.version != self.published.version
        previous, self.published = self.published, self.store.publish(document, after=self.store.read_head())
        diff(previous.environment if previous else None, document.environment)


class Reader:
    """A reading process' part."""

    def __init__(self, size: Size, alias: str) -> None:
        self.store = Store(alias, f"updates-{size.name}")

    def update(self) -> Any:
        head = self.store.read_head()
        assert head
        environment = self.store.read_environment(head.sequence)
        assert environment
        return environment.flags[PLAIN]


class Sdk:
    """The official SDK's part, in each process."""

    def __init__(self, size: Size) -> None:
        self.body = make_body(size)

    def update(self) -> Any:
        return flagsmith_sdk(json.loads(self.body)).get_environment_flags().get_flag(PLAIN)


def tables(turns: int) -> Iterator[Table]:
    table = Table(
        "The CPU of an update",
        "From the body to the flag that is read, the requests to Flagsmith left out; with Redis. *Listener*: parse, "
        "compare, publish. *Reader*: in each process that reads. *Official SDK*: in each process.",
        [
            "environment",
            "`json.loads`",
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
        table.rows.append(_row(size, turns))
    yield table


def _row(size: Size, turns: int) -> list[str]:
    listener, reader, sdk = Listener(size, "Redis"), Reader(size, "Redis"), Sdk(size)
    assert listener.published
    contenders = {
        "loads": Contender("loads(body)", loads=json.loads, body=sdk.body),
        "listener": Contender("update()", update=listener.update),
        "reader": Contender("update()", update=reader.update),
        "sdk": Contender("update()", update=sdk.update),
    }
    race(contenders.values(), turns)
    loads, listening, reading, theirs = contenders.values()
    both = [one + other for one, other in zip(listening.nanoseconds, reading.nanoseconds, strict=True)]
    listening_and_reading = Contender("pass")
    listening_and_reading.nanoseconds = both
    return [
        str(size),
        *(shown_time(each.median) for each in contenders.values()),
        shown_ratio(listening_and_reading.ratio(theirs)),
        shown_ratio(reading.ratio(theirs)),
        f"{len(sdk.body):,}",
        f"{len(listener.published.environment.payload):,}",
    ]
