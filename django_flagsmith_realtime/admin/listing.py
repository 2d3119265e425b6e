"""The flags and the last changes beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..environment.overview import FlagView
from ..monitoring.formatting import format_age
from ..storage.history import PastChange


@dataclass(frozen=True)
class Shown:
    """A change, and how long ago it was in words."""

    change: PastChange
    ago: str


@dataclass(frozen=True)
class Listed:
    """A flag, and its last change where that is known."""

    flag: FlagView
    last: Shown | None


def show_changes(history: Iterable[PastChange], now: float) -> list[Shown]:
    """Put its age beside each change."""
    return [Shown(change, format_age(now - change.published_at / 1_000_000)) for change in history]


def list_with_changes(flags: Iterable[FlagView], changes: Sequence[Shown]) -> list[Listed]:
    """Put its last change beside each flag; of the changes the newest comes first."""
    last = {shown.change.name: shown for shown in reversed(changes)}
    return [Listed(flag, last.get(flag.name)) for flag in flags]
