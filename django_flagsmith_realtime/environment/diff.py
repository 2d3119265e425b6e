"""What differs between two snapshots, flag by flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from flagsmith.models import Flag

from .document import Plain, fingerprint
from .snapshot import Environment, Snapshot

Aspects = dict[str, Any]


@dataclass(frozen=True)
class FlagChange:
    """One flag's change. `old` and `new` are the flag as the environment sees it, None where it does not exist.

    `aspects` names what differs: "enabled", "value", "variants", "segment_overrides", "identity_overrides".
    """

    name: str
    old: Flag | None
    new: Flag | None
    aspects: frozenset[str]

    def __str__(self) -> str:
        if self.new is None or self.old is None:
            return f"{self.name} {'removed' if self.new is None else 'added'}"
        return f"{self.name} ({', '.join(map(self._describe, sorted(self.aspects)))})"

    def _describe(self, aspect: str) -> str:
        if aspect == "enabled" and self.new:
            return "on" if self.new.enabled else "off"
        return aspect.replace("_", " ")


@dataclass(frozen=True)
class Update:
    """A version that was published, the one published before it, and what differs, by flag name."""

    snapshot: Snapshot
    previous: Snapshot | None
    changes: Mapping[str, FlagChange]

    @classmethod
    def between(cls, previous: Snapshot | None, snapshot: Snapshot) -> Update:
        """Compare two snapshots; without a previous one every flag is new."""
        return cls(snapshot, previous, diff(previous.environment if previous else None, snapshot.environment))


def diff(old: Environment | None, new: Environment) -> Mapping[str, FlagChange]:
    """Return the changes by flag name, ids aside; empty where the flags are the same."""
    names = _suspects(old.texts if old else {}, new.texts)
    before, after = _aspects_by_name(old.document, names) if old else {}, _aspects_by_name(new.document, names)
    changes = {}
    for name in sorted(before.keys() | after.keys()):
        if aspects := _differing(before.get(name, {}), after.get(name, {})):
            changes[name] = FlagChange(name, _copy(old, name), _copy(new, name), aspects)
    return MappingProxyType(changes)


def _suspects(old: Mapping[str, list[str]], new: Mapping[str, list[str]]) -> set[str]:
    """Return the names of the flags that may differ: of very few there is more to find out."""
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _copy(environment: Environment | None, name: str) -> Flag | None:
    flag = environment and environment.flags.get(name)
    return replace(flag) if flag else None


def _differing(old: Aspects, new: Aspects) -> frozenset[str]:
    return frozenset(aspect for aspect in old.keys() | new.keys() if old.get(aspect) != new.get(aspect))


def _aspects_by_name(document: Plain, names: set[str]) -> dict[str, Aspects]:
    states = [state for state in document["feature_states"] if state["feature"]["name"] in names]
    flags = {state["feature"]["name"]: _state(state) for state in states}
    for segment in document["project"]["segments"]:
        for state in segment["feature_states"]:
            _override(flags, "segment_overrides", state, segment["id"], [segment["name"], segment["rules"]])
    for identity in document["identity_overrides"]:
        for state in identity["identity_features"]:
            _override(flags, "identity_overrides", state, identity["identifier"], None)
    return flags


def _state(state: Plain) -> Aspects:
    return {
        "enabled": state["enabled"],
        "value": fingerprint(state["feature_state_value"]),
        "variants": fingerprint([_variant(variant) for variant in state.get("multivariate_feature_state_values", [])]),
        "segment_overrides": {},
        "identity_overrides": {},
    }


def _variant(variant: Plain) -> Plain:
    return {**variant["multivariate_feature_option"], "percentage": variant["percentage_allocation"]}


def _override(flags: dict[str, Aspects], aspect: str, state: Plain, owner: object, condition: object) -> None:
    if flag := flags.get(state["feature"]["name"]):
        priority = state.get("feature_segment", {}).get("priority")
        flag[aspect][owner] = [_state(state), priority, fingerprint(condition)]
