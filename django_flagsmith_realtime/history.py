"""The last changes of flags, newest first: a list that whoever publishes keeps in the cache.

It names no identity: of its overrides it says only that they changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

from .changes import FlagChange
from .snapshot import Head
from .timestamps import to_datetime

KEPT = 50
VALUE_LENGTH = 60  # characters that are kept of a value


@dataclass(frozen=True)
class PastChange:
    """One flag's change in the version of a sequence; `published_at` in microseconds."""

    sequence: int
    published_at: int
    name: str
    text: str

    @property
    def at(self) -> datetime:
        return to_datetime(self.published_at)


def extend(history: Iterable[PastChange], head: Head, changes: Mapping[str, FlagChange]) -> list[PastChange]:
    """Return a history with the changes of a version, unless it has them already, and without the oldest."""
    new = [PastChange(head.sequence, head.published_at, change.name, tell(change)) for change in changes.values()]
    return [*new, *(past for past in history if past.sequence != head.sequence)][:KEPT]


def tell(change: FlagChange) -> str:
    """Say what changed, values cut."""
    if change.old is None or change.new is None:
        return "removed" if change.new is None else "added"
    parts = {aspect: aspect.replace("_", " ") for aspect in sorted(change.aspects)}
    if "enabled" in parts:
        parts["enabled"] = "switched on" if change.new.enabled else "switched off"
    if "value" in parts:
        parts["value"] = f"value {_show(change.old.value)} → {_show(change.new.value)}"
    return ", ".join(parts.values())


def to_plain(history: Iterable[PastChange]) -> list[list[Any]]:
    """Return plain data, which any of Django's serializers takes."""
    return [list(astuple(past)) for past in history]


def parse_history(plain: object) -> list[PastChange]:
    """Read what `to_plain` returned; what is no change is left out."""
    return [past for past in map(_parse, plain if isinstance(plain, list) else []) if past]


def _parse(plain: object) -> PastChange | None:
    match plain:
        case [int(sequence), int(published_at), str(name), str(text)]:
            return PastChange(sequence, published_at, name, text)
    return None


def _show(value: Any) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_LENGTH else f"{text[: VALUE_LENGTH - 1]}…"
