"""Parsing of an environment document: its shape is checked, and only what this package uses is kept.

Pure: the JSON of `GET environment-document/` in, plain data out. Another shape raises `InvalidDocument` with the path
to what is wrong, so that nothing unchecked reaches the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..exceptions import InvalidDocument
from .timestamps import parse_time

T = TypeVar("T")
Plain = dict[str, Any]

MISSING = object()
SCALAR = (str, int, float, bool, type(None))
MAX_DEPTH = 32  # of rules within rules: Flagsmith's have two levels, and Python's recursion ends at 1,000 calls


def normalize(body: object) -> Plain:
    """Return the part of a document that this package uses, in the same shape; raise `InvalidDocument`."""
    root = _Node(body)
    project = root.child("project")
    return {
        "api_key": root.get("api_key", str),
        "name": root.get("name", str, default="(unnamed)"),  # older APIs have none
        "project": {
            "id": _int_or_none(project.value.get("id")),  # for a link only: no reason to refuse a document
            "segments": project.each("segments", _segment),
            "server_key_only_feature_ids": project.integers("server_key_only_feature_ids"),
        },
        "feature_states": root.each("feature_states", _feature_state),
        "identity_overrides": root.each("identity_overrides", _identity_override, default=[]),
    }


def parse_updated_at(body: object) -> int:
    """Return when the environment was last changed, in microseconds, 0 if it isn't said; raise `InvalidDocument`."""
    found = _Node(body).get("updated_at", str, int, float, default=None)
    try:
        return 0 if found is None else parse_time(found)
    except ValueError as error:
        raise InvalidDocument(f"updated_at is {error}.") from error


def server_key_only(document: Plain) -> frozenset[str]:
    """Return the names of the features that are marked as server-side only."""
    ids = set(document["project"]["server_key_only_feature_ids"])
    return frozenset(state["feature"]["name"] for state in document["feature_states"] if state["feature"]["id"] in ids)


def may_read_flags(owner: Plain) -> bool:
    """Return whether a rule of a segment, or one within it, may read flags (`$.flags…`)."""
    paths = [condition["property_"] or "" for rule in owner["rules"] for condition in rule["conditions"]]
    return any(
        path.startswith("$.") and not path.startswith(("$.identity.", "$.environment.")) for path in paths
    ) or any(map(may_read_flags, owner["rules"]))


class _Node:
    """One JSON object of the document, and its path for errors."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise InvalidDocument(f"{path or 'the body'} is {_type_name(value)}, not an object.")
        self.value = value
        self.path = path

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def get(self, key: str, *types: type, default: object = MISSING) -> Any:
        found = self.value.get(key, default)
        if type(found) in types:  # exactly: true is not a number
            return found
        if found is None and default is not MISSING:
            return default
        raise InvalidDocument(f"{self.at(key)} is {_type_name(found)}.")

    def child(self, key: str) -> _Node:
        return _Node(self.value.get(key, MISSING), self.at(key))

    def each(self, key: str, parse: Callable[[_Node], T], default: object = MISSING) -> list[T]:
        path = self.at(key)
        return [parse(_Node(item, f"{path}[{i}]")) for i, item in enumerate(self.get(key, list, default=default))]

    def integers(self, key: str) -> list[int]:
        items: list[int] = self.get(key, list, default=[])
        for index, item in enumerate(items):
            if type(item) is not int:
                raise InvalidDocument(f"{self.at(key)}[{index}] is {_type_name(item)}.")
        return items


def _int_or_none(value: object) -> int | None:
    return value if type(value) is int else None


def _type_name(value: object) -> str:
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
        raise InvalidDocument(f"a segment's rules are nested too deep: more than {MAX_DEPTH} levels.")
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
    state = {**_bare_state(node), "featurestate_uuid": ""}  # the SDK needs one
    if variants := node.each("multivariate_feature_state_values", _variant, default=[]):
        state["multivariate_feature_state_values"] = variants
        # The SDK hashes this id to split by percentage, and the uuid where there is none.
        state["featurestate_uuid"] = str(node.get("django_id", int, default=None) or node.get("featurestate_uuid", str))
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
