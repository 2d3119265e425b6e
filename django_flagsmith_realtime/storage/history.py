"""The last changes of flags, the newest first: a list in the cache, which the admin page shows.

It names no identity: overrides of identities are only counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate, takewhile
from operator import eq
from typing import Any

from ..environment.diff import Difference, Update
from ..environment.timestamps import to_datetime

KEPT = 50  # changes; the admin page shows them on one screen or two
MAX_BYTES = 32_000  # as JSON: the list is written whole with each change, and memcached refuses more than 1 MB
MAX_DIFFERENCES = 8  # of one change, as a segment with many flags would fill the list
LENGTH = 60  # characters of an old or a new text, which then fit in a line
CONTEXT = 20  # characters before the first one that differs
CUT = "…"


@dataclass(frozen=True)
class PastChange:
    """One flag's change in the version of a sequence; `published_at` in microseconds."""

    sequence: int
    published_at: int
    name: str
    differences: tuple[Difference, ...]

    @property
    def at(self) -> datetime:
        return to_datetime(self.published_at)

    @cached_property
    def size(self) -> int:
        """Its length as JSON, in bytes."""
        return len(json.dumps(astuple(self)))


def past_changes(update: Update) -> list[PastChange]:
    """Return what an update changed, flag by flag, with long texts cut."""
    head = update.snapshot.head
    return [
        PastChange(head.sequence, head.published_at, name, tuple(map(_cut, change.differences[:MAX_DIFFERENCES])))
        for name, change in update.changes.items()
    ]


def extend(history: Iterable[PastChange], new: Sequence[PastChange]) -> list[PastChange]:
    """Return a history with the changes of one more version in front, and without the oldest.

    A version that two leaders published is there once.
    """
    versions = {past.sequence for past in new}
    kept = [*new, *(past for past in history if past.sequence not in versions)][:KEPT]
    return kept[: sum(size <= MAX_BYTES for size in accumulate(past.size for past in kept))]


def to_plain(history: Iterable[PastChange]) -> list[Any]:
    """Return tuples of numbers and texts, which every serializer of a cache can carry."""
    return list(map(astuple, history))


def parse_history(plain: object) -> list[PastChange]:
    """Parse what `to_plain` returned; anything else is an empty history."""
    try:
        return list(map(_parse, plain if isinstance(plain, (list, tuple)) else []))
    except ValueError:
        return []


def _parse(plain: object) -> PastChange:
    match plain:
        case [int(sequence), int(published_at), str(name), [*differences]]:
            return PastChange(sequence, published_at, name, tuple(map(_parse_difference, differences)))
    raise ValueError("not a change")


def _parse_difference(plain: object) -> Difference:
    match plain:
        case [str(part), str(old), str(new), str(segment), str(variant)]:
            return Difference(part, old, new, segment, variant)
    raise ValueError("not a difference")


def _cut(difference: Difference) -> Difference:
    """Cut the texts so that the first character that differs is in sight."""
    old, new = difference.old, difference.new
    same = sum(takewhile(bool, map(eq, old, new)))  # characters, until the first that differs
    if max(len(old), len(new)) > LENGTH and same > CONTEXT:
        old, new = (CUT + text[same - CONTEXT :] for text in (old, new))
    texts = (difference.part, old, new, difference.segment, difference.variant)
    return Difference(*(text if len(text) <= LENGTH else text[: LENGTH - 1] + CUT for text in texts))
