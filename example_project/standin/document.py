"""Functions that read an environment document, or return a changed copy of it."""

from __future__ import annotations

from datetime import datetime
from types import EllipsisType
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
FeatureState: TypeAlias = dict[str, Any]
Value: TypeAlias = str | int | bool | None

JOINED = {"ALL": " and ", "ANY": " or "}
OPERATORS = {
    "EQUAL": "is",
    "NOT_EQUAL": "is not",
    "GREATER_THAN_INCLUSIVE": "from",
    "LESS_THAN_INCLUSIVE": "up to",
    "REGEX": "matches",
}


class UnknownFlag(LookupError):
    """No feature of the environment has this name."""


def with_flag(
    document: Document,
    name: str,
    *,
    enabled: bool | None = None,
    value: Value | EllipsisType = ...,
    now: datetime,
) -> Document:
    """Return a copy with one flag changed at `now`, or the same object if nothing changes."""
    before = find_state(document, name)
    after = {
        **before,
        "enabled": before["enabled"] if enabled is None else enabled,
        "feature_state_value": before["feature_state_value"] if value is ... else value,
    }
    if _is_same(before, after):
        return document
    states = [after if state is before else state for state in document["feature_states"]]
    return {**document, "feature_states": states, "updated_at": now.isoformat(timespec="microseconds")}


def find_state(document: Document, name: str) -> FeatureState:
    """Return the feature state of the flag with this name."""
    for state in document["feature_states"]:
        if state["feature"]["name"] == name:
            found: FeatureState = state
            return found
    raise UnknownFlag(f"{name!r} is not a feature of this environment")


def updated_at(document: Document) -> float:
    """Return when the document last changed, in seconds of the epoch."""
    return datetime.fromisoformat(document["updated_at"]).timestamp()


def is_server_key_only(document: Document, state: FeatureState) -> bool:
    """Tell whether client-side keys never see this feature."""
    return state["feature"]["id"] in document["project"]["server_key_only_feature_ids"]


def flag_rows(document: Document) -> list[dict[str, Any]]:
    """Return each flag as the page's script needs it."""
    overrides = _segment_overrides(document)
    return [
        {
            "name": state["feature"]["name"],
            "enabled": state["enabled"],
            "value": state["feature_state_value"],
            "server_key_only": is_server_key_only(document, state),
            "variants": [_variant(option) for option in state["multivariate_feature_state_values"]],
            "segments": overrides.get(state["feature"]["name"], []),
        }
        for state in document["feature_states"]
    ]


def _is_same(before: FeatureState, after: FeatureState) -> bool:
    # 1 == True, but a flag that goes from one to the other has changed.
    types = {type(before["feature_state_value"]), type(after["feature_state_value"])}
    return before == after and len(types) == 1


def _variant(option: dict[str, Any]) -> dict[str, Any]:
    return {
        "value": option["multivariate_feature_option"]["value"],
        "percentage": option["percentage_allocation"],
    }


def _segment_overrides(document: Document) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for segment in document["project"]["segments"]:
        for state in segment["feature_states"]:
            override = {"name": segment["name"], "enabled": state["enabled"], "value": state["feature_state_value"]}
            found.setdefault(state["feature"]["name"], []).append(override)
    return found


def segment_rows(document: Document) -> list[dict[str, str]]:
    """Return each segment with its rule in words."""
    return [
        {"name": segment["name"], "rule": _in_words({"type": "ALL", "rules": segment["rules"]})}
        for segment in document["project"]["segments"]
    ]


def _in_words(rule: dict[str, Any]) -> str:
    """Return a rule, and the rules nested in it, as a phrase."""
    parts = [*map(_in_words, rule["rules"]), *map(_condition_in_words, rule.get("conditions", ()))]
    if rule["type"] == "NONE":
        return f"not ({' or '.join(parts)})"
    needs_brackets = len(parts) > 1 and rule["type"] == "ALL"
    grouped = (f"({part})" if needs_brackets and " or " in part and part[:5] != "not (" else part for part in parts)
    return JOINED[rule["type"]].join(grouped)


def _condition_in_words(condition: dict[str, Any]) -> str:
    operator, value = condition["operator"], condition["value"]
    if operator == "PERCENTAGE_SPLIT":
        return f"{value} % of identities"
    words = OPERATORS.get(operator, operator.lower().replace("_", " "))
    return f"{condition['property_']} {words}" + ("" if words.endswith(" set") else f" {value}")
