"""What differs between two snapshots."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import getitem
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from django_flagsmith_realtime.environment.diff import FlagChange, diff
from django_flagsmith_realtime.environment.document import normalize
from django_flagsmith_realtime.environment.snapshot import Environment, parse_document
from django_flagsmith_realtime.exceptions import InvalidDocument
from tests.conftest import EXAMPLES
from tests.support import recordings
from tests.support.cases import each_case
from tests.unit.environment.test_document import (
    SEEN,
    Body,
    Edit,
    condition,
    edited,
    segment,
    state,
    variant,
)

RECORDED = recordings.document()
BEFORE = Environment(normalize(RECORDED))


def changes_of(edit: Edit) -> Any:
    return diff(BEFORE, Environment(normalize(edited(edit))))


def aspects_of(edit: Edit) -> dict[str, set[str]]:
    return {name: set(change.aspects) for name, change in changes_of(edit).items()}


ASPECTS: dict[str, tuple[Edit, dict[str, set[str]]]] = {
    "enabled": (lambda body: state(body, "dark_mode").update(enabled=False), {"dark_mode": {"enabled"}}),
    "a value": (lambda body: state(body, "banner_text").update(feature_state_value="x"), {"banner_text": {"value"}}),
    "text that becomes a number": (
        lambda body: state(body, "max_cart_items").update(feature_state_value="25"),
        {"max_cart_items": {"value"}},
    ),
    "a bool that becomes a number": (
        lambda body: state(body, "bool_value").update(feature_state_value=1),
        {"bool_value": {"value"}},
    ),
    "both": (
        lambda body: state(body, "dark_mode").update(enabled=False, feature_state_value="x"),
        {"dark_mode": {"enabled", "value"}},
    ),
    "a variant's percentage": (
        lambda body: variant(body).update(percentage_allocation=31.0),
        {"checkout_button": {"variants"}},
    ),
    "a variant's value": (
        lambda body: variant(body)["multivariate_feature_option"].update(value="x"),
        {"checkout_button": {"variants"}},
    ),
    "a segment override": (
        lambda body: segment(body, "ten_percent")["feature_states"][0].update(enabled=False),
        {"banner_text": {"segment_overrides"}},
    ),
    "a removed segment override": (
        lambda body: segment(body, "ten_percent")["feature_states"].clear(),
        {"banner_text": {"segment_overrides"}},
    ),
    "a segment's rule, for all that it overrides": (
        lambda body: condition(body, "gold_members").update(value="silver"),
        {"banner_text": {"segment_overrides"}, "new_checkout": {"segment_overrides"}},
    ),
    "a priority": (
        lambda body: segment(body, "ten_percent")["feature_states"][0].update(feature_segment={"priority": 9}),
        {"banner_text": {"segment_overrides"}},
    ),
    "an identity override": (
        lambda body: body["identity_overrides"][0]["identity_features"][0].update(enabled=False),
        {"new_checkout": {"identity_overrides"}},
    ),
    "an identity's removed overrides": (
        lambda body: body["identity_overrides"].pop(0),
        {"new_checkout": {"identity_overrides"}, "banner_text": {"identity_overrides"}},
    ),
}


@each_case(("edit", "expected"), ASPECTS.values())
def test_a_change_names_what_differs(edit: Edit, expected: dict[str, set[str]]) -> None:
    assert aspects_of(edit) == expected


def test_a_variant_value_of_another_type_is_a_change() -> None:
    def with_value(value: object) -> Environment:
        body = edited(lambda body: variant(body)["multivariate_feature_option"].update(value=value))
        return Environment(normalize(body))

    assert set(diff(with_value(1), with_value(True))) == {"checkout_button"}
    assert set(diff(with_value(1), with_value("1"))) == {"checkout_button"}


@each_case("edit", SEEN.values())
def test_a_change_in_one_place_names_few_flags(edit: Edit) -> None:
    assert len(changes_of(edit)) <= 2


def test_ids_that_move_are_no_change() -> None:
    assert not changes_of(lambda body: state(body, "checkout_button").update(django_id=7))
    assert not changes_of(lambda body: variant(body).update(id=7))


def test_an_override_of_a_flag_that_does_not_exist_is_ignored() -> None:
    override = {
        **copy.deepcopy(segment(RECORDED, "ten_percent")["feature_states"][0]),
        "feature": {"id": 9, "name": "x"},
    }
    assert not changes_of(lambda body: segment(body, "ten_percent")["feature_states"].append(override))


def test_a_new_flag_has_no_old_and_a_removed_one_no_new() -> None:
    def replace(body: Body) -> None:
        body["feature_states"][0]["feature"]["name"] = "light_mode"

    changes = changes_of(replace)
    assert set(changes) == {"dark_mode", "light_mode"}
    assert changes["dark_mode"].old.enabled is True
    assert changes["dark_mode"].new is None
    assert changes["light_mode"].old is None
    assert changes["light_mode"].new.feature_name == "light_mode"


def test_the_first_version_adds_every_flag() -> None:
    changes = diff(None, BEFORE)
    assert set(changes) == set(BEFORE.flags)
    assert all(change.old is None and change.new for change in changes.values())
    assert str(changes["dark_mode"]) == "dark_mode added"


def test_a_change_shows_the_flags_as_the_environment_sees_them() -> None:
    change = changes_of(lambda body: state(body, "banner_text").update(feature_state_value="x"))["banner_text"]
    assert (change.old.value, change.new.value) == ("Welcome to Northwind", "x")
    assert change.new.feature_id == 9


def test_a_receiver_can_change_neither_the_changes_nor_what_others_read() -> None:
    changes = changes_of(lambda body: state(body, "dark_mode").update(enabled=False))
    changes["dark_mode"].old.enabled = "broken"
    assert BEFORE.flags["dark_mode"].enabled is True
    with pytest.raises(TypeError):
        changes["x"] = None


@each_case(
    ("edit", "name", "text"),
    [
        (lambda body: state(body, "dark_mode").update(enabled=False), "dark_mode", "dark_mode (off)"),
        (lambda body: state(body, "new_checkout").update(enabled=True), "new_checkout", "new_checkout (on)"),
        (
            lambda body: state(body, "dark_mode").update(enabled=False, feature_state_value="secret"),
            "dark_mode",
            "dark_mode (off, value)",
        ),
        (lambda body: body["identity_overrides"].pop(0), "banner_text", "banner_text (identity overrides)"),
        (
            lambda body: segment(body, "ten_percent")["feature_states"].clear(),
            "banner_text",
            "banner_text (segment overrides)",
        ),
        (lambda body: body["feature_states"].pop(0), "dark_mode", "dark_mode removed"),
    ],
)
def test_a_change_reads_as_what_happened_and_shows_no_value(edit: Edit, name: str, text: str) -> None:
    assert str(changes_of(edit)[name]) == text


# Properties

FEATURES = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(st.booleans(), st.sampled_from([None, 1, "1", True, 1.5, ""]), st.sampled_from([None, "on", "off"])),
)


def environment_of(features: dict[str, tuple[bool, Any, str | None]]) -> Environment:
    """Return an environment of flags by name: enabled, value, and what an identity's override says."""

    def make_state(name: str, enabled: bool, value: object) -> Body:
        return {"feature": {"id": ord(name), "name": name}, "enabled": enabled, "feature_state_value": value}

    overridden = [make_state(name, said == "on", None) for name, (_, _, said) in features.items() if said]
    return Environment(
        normalize(
            {
                "api_key": "k",
                "name": "n",
                "project": {"segments": []},
                "feature_states": [make_state(name, enabled, value) for name, (enabled, value, _) in features.items()],
                "identity_overrides": [{"identifier": "i", "identity_features": overridden}],
            }
        )
    )


