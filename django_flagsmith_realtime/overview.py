"""What an environment says of each flag, overrides too, as rows to look at.

Overrides of identities are counted; whose they are is not told.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .document import Plain
from .history import PastChange
from .snapshot import Environment


@dataclass(frozen=True)
class State:
    """On or off, and a value: of the environment, a variant (`name` its key) or a segment's override."""

    enabled: bool
    value: str
    name: str = ""
    percentage: float | None = None


@dataclass(frozen=True)
class FlagRow:
    """One flag; segments in the order in which they count."""

    name: str
    state: State
    variants: tuple[State, ...] = ()
    segments: tuple[State, ...] = ()
    identities: int = 0
    is_server_only: bool = False
    last_change: PastChange | None = None

    @property
    def has_overrides(self) -> bool:
        return bool(self.segments or self.identities)


def list_flags(environment: Environment, history: Iterable[PastChange] = ()) -> list[FlagRow]:
    """Return a row for each flag, by name."""
    document, changes = environment.document, {past.name: past for past in reversed(list(history))}
    segments, identities = _by_segment(document), _count_identities(document)
    rows = (
        FlagRow(
            name=name,
            state=_state(state),
            variants=tuple(map(_variant, state["multivariate_feature_state_values"])),
            segments=tuple(segments[name]),
            identities=identities[name],
            is_server_only=name in environment.server_key_only,
            last_change=changes.get(name),
        )
        for state in document["feature_states"]
        for name in (state["feature"]["name"],)
    )
    return sorted(rows, key=lambda row: row.name)


def show_value(value: Any) -> str:
    """Return a value as it is written in code; nothing for none."""
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _by_segment(document: Plain) -> dict[str, list[State]]:
    found = defaultdict(list)
    for segment in document["project"]["segments"]:
        for state in segment["feature_states"]:
            priority = state.get("feature_segment", {}).get("priority", float("inf"))
            found[state["feature"]["name"]].append((priority, _state(state, segment["name"])))
    return defaultdict(
        list, {name: [state for _, state in sorted(each, key=lambda pair: pair[0])] for name, each in found.items()}
    )


def _count_identities(document: Plain) -> Counter[str]:
    return Counter(
        name
        for identity in document["identity_overrides"]
        for name in {state["feature"]["name"] for state in identity["identity_features"]}
    )


def _state(state: Plain, name: str = "") -> State:
    return State(state["enabled"], show_value(state["feature_state_value"]), name)


def _variant(variant: Plain) -> State:
    option = variant["multivariate_feature_option"]
    return State(True, show_value(option["value"]), option["key"] or "", variant["percentage_allocation"])
