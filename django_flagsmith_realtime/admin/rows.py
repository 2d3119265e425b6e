"""The rows of the page's tables."""

from __future__ import annotations

from dataclasses import dataclass

from flagsmith.models import Flag

from ..environment.overview import FlagDescription
from ..storage.history import PastChange


@dataclass(frozen=True)
class ChangeRow:
    """One of the last changes, and its age as text."""

    change: PastChange
    age: str


@dataclass(frozen=True)
class FlagRow:
    """A flag of the environment, and its last change where that is known."""

    flag: FlagDescription
    last: ChangeRow | None


@dataclass(frozen=True)
class EvaluatedRow:
    """A flag of an identity, and its value as text."""

    flag: Flag
    value: str