def typed(features: dict[str, Any]) -> dict[str, str]:
    return {name: repr(feature) for name, feature in features.items()}


@given(FEATURES, FEATURES)
def test_a_diff_names_exactly_the_flags_that_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    differing = {name for name in old.keys() | new.keys() if typed(old).get(name) != typed(new).get(name)}
    assert set(diff(environment_of(old), environment_of(new))) == differing


@pytest.mark.slow
@given(FEATURES, FEATURES)
def test_applying_a_diff_to_the_old_flags_gives_the_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = environment_of(old), environment_of(new)
    flags = dict(before.flags)
    for name, change in diff(before, after).items():
        assert flags.pop(name, None) == change.old
        if change.new:
            flags[name] = change.new
    assert {name: repr(flag) for name, flag in flags.items()} == {
        name: repr(flag) for name, flag in after.flags.items()
    }


@given(FEATURES, FEATURES)
def test_a_diff_backwards_swaps_old_and_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    forwards = diff(environment_of(old), environment_of(new))
    backwards = diff(environment_of(new), environment_of(old))
    assert dict(forwards) == {name: swapped(change) for name, change in backwards.items()}


def swapped(change: FlagChange) -> FlagChange:
    differences = tuple(replace(each, old=each.new, new=each.old) for each in change.differences)
    return FlagChange(change.name, change.new, change.old, change.aspects, differences)


# Versions

FEW = {"banner_text", "new_checkout", "max_cart_items", "checkout_button"}  # with each kind of override
PEOPLE = [(identifier, {"plan": "gold", "age": 40}) for identifier in ("user_alice", "user_bob", *map(str, range(8)))]
SMALL = edited(
    lambda body: (
        body["project"]["segments"].remove(segment(body, "app_v2")),
        body.update(feature_states=[each for each in body["feature_states"] if each["feature"]["name"] in FEW]),
    )
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(item, (*path, key))


PLACES: dict[str, list[tuple[Any, ...]]] = {}  # by the name of what is there
for place in places(SMALL):
    PLACES.setdefault(str(place[-1]), []).append(place)


def evaluated(environment: Environment) -> list[str]:
    """Return all that the flags are, for everybody and for some identities."""
    flags = [flag for each in PEOPLE for flag in environment.identity_flags(*each).all_flags()]
    return [repr(replace(flag, feature_id=0)) for flag in (*environment.flags.values(), *flags)]


OF_FEW = parse_document(SMALL).environment
FLAGS_OF_FEW = evaluated(OF_FEW)


@examples(max_examples=5 * EXAMPLES)
@given(
    st.sampled_from(list(PLACES)).flatmap(lambda name: st.sampled_from(PLACES[name])),
    st.sampled_from((True, False, 1, 3, 70.0, "1", "", "gold", "IN", None, [])),
)
def test_a_version_changes_with_all_that_evaluation_uses(place: tuple[Any, ...], value: Any) -> None:
    body = json.loads(json.dumps(SMALL))
    *path, last = place
    reduce(getitem, path, body)[last] = value
    try:
        environment = parse_document(body).environment
    except InvalidDocument:
        assume(False)
    changes = diff(OF_FEW, environment)
    if environment.version == OF_FEW.version:
        assert not changes
        assert evaluated(environment) == FLAGS_OF_FEW
    elif not changes:
        assert unlike_flags(environment) != unlike_flags(OF_FEW)


def unlike_flags(environment: Environment) -> Any:
    """Return what a version tells apart and a diff does not."""
    seeds = [flag.seeds for flag in environment.descriptions.values()]
    return environment.api_key, environment.name, environment.server_key_only, seeds
