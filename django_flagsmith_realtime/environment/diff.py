"""What differs between two snapshots, flag by flag: the one comparison that signals, history and log read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from flagsmith.models import Flag

from .overview import FlagDescription, State
from .snapshot import Environment, Snapshot

SHOWN_AS = {"variants": "variant ", "segment_overrides": "segment ", "identity_overrides": "identity "}


@dataclass(frozen=True)
class Difference:
    """One part of a flag, as texts for a person: an empty text is nothing, and both are where it can't be shown."""

    what: str
    old: str = ""
    new: str = ""


@dataclass(frozen=True)
class FlagChange:
    """One flag's change. `old` and `new` are the flag as the environment sees it, None where it does not exist.

    `aspects` names what differs: "enabled", "value", "variants", "segment_overrides", "identity_overrides".
    `differences` says how, with values; overrides of identities are counted, and none is named.
    """

    name: str
    old: Flag | None
    new: Flag | None
    aspects: frozenset[str]
    differences: tuple[Difference, ...] = ()

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
    """A version that was published, the one published before it, and what differs, by flag name.

    `source` announced the change: "stream", "webhook" or "queue-change"; None where nobody did.
    """

    snapshot: Snapshot
    previous: Snapshot | None
    changes: Mapping[str, FlagChange]
    source: str | None = None

    @classmethod
    def between(cls, previous: Snapshot | None, snapshot: Snapshot, source: str | None = None) -> Update:
        """Compare two snapshots; without a previous one every flag is new."""
        changes = diff(previous.environment if previous else None, snapshot.environment)
        return cls(snapshot, previous, changes, source)


def diff(old: Environment | None, new: Environment) -> Mapping[str, FlagChange]:
    """Return the changes by flag name, sorted; empty where the flags are the same but for their ids."""
    before, after = old.descriptions if old else {}, new.descriptions
    changes = {}
    for name in sorted(before.keys() | after.keys()):
        if (was := before.get(name)) == (now := after.get(name)):
            continue
        one, other = _aspects(was), _aspects(now)
        if aspects := frozenset(aspect for aspect in {**one, **other} if one.get(aspect) != other.get(aspect)):
            differences = tuple(_differences(was, now, aspects))
            changes[name] = FlagChange(name, _copy_flag(old, name), _copy_flag(new, name), aspects, differences)
    return MappingProxyType(changes)


def _aspects(flag: FlagDescription | None) -> dict[str, Any]:
    if flag is None:
        return {}
    overrides = {"segment_overrides": flag.segment_overrides, "identity_overrides": flag.identity_overrides}
    return {**flag.state._asdict(), **overrides}


def _copy_flag(environment: Environment | None, name: str) -> Flag | None:
    flag = environment and environment.flags.get(name)
    return replace(flag) if flag else None


def _differences(
    old: FlagDescription | None, new: FlagDescription | None, aspects: frozenset[str]
) -> Iterator[Difference]:
    if old is None or new is None:
        yield Difference("flag", "" if old is None else "there", "" if new is None else "there")
        return
    before, after = _parts(old), _parts(new)
    changed = [what for what in {**before, **after} if before.get(what) != after.get(what)]
    yield from (Difference(what, before.get(what, ""), after.get(what, "")) for what in changed)
    for aspect, beginning in SHOWN_AS.items():  # a segment's rules, an identity's state
        if aspect in aspects and not any(what.startswith(beginning) for what in changed):
            yield Difference(aspect.replace("_", " "))


def _parts(flag: FlagDescription) -> dict[str, str]:
    """Return what is shown of a flag, by what it is called."""
    parts = _state_parts(flag.state)
    for override in flag.segment_overrides:
        whose = f"segment {override.segment}: "
        parts |= _state_parts(override.state, whose)
        parts[f"{whose}priority"] = "" if override.priority is None else f"{override.priority:g}"
    return {**parts, "identity overrides": str(flag.identities or "")}


def _state_parts(state: State, whose: str = "") -> dict[str, str]:
    parts = {f"{whose}state": "on" if state.enabled else "off", f"{whose}value": state.value}
    for variant in state.variants:
        parts[f"{whose}variant {variant.label}"] = f"{variant.percentage:g} %: {variant.value}"
    return parts
