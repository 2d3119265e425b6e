"""An override belongs to exactly the identity that Flagsmith names."""

from __future__ import annotations

import copy
from typing import Any

from flagsmith import Flagsmith
from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.environment.identity_overrides import TRAIT
from django_flagsmith_realtime.environment.snapshot import Environment, parse_document
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.documents import RECORDED

STATE = next(state for state in RECORDED["feature_states"] if state["feature"]["name"] == "banner_text")
REASON = "TARGETING_MATCH; segment=identity_overrides"
ALIKE = [
    "42",
    "042",
    "0042",
    "42.0",
    "007",
    "7",
    "1.5",
    "1.50",
    "-1",
    "-2",
    "true",
    "True",
    "1",
    "",
    " 42",
    "\u0664\u0662",
]
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([-1.0, 1.0]), st.sampled_from(ALIKE))


def document(values: dict[str, Any]) -> Any:
    """Return the recorded document with an override of one flag for each identifier."""
    changed = recordings.document()
    changed["identity_overrides"] = [
        {
            "identifier": identifier,
            "identity_features": [{**STATE, "enabled": True, "feature_state_value": value}],
        }
        for identifier, value in values.items()
    ]
    return changed


def environment_of(values: dict[str, Any]) -> Environment:
    return parse_document(document(values)).environment


def read(environment: Environment, identifier: str) -> tuple[Any, type, str | None, str | None]:
    flag = environment.identity_flags(identifier, {}).get_flag("banner_text")
    return flag.value, type(flag.value), flag.reason, getattr(flag, "variant", None)


@given(st.dictionaries(st.sampled_from(ALIKE), VALUES, min_size=1))
def test_it_is_for_that_identifier_alone_whatever_looks_like_it(values: dict[str, Any]) -> None:
    environment = environment_of(values)
    for identifier in ALIKE:
        value, kind, reason, _ = read(environment, identifier)
        assert (reason == REASON) is (identifier in values)
        if identifier in values:
            assert (value, kind) == (values[identifier], type(values[identifier]))


@each_case(
    "values",
    [
        {"u1": -1, "u2": -2},  # their hashes are the same
        {"u1": 1, "u2": True},
        {"u1": 1, "u2": 1.0},
        {"u1": "1", "u2": 1},
    ],
)
def test_values_that_python_confuses_stay_apart(values: dict[str, Any]) -> None:
    environment = environment_of(values)
    assert {name: read(environment, name)[:2] for name in values} == {
        name: (each, type(each)) for name, each in values.items()
    }


def test_reason_and_variant_are_the_ones_of_the_official_sdk() -> None:
    body = document({"alice": "hello"})

    class AsSent:
        def get_environment(self) -> Any:
            return copy.deepcopy(body)

    theirs = Flagsmith(offline_mode=True, offline_handler=AsSent()).get_identity_flags("alice").get_flag("banner_text")
    assert read(environment_of({"alice": "hello"}), "alice") == (
        theirs.value,
        str,
        theirs.reason,
        getattr(theirs, "variant", None),
    )


def test_nobody_gets_it_by_a_trait() -> None:
    environment = environment_of({"alice": "hello"})
    claimed = {TRAIT: environment._override_traits["alice"]}
    assert environment.identity_flags("alice", {}).get_flag("banner_text").reason == REASON
    assert environment.identity_flags("mallory", claimed).get_flag("banner_text").reason != REASON


def test_it_comes_before_a_segment() -> None:
    environment = environment_of({"42": "mine"})
    flags = environment.identity_flags("42", {"plan": "gold"})
    assert flags.get_flag("banner_text").value == "mine"
    others = environment.identity_flags("43", {"plan": "gold"})
    assert others.get_flag("banner_text").reason == "TARGETING_MATCH; segment=gold_members"
