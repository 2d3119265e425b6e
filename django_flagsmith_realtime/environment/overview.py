"""What a document says of each flag, overrides too, to be looked at.

Overrides of identities are counted; whose they are is not told.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .document import Plain, server_key_only


@dataclass(frozen=True)
class Variant:
    """One of the values that a percentage of identities has."""

    key: str
    value: str
    percentage: float


@dataclass(frozen=True)
class State:
    """On or off, and a value as `show_value` writes it: everybody's, or a segment's."""

    enabled: bool
    value: str
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True)
class Override:
    """The state of a flag for a segment; the lowest priority counts first."""

    segment: str
    state: State
    priority: float | None


@dataclass(frozen=True)
class FlagView:
    """One flag; overrides in the order in which they count."""

    name: str
    state: State
    overrides: tuple[Override, ...]
    identities: int
    is_server_only: bool

    @property
    def has_overrides(self) -> bool:
        return bool(self.overrides or self.identities)

    @cached_property
    def text(self) -> str:
        """What a search looks at, in lower case."""
        return "\n".join(self._texts()).casefold()

    def _texts(self) -> Iterator[str]:
        yield self.name
        for state in (self.state, *(override.state for override in self.overrides)):
            yield state.value
            for variant in state.variants:
                yield from (variant.key, variant.value)
        yield from (override.segment for override in self.overrides)


def list_flags(document: Plain, names: Collection[str] | None = None) -> list[FlagView]:
    """Return the flags of a document, or those of some names, in order."""
    overrides, identities, hidden = _overrides(document, names), _count_identities(document), server_key_only(document)
    states = {state["feature"]["name"]: state for state in document["feature_states"]}
    return [
        FlagView(name, _state(states[name]), tuple(overrides[name]), identities[name], name in hidden)
        for name in sorted(states)
        if names is None or name in names
    ]


def show_value(value: Any) -> str:
    """Return a value as text: a string in quotes only where it would pass for something else, none as nothing."""
    if value is None:
        return ""
    if isinstance(value, str) and value == value.strip() and not _is_json_scalar(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_json_scalar(text: str) -> bool:
    if text[:1] in ("{", "["):
        return False
    try:
        json.loads(text)
    except ValueError:
        return not text
    return True


def _overrides(document: Plain, names: Collection[str] | None) -> defaultdict[str, list[Override]]:
    found = defaultdict(list)
    for segment in document["project"]["segments"]:
        for state in segment["feature_states"]:
            if names is None or state["feature"]["name"] in names:
                priority = state.get("feature_segment", {}).get("priority")
                found[state["feature"]["name"]].append(Override(segment["name"], _state(state), priority))
    for each in found.values():
        each.sort(key=lambda override: float("inf") if override.priority is None else override.priority)
    return found


def _count_identities(document: Plain) -> Counter[str]:
    return Counter(
        name
        for identity in document["identity_overrides"]
        for name in {state["feature"]["name"] for state in identity["identity_features"]}
    )


def _state(state: Plain) -> State:
    variants = state.get("multivariate_feature_state_values", ())
    return State(state["enabled"], show_value(state["feature_state_value"]), tuple(map(_variant, variants)))


def _variant(variant: Plain) -> Variant:
    option = variant["multivariate_feature_option"]
    return Variant(option["key"] or "", show_value(option["value"]), variant["percentage_allocation"])
