"""Reading an environment document: its shape checked, only what this package uses kept.

Pure: the JSON of `GET environment-document/` in, plain data out. What is not in that shape raises
`InvalidDocument` with the path to it, so that nothing unread ever reaches the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..exceptions import InvalidDocument
from .timestamps import parse_iso

T = TypeVar("T")
Plain = dict[str, Any]

MISSING = object()
SCALAR = (str, int, float, bool, type(None))
MAX_DEPTH = 32  # of rules within rules; Flagsmith's have two levels


def trim(document: object) -> Plain:
    """Return the document with only what this package uses, in the same shape; raise `InvalidDocument`."""
    root = _Node(document)
    project = root.child("project")
    return {
        "api_key": root.get("api_key", str),
        "name": root.get("name", str),
        "project": {
            "segments": project.each("segments", _segment),
            "server_key_only_feature_ids": project.numbers("server_key_only_feature_ids"),
        },
        "feature_states": root.each("feature_states", _feature_state),
        "identity_overrides": root.each("identity_overrides", _identity_override, default=[]),
    }


def read_updated_at(document: object) -> int:
    """Return when the environment was last changed, in microseconds; raise `InvalidDocument`."""
    text = _Node(document).get("updated_at", str)
    try:
        return parse_iso(text)
    except ValueError as error:
        raise InvalidDocument(f"Flagsmith's answer is no environment document: updated_at is {error}.") from error


def server_key_only(trimmed: Plain) -> frozenset[str]:
    """Return the names of the features that Flagsmith gives to nobody but a server."""
    ids = set(trimmed["project"]["server_key_only_feature_ids"])
    return frozenset(state["feature"]["name"] for state in trimmed["feature_states"] if state["feature"]["id"] in ids)


def targeted(trimmed: Plain) -> frozenset[str]:
    """Return the names of the flags that a segment, an identity or a percentage may decide."""
    owners = trimmed["project"]["segments"], trimmed["identity_overrides"]
    states = [state for segment in owners[0] for state in segment["feature_states"]]
    states += [state for identity in owners[1] for state in identity["identity_features"]]
    states += [state for state in trimmed["feature_states"] if "multivariate_feature_state_values" in state]
    return frozenset(state["feature"]["name"] for state in states)


def may_read_flags(owner: Plain) -> bool:
    """Tell whether a rule of a segment, or one within it, looks at more than traits, identity and environment."""
    return any(
        path.startswith("$.") and not path.startswith(("$.identity.", "$.environment."))
        for rule in owner["rules"]
        for path in (condition["property_"] or "" for condition in rule["conditions"])
    ) or any(map(may_read_flags, owner["rules"]))


class _Node:
    """One JSON object of the document, with the way to it for errors."""

    def __init__(self, value: object, parent: _Node | None = None, key: str = "", index: int | None = None) -> None:
        self.parent = parent
        self.key = key
        self.index = index
        if not isinstance(value, (dict, Mapping)):  # dict first: that is the faster question
            raise InvalidDocument(
                f"Flagsmith's answer is no environment document: {self.path or 'the body'} is {_name(value)}, "
                "not an object."
            )
        self.value: Mapping[str, Any] = value

    @property
    def path(self) -> str:
        place = self.key if self.index is None else f"{self.key}[{self.index}]"
        before = self.parent.path if self.parent else ""
        return f"{before}.{place}" if before else place

    def get(self, key: str, *types: type, default: object = MISSING) -> Any:
        found = self.value.get(key, default)
        if type(found) in types:  # exactly: true is not a number
            return found
        if found is None and default is not MISSING:
            return default
        raise InvalidDocument(f"Flagsmith's answer is no environment document: {self._at(key)} is {_name(found)}.")

    def child(self, key: str) -> _Node:
        return _Node(self.value.get(key, MISSING), self, key)

    def each(self, key: str, read: Callable[[_Node], T], default: object = MISSING) -> list[T]:
        items = self.get(key, list, default=default)
        return [read(_Node(item, self, key, index)) for index, item in enumerate(items)]

    def numbers(self, key: str) -> list[int]:
        items = self.get(key, list, default=[])
        for index, item in enumerate(items):
            if type(item) is not int:
                raise InvalidDocument(
                    f"Flagsmith's answer is no environment document: {self._at(key)}[{index}] is {_name(item)}."
                )
        return list(items)

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _name(value: object) -> str:
    return "missing" if value is MISSING else "null" if value is None else type(value).__name__


def _segment(node: _Node) -> Plain:
    return {
        "id": node.get("id", int),
        "name": node.get("name", str),
        "rules": node.each("rules", _rule),
        "feature_states": node.each("feature_states", _feature_state, default=[]),
    }


def _rule(node: _Node) -> Plain:
    if node.path.count(".rules[") > MAX_DEPTH:
        raise InvalidDocument("Flagsmith's answer is no environment document: a segment's rules are nested too deep.")
    return {
        "type": node.get("type", str),
        "rules": node.each("rules", _rule, default=[]),
        "conditions": node.each("conditions", _condition, default=[]),
    }


def _condition(node: _Node) -> Plain:
    return {
        "operator": node.get("operator", str),
        "value": node.get("value", list, *SCALAR, default=None),
        "property_": node.get("property_", str, default=None),
    }


def _feature_state(node: _Node) -> Plain:
    variants = node.each("multivariate_feature_state_values", _variant, default=[])
    # The SDK hashes the state's id, else its uuid, to split by percentage: only where there are variants.
    state = {**_bare_state(node), "featurestate_uuid": _hashed_id(node) if variants else ""}
    if variants:
        state["multivariate_feature_state_values"] = variants
    if node.value.get("feature_segment") is not None:
        state["feature_segment"] = {"priority": node.child("feature_segment").get("priority", int, float)}
    return state


def _bare_state(node: _Node) -> Plain:
    feature = node.child("feature")
    return {
        "feature": {"id": feature.get("id", int), "name": feature.get("name", str)},
        "enabled": node.get("enabled", bool),
        "feature_state_value": node.get("feature_state_value", *SCALAR),
    }


def _hashed_id(node: _Node) -> str:
    return str(node.get("django_id", int, default=None) or node.get("featurestate_uuid", str))


def _variant(node: _Node) -> Plain:
    option = node.child("multivariate_feature_option")
    variant_id = node.get("id", int, default=None)  # the SDK orders variants by it, else by the uuid
    return {
        "multivariate_feature_option": {
            "value": option.get("value", *SCALAR),
            "key": option.get("key", str, default=None),
        },
        "percentage_allocation": node.get("percentage_allocation", int, float),
        "id": variant_id,
        "mv_fs_value_uuid": "" if variant_id else node.get("mv_fs_value_uuid", str),
    }


def _identity_override(node: _Node) -> Plain:
    return {
        "identifier": node.get("identifier", str),
        "identity_features": node.each("identity_features", _bare_state),  # without variants, as the SDK reads them
    }
