"""What differs between two snapshots, flag by flag: the one comparison that signals, history and log read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from flagsmith.models import Flag

from ..compat import gettext_noop as _
from .overview import FlagDescription, State
from .snapshot import Environment, Snapshot

SHOWN_AS = {  # the beginnings of what shows that an aspect differs, and what is shown where none of them does
    "variants": ("variant ", _("variants")),
    "segment_overrides": ("segment ", _("segment overrides")),
    "identity_overrides": ("identity ", _("identity overrides")),
}


@dataclass(frozen=True)
class Difference:
    """One part of a flag, as texts for a person: an empty text is nothing, and both are where it can't be shown.

    `part` is a word in English, which the admin page translates; `segment` and `variant` name those that it is of.
    """

    part: str
    old: str = ""
    new: str = ""
    segment: str = ""
    variant: str = ""

    @property
    def what(self) -> str:
        """The part with its names: "segment gold_members: variant blue"."""
        part = f"{self.part} {self.variant}" if self.variant else self.part
        return f"segment {self.segment}: {part}" if self.segment else part


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
        there = _("there")
        yield Difference(_("flag"), "" if old is None else there, "" if new is None else there)
        return
    before, after = _parts(old), _parts(new)
    changed = [part for part in {**before, **after} if before.get(part) != after.get(part)]
    yield from (replace(part, old=before.get(part, ""), new=after.get(part, "")) for part in changed)
    for aspect, (beginning, part) in SHOWN_AS.items():  # a segment's rules, an identity's state
        if aspect in aspects and not any(each.what.startswith(beginning) for each in changed):
            yield Difference(part)


def _parts(flag: FlagDescription) -> dict[Difference, str]:
    """Return what is shown of a flag: a text for each part, which is a `Difference` without its texts."""
    parts = _state_parts(flag.state)
    for override in flag.segment_overrides:
        parts |= _state_parts(override.state, override.segment)
        priority = "" if override.priority is None else f"{override.priority:g}"
        parts[Difference(_("priority"), segment=override.segment)] = priority
    return {**parts, Difference(_("identity overrides")): str(flag.identities or "")}


def _state_parts(state: State, segment: str = "") -> dict[Difference, str]:
    parts = {
        Difference(_("state"), segment=segment): _("on") if state.enabled else _("off"),
        Difference(_("value"), segment=segment): state.value,
    }
    for variant in state.variants:
        part = Difference(_("variant"), segment=segment, variant=variant.label)
        parts[part] = f"{variant.percentage:g} %: {variant.value}"
    return parts
