"""The last changes of flags, newest first: a list that whoever publishes keeps in the cache.

It names no identity: of their overrides it says how many there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate, takewhile
from typing import Any

from ..environment.diff import FlagChange
from ..environment.overview import FlagView, State, list_flags
from ..environment.snapshot import Environment, Head
from ..environment.timestamps import to_datetime

KEPT = 50  # changes
MAX_BYTES = 32_000  # of all of them
MAX_DIFFERENCES = 8  # of one
LENGTH = 60  # characters of what was, and of what is
CONTEXT = 20  # of them, before the first that differs
CUT = "…"
BEGINNINGS = {"variants": "variant ", "segment_overrides": "segment ", "identity_overrides": "identity "}


@dataclass(frozen=True)
class Difference:
    """What of a flag was `old` and is `new`; an empty text is nothing, and both are where it just differs."""

    what: str
    old: str = ""
    new: str = ""


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
        """The bytes that it takes as JSON."""
        return len(json.dumps(astuple(self)))


def past_changes(
    previous: Environment, current: Environment, head: Head, changes: Mapping[str, FlagChange]
) -> list[PastChange]:
    """Return what changed from one environment to the next, flag by flag."""
    old, new = ({flag.name: flag for flag in list_flags(each.document, changes)} for each in (previous, current))
    return [
        PastChange(head.sequence, head.published_at, name, compare(old.get(name), new.get(name), change.aspects))
        for name, change in changes.items()
    ]


def compare(old: FlagView | None, new: FlagView | None, aspects: Iterable[str] = ()) -> tuple[Difference, ...]:
    """Say how a flag differs; of its `aspects`, those that can't be seen are named at least."""
    if old is None or new is None:
        return (Difference("flag", "" if old is None else "there", "" if new is None else "there"),)
    before, after = _parts(old), _parts(new)
    changed = [what for what in {**before, **after} if before.get(what) != after.get(what)]
    seen = [Difference(_cut(what), *_around(before.get(what, ""), after.get(what, ""))) for what in changed]
    unseen = [
        Difference(aspect.replace("_", " "))
        for aspect, beginning in BEGINNINGS.items()
        if aspect in aspects and not any(what.startswith(beginning) for what in changed)
    ]
    return tuple([*seen, *unseen][:MAX_DIFFERENCES])


def extend(history: Iterable[PastChange], new: Sequence[PastChange]) -> list[PastChange]:
    """Return a history with the changes of a version, which it has once, and without the oldest."""
    versions = {past.sequence for past in new}
    kept = [*new, *(past for past in history if past.sequence not in versions)][:KEPT]
    return kept[: sum(size <= MAX_BYTES for size in accumulate(past.size for past in kept))]


def to_plain(history: Iterable[PastChange]) -> list[Any]:
    """Return plain data, which any of Django's serializers takes."""
    return [
        [past.sequence, past.published_at, past.name, [[each.what, each.old, each.new] for each in past.differences]]
        for past in history
    ]


def parse_history(plain: object) -> list[PastChange]:
    """Read what `to_plain` returned; anything else is none."""
    try:
        return list(map(_parse, plain if isinstance(plain, (list, tuple)) else []))
    except ValueError:
        return []


def _parse(plain: object) -> PastChange:
    match plain:
        case [int(sequence), int(published_at), str(name), [*differences]]:
            return PastChange(sequence, published_at, name, tuple(map(_parse_difference, differences)))
    raise ValueError("no change")


def _parse_difference(plain: object) -> Difference:
    match plain:
        case [str(what), str(old), str(new)]:
            return Difference(what, old, new)
    raise ValueError("no difference")


def _parts(flag: FlagView) -> dict[str, str]:
    """Return all that is seen of a flag, by what it is."""
    parts = _of_state(flag.state)
    for override in flag.overrides:
        whose = f"segment {override.segment}: "
        parts |= _of_state(override.state, whose)
        parts[f"{whose}priority"] = "" if override.priority is None else f"{override.priority:g}"
    return {**parts, "identity overrides": str(flag.identities or "")}


def _of_state(state: State, whose: str = "") -> dict[str, str]:
    parts = {f"{whose}state": "on" if state.enabled else "off", f"{whose}value": state.value}
    for variant in state.variants:
        parts[f"{whose}variant {variant.key or variant.value}"] = f"{variant.percentage:g} %: {variant.value}"
    return parts


def _around(old: str, new: str) -> tuple[str, str]:
    """Cut two texts so that the first character that differs is in sight."""
    differs_at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    start = max(differs_at - CONTEXT, 0) if max(len(old), len(new)) > LENGTH else 0
    before = CUT if start else ""
    return _cut(before + old[start:]), _cut(before + new[start:])


def _cut(text: str) -> str:
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}{CUT}"
