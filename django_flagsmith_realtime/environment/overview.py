"""What a document says of each flag, in one canonical form: equal exactly where two documents say the same.

The version is a digest of it, `diff` compares it, and the admin page shows it.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from math import inf
from typing import Any, NamedTuple

from .document import Plain, server_key_only

JSON_SCALARS = '"-0123456789tfnNI'  # what one begins with, as Python's json reads them


class Variant(NamedTuple):
    """A value that a percentage of identities gets."""

    key: str | None
    value: str
    percentage: float

    @property
    def label(self) -> str:
        return self.key or self.value


class State(NamedTuple):
    """Whether a flag is on, and its value as `show_value` writes it."""

    enabled: bool
    value: str
    variants: tuple[Variant, ...] = ()


class SegmentOverride(NamedTuple):
    """The state of a flag for a segment. The lowest priority counts first, none last."""

    priority: float | None
    segment: str
    segment_id: int
    rules: str
    state: State


class FlagDescription(NamedTuple):
    """One flag with its overrides: those of segments in the order in which they count, of identities by identifier.

    Identifiers are personal data, and never shown. `seeds` are the ids that decide which identity gets which variant.
    """

    name: str
    state: State
    segment_overrides: tuple[SegmentOverride, ...]
    identity_overrides: tuple[tuple[str, State], ...]
    is_server_only: bool
    seeds: tuple[str, ...]

    @property
    def identities(self) -> int:
        """How many identities have an override."""
        return len({identifier for identifier, _ in self.identity_overrides})

    @property
    def has_overrides(self) -> bool:
        return bool(self.segment_overrides or self.identity_overrides)

    @property
    def text(self) -> str:
        """The names, keys and values that a search looks through, in lower case."""
        texts = [self.name, *(override.segment for override in self.segment_overrides)]
        for state in (self.state, *(override.state for override in self.segment_overrides)):
            texts += [state.value, *(f"{variant.key or ''}\n{variant.value}" for variant in state.variants)]
        return "\n".join(texts).casefold()


def describe_flags(document: Plain) -> dict[str, FlagDescription]:
    """Return the flags of a normalized document by name, sorted; overrides of features that it lacks are left out."""
    states = {state["feature"]["name"]: state for state in document["feature_states"]}
    seeds: defaultdict[str, list[str]] = defaultdict(list)
    segments: defaultdict[str, list[SegmentOverride]] = defaultdict(list)
    identities: defaultdict[str, list[tuple[str, State]]] = defaultdict(list)
    for name, state in states.items():
        seeds[name] += _seeds(state, owner=None)
    for segment in document["project"]["segments"]:
        owner, rules = segment["id"], canonical(segment["rules"])
        for state in segment["feature_states"]:
            name, order = state["feature"]["name"], state.get("feature_segment")
            priority = float(order["priority"]) if order else None
            segments[name].append(SegmentOverride(priority, segment["name"], owner, rules, _state(state)))
            seeds[name] += _seeds(state, owner)
    for identity in document["identity_overrides"]:
        for state in identity["identity_features"]:
            identities[state["feature"]["name"]].append((identity["identifier"], _state(state)))
    hidden = server_key_only(document)
    return {
        name: FlagDescription(
            name,
            _state(states[name]),
            tuple(sorted(segments[name], key=_order)),
            tuple(sorted(identities[name])),
            name in hidden,
            tuple(sorted(seeds[name])),
        )
        for name in sorted(states)
    }


def digest(document: Plain, flags: Mapping[str, FlagDescription]) -> str:
    """Return the version of a normalized document with these flags: a digest of all that evaluation uses.

    The order of lists isn't in it: Flagsmith promises none, and another order alone must not become a new version. The
    SDK goes by it only where two segments of a flag have the same priority, or an identifier is there twice: Flagsmith
    numbers a flag's segments in turn, and an environment has an identifier once.
    """
    content = [document["api_key"], document["name"], *flags.values()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def canonical(value: Any) -> str:
    """Return a text that is the same exactly for equal plain data of equal types; the order of lists does not count."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{key!r}:{canonical(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{','.join(sorted(map(canonical, value)))}]"
    return repr(value)


def show_value(value: Any) -> str:
    """Return a value as text: None as nothing, and a string in quotes only where it would pass for something else."""
    if value is None:
        return ""
    if isinstance(value, str) and value and value == value.strip() and not _is_json_scalar(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_json_scalar(text: str) -> bool:
    if text[0] not in JSON_SCALARS:
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _state(state: Plain) -> State:
    variants = state.get("multivariate_feature_state_values", ())
    sorted_variants = tuple(sorted(map(_variant, variants), key=repr)) if variants else ()
    return State(state["enabled"], show_value(state["feature_state_value"]), sorted_variants)


def _variant(variant: Plain) -> Variant:
    option = variant["multivariate_feature_option"]
    return Variant(option["key"], show_value(option["value"]), float(variant["percentage_allocation"]))


def _seeds(state: Plain, owner: int | None) -> list[str]:
    """Return the ids that the SDK hashes to split by percentage, and those that it orders the variants by."""
    variants = state.get("multivariate_feature_state_values")
    seed = {"segment": owner, "state": state["featurestate_uuid"], "variants": variants}
    return [canonical(seed)] if variants else []


def _order(override: SegmentOverride) -> tuple[float, str]:
    return inf if override.priority is None else override.priority, repr(override)
