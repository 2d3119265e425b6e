"""The document's shape, what is kept of it, and its digest."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.environment.document import (
    may_read_flags,
    normalize,
    parse_updated_at,
    server_key_only,
)
from django_flagsmith_realtime.environment.snapshot import Environment
from django_flagsmith_realtime.exceptions import InvalidDocument
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.strategies import texts

Body = dict[str, Any]
Edit = Callable[[Body], object]
RECORDED = recordings.document()


def digest(normalized: Body) -> str:
    return Environment(normalized).version


def state(body: Body, name: str) -> Body:
    return next(state for state in body["feature_states"] if state["feature"]["name"] == name)


def segment(body: Body, name: str) -> Body:
    return next(segment for segment in body["project"]["segments"] if segment["name"] == name)


def condition(body: Body, name: str) -> Body:
    found: Body = segment(body, name)["rules"][0]["rules"][0]["conditions"][0]
    return found


def variant(body: Body, index: int = 0) -> Body:
    found: Body = state(body, "checkout_button")["multivariate_feature_state_values"][index]
    return found


def edited(edit: Edit) -> Body:
    body = recordings.document()
    edit(body)
    return body


def shuffled(value: Any) -> Any:
    """Return plain data with all its lists in another order."""
    if isinstance(value, dict):
        return {name: shuffled(item) for name, item in reversed(value.items())}
    if isinstance(value, list):
        items = [shuffled(item) for item in value]
        random.Random(7).shuffle(items)
        return items
    return value


# What is kept


def test_normalizing_twice_is_normalizing_once_and_leaves_its_argument_as_it_was() -> None:
    body = recordings.document()
    assert normalize(normalize(body)) == normalize(body)
    assert body == RECORDED


def test_what_evaluation_does_not_need_is_not_kept() -> None:
    kept = json.dumps(normalize(RECORDED))
    for name in (
        "identity_traits",
        "created_date",
        "identity_uuid",
        "updated_at",
        "organisation",
        "hide_disabled_flags",
    ):
        assert name not in kept
    assert RECORDED["feature_states"][0]["featurestate_uuid"] not in kept
    assert len(kept) < len(json.dumps(RECORDED))


def test_lists_that_are_missing_or_null_are_empty() -> None:
    def remove(body: Body) -> None:
        del body["identity_overrides"]
        segment(body, "ten_percent")["feature_states"] = None
        del segment(body, "app_v2")["feature_states"]
        state(body, "dark_mode")["multivariate_feature_state_values"] = None
        segment(body, "gold_members")["rules"][0]["conditions"] = None

    normalized = normalize(edited(remove))
    assert normalized["identity_overrides"] == []
    assert segment(normalized, "ten_percent")["feature_states"] == []
    assert normalize({**RECORDED, "identity_overrides": None})["identity_overrides"] == []


def test_the_mark_of_server_side_features_is_kept() -> None:
    assert server_key_only(normalize(RECORDED)) == {"server_only_secret"}
    for nothing in ({}, {"server_key_only_feature_ids": None}):
        assert server_key_only(normalize({**RECORDED, "project": {"segments": [], **nothing}})) == set()


@each_case(
    ("path", "expected"),
    [
        ("$.flags.dark_mode.enabled", True),
        ("$['flags'].dark_mode.enabled", False),  # a trait's name, as the SDK reads it
        ("$..enabled", True),
        ("$.identity.identifier", False),
        ("$.environment.name", False),
        ("plan", False),
        (None, False),
    ],
)
def test_rules_that_may_read_other_flags_are_found(path: str | None, expected: bool) -> None:
    rule = normalize(edited(lambda body: condition(body, "gold_members").update(property_=path)))["project"][
        "segments"
    ][0]
    assert may_read_flags(rule) is expected


# What is refused

WRONG: list[tuple[Edit, str]] = [
    (lambda body: body.pop("api_key"), "api_key is missing"),
    (lambda body: body.update(api_key=None), "api_key is null"),
    (lambda body: body.update(name=5), "name is int"),
    (lambda body: body.pop("project"), "project is missing"),
    (lambda body: body.update(project=[]), "project is list"),
    (lambda body: body["project"].pop("segments"), "project.segments is missing"),
    (lambda body: body["project"].update(segments={}), "project.segments is dict"),
    (lambda body: body["project"].update(segments=["x"]), "project.segments[0] is str"),
    (
        lambda body: body["project"].update(server_key_only_feature_ids={}),
        "project.server_key_only_feature_ids is dict",
    ),
    (
        lambda body: body["project"]["server_key_only_feature_ids"].append("1"),
        "project.server_key_only_feature_ids[1] is str",
    ),
    (
        lambda body: body["project"]["server_key_only_feature_ids"].append(True),
        "project.server_key_only_feature_ids[1] is bool",
    ),
    (lambda body: segment(body, "ten_percent").update(id="2"), "project.segments[1].id is str"),
    (lambda body: segment(body, "ten_percent").pop("rules"), "project.segments[1].rules is missing"),
    (
        lambda body: segment(body, "ten_percent")["rules"][0].update(type=None),
        "project.segments[1].rules[0].type is null",
    ),
    (
        lambda body: condition(body, "ten_percent").pop("operator"),
        "rules[0].rules[0].conditions[0].operator is missing",
    ),
    (lambda body: condition(body, "ten_percent").update(value={}), "conditions[0].value is dict"),
    (lambda body: body.pop("feature_states"), "feature_states is missing"),
    (lambda body: body.update(feature_states=None), "feature_states is null"),
    (lambda body: body["feature_states"].append(None), "feature_states[22] is null"),
    (lambda body: body["feature_states"][3].pop("feature"), "feature_states[3].feature is missing"),
    (lambda body: body["feature_states"][3]["feature"].update(name=None), "feature_states[3].feature.name is null"),
    (lambda body: body["feature_states"][3]["feature"].update(id="4"), "feature_states[3].feature.id is str"),
    (lambda body: body["feature_states"][3].update(enabled="true"), "feature_states[3].enabled is str"),
    (lambda body: body["feature_states"][3].update(enabled=1), "feature_states[3].enabled is int"),
    (lambda body: body["feature_states"][3].pop("feature_state_value"), "feature_state_value is missing"),
    (lambda body: body["feature_states"][3].update(feature_state_value={}), "feature_state_value is dict"),
    (lambda body: body["feature_states"][3].update(feature_segment=[]), "feature_states[3].feature_segment is list"),
    (lambda body: body["feature_states"][3].update(feature_segment={}), "feature_segment.priority is missing"),
    (lambda body: variant(body).pop("multivariate_feature_option"), "multivariate_feature_option is missing"),
    (lambda body: variant(body).update(percentage_allocation="30"), "percentage_allocation is str"),
    (lambda body: variant(body).update(id=None, mv_fs_value_uuid=None), "mv_fs_value_uuid is null"),
    (
        lambda body: state(body, "checkout_button").update(django_id=0, featurestate_uuid=None),
        "featurestate_uuid is null",
    ),
    (lambda body: body.update(identity_overrides={}), "identity_overrides is dict"),
    (lambda body: body["identity_overrides"][0].pop("identifier"), "identity_overrides[0].identifier is missing"),
    (lambda body: body["identity_overrides"][0].update(identity_features=None), "[0].identity_features is null"),
]


@each_case(("edit", "words"), WRONG)
def test_a_wrong_type_is_refused_with_the_path_to_it(edit: Edit, words: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        normalize(edited(edit))
    assert words in str(caught.value)


@each_case(("body", "shown"), [(None, "null"), ([], "list"), ("x", "str"), (5, "int")])
def test_a_body_that_is_not_an_object_is_refused(body: object, shown: str) -> None:
    with pytest.raises(InvalidDocument, match=f"the body is {shown}, not an object"):
        normalize(body)


def test_rules_may_be_nested_but_not_without_end() -> None:
    def nest(body: Body, depth: int) -> None:
        rule: Body = {"type": "ALL", "rules": [], "conditions": []}
        for _ in range(depth):
            rule = {"type": "ALL", "rules": [rule], "conditions": []}
        segment(body, "ten_percent")["rules"] = [rule]

    normalize(edited(lambda body: nest(body, 10)))
    with pytest.raises(InvalidDocument, match="nested too deep"):
        normalize(edited(lambda body: nest(body, 400)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PATHS: list[tuple[Any, ...]] = []


def walk(value: Any, path: tuple[Any, ...] = ()) -> None:
    PATHS.append(path)
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        walk(item, (*path, key))


walk(RECORDED)


@pytest.mark.slow
@given(st.sampled_from(PATHS[1:]), JSON)
def test_whatever_stands_anywhere_is_kept_or_refused(path: tuple[Any, ...], value: Any) -> None:
    body = target = recordings.document()
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    try:
        normalized = normalize(body)
    except InvalidDocument:
        return
    assert repr(normalize(normalized)) == repr(normalized)
    assert len(digest(normalized)) == 32


@each_case(
    ("value", "words"),
    [(True, "bool"), ([], "list"), ("soon", "'soon'"), ("", "''"), (-1.5, "-1.5"), ("0001-01-01T00:00:00Z", "'0001")],
)
def test_a_date_that_is_not_one_is_refused_by_name(value: object, words: str) -> None:
    with pytest.raises(InvalidDocument, match="updated_at is ") as caught:
        parse_updated_at({"updated_at": value})
    assert words in str(caught.value)


@each_case(
    ("body", "microseconds"),
    [
        ({}, 0),
        ({"updated_at": None}, 0),
        ({"updated_at": 1795372800}, 1_795_372_800_000_000),
        ({"updated_at": 1795372800.000001}, 1_795_372_800_000_001),
        ({"updated_at": 1795372800000}, 1_795_372_800_000_000),
        ({"updated_at": "1795372800.5"}, 1_795_372_800_500_000),
        ({"updated_at": "2026-11-22T18:40:00Z"}, 1_795_372_800_000_000),
    ],
)
def test_a_date_may_be_missing_or_a_number(body: Body, microseconds: int) -> None:
    assert parse_updated_at(body) == microseconds


@each_case("name", [None, "missing"])
def test_a_document_may_have_no_name(name: str | None) -> None:
    body = recordings.document()
    body["name"] = name
    if name:
        del body["name"]
    assert normalize(body)["name"] == "(unnamed)"


# The digest


def set_feature_ids(body: Body) -> None:
    for item in body["feature_states"]:
        item["feature"]["id"] += 1_000
    body["project"]["server_key_only_feature_ids"] = [1_020]


def move_dates_and_traits(body: Body) -> None:
    body["updated_at"] = "2027-01-01T00:00:00Z"
    for override in body["identity_overrides"]:
        override.update(created_date="2027-01-01T00:00:00Z", identity_uuid="x", identity_traits=[{"trait_key": "a"}])


def move_ids_without_variants(body: Body) -> None:
    for item in body["feature_states"]:
        if not item["multivariate_feature_state_values"]:
            item.update(django_id=9_999, featurestate_uuid="00000000-0000-4000-8000-000000000000")


UNSEEN: dict[str, Edit] = {
    "the order of lists": lambda body: body.update(shuffled(body)),
    "dates and traits": move_dates_and_traits,
    "feature ids": set_feature_ids,
    "ids of states without variants": move_ids_without_variants,
    "ids of variants' options": lambda body: variant(body)["multivariate_feature_option"].update(id=77),
    "uuids of variants that have an id": lambda body: variant(body).update(mv_fs_value_uuid="x"),
    "uuid of a state with variants that has an id": lambda body: state(body, "checkout_button").update(
        featurestate_uuid="x"
    ),
    "types of features": lambda body: state(body, "dark_mode")["feature"].update(type="MULTIVARIATE"),
    "the id": lambda body: body.update(id=99),
    "a mark on a feature that is not there": lambda body: body["project"]["server_key_only_feature_ids"].append(999),
    "a mark that is there twice": lambda body: body["project"]["server_key_only_feature_ids"].append(20),
    "the project": lambda body: body["project"].update(name="x", id=5, enable_realtime_updates=True),
    "unknown keys": lambda body: body.update(new={"key": 1}),
}
SEEN: dict[str, Edit] = {
    "the key of the environment": lambda body: body.update(api_key="x"),
    "the name of the environment": lambda body: body.update(name="x"),
    "a feature that becomes server-side only": lambda body: body["project"]["server_key_only_feature_ids"].append(1),
    "a feature that was server-side only": lambda body: body["project"]["server_key_only_feature_ids"].clear(),
    "enabled": lambda body: state(body, "dark_mode").update(enabled=False),
    "a value": lambda body: state(body, "banner_text").update(feature_state_value="x"),
    "a value that becomes null": lambda body: state(body, "empty_string").update(feature_state_value=None),
    "a number that becomes text": lambda body: state(body, "max_cart_items").update(feature_state_value="25"),
    "the name of a feature": lambda body: state(body, "dark_mode")["feature"].update(name="x"),
    "a new feature": lambda body: body["feature_states"].append(
        {**state(body, "dark_mode"), "feature": {"id": 99, "name": "new"}}
    ),
    "a removed feature": lambda body: body["feature_states"].pop(),
    "the operator of a condition": lambda body: condition(body, "gold_members").update(operator="NOT_EQUAL"),
    "the value of a condition": lambda body: condition(body, "gold_members").update(value="silver"),
    "the property of a condition": lambda body: condition(body, "gold_members").update(property_="tier"),
    "the type of a rule": lambda body: segment(body, "gold_members")["rules"][0].update(type="NONE"),
    "a rule within a rule": lambda body: segment(body, "gold_members")["rules"][0]["rules"].pop(),
    "the percentage of a segment": lambda body: condition(body, "ten_percent").update(value="11"),
    "the id of a segment": lambda body: segment(body, "ten_percent").update(id=77),
    "the name of a segment": lambda body: segment(body, "ten_percent").update(name="x"),
    "a segment override": lambda body: segment(body, "ten_percent")["feature_states"][0].update(
        feature_state_value="x"
    ),
    "whether a segment override is on": lambda body: segment(body, "ten_percent")["feature_states"][0].update(
        enabled=False
    ),
    "the priority of a segment override": lambda body: segment(body, "ten_percent")["feature_states"][0].update(
        feature_segment={"priority": 7}
    ),
    "a removed segment override": lambda body: segment(body, "ten_percent")["feature_states"].pop(),
    "a variant's percentage": lambda body: variant(body).update(percentage_allocation=31.0),
    "a variant's value": lambda body: variant(body)["multivariate_feature_option"].update(value="x"),
    "a variant's key": lambda body: variant(body)["multivariate_feature_option"].update(key="x"),
    "a variant's id": lambda body: variant(body).update(id=7),
    "the uuid of a variant without an id": lambda body: variant(body).update(id=None),
    "a removed variant": lambda body: state(body, "checkout_button")["multivariate_feature_state_values"].pop(),
    "the id of a state with variants": lambda body: state(body, "checkout_button").update(django_id=7),
    "an identity override": lambda body: body["identity_overrides"][0]["identity_features"][0].update(enabled=False),
    "the identity of an override": lambda body: body["identity_overrides"][0].update(identifier="x"),
    "a removed identity override": lambda body: body["identity_overrides"].pop(),
}


DIGEST = digest(normalize(RECORDED))


@each_case("edit", UNSEEN.values())
def test_the_digest_does_not_see(edit: Edit) -> None:
    assert edited(edit) != RECORDED
    assert digest(normalize(edited(edit))) == DIGEST


@each_case("edit", SEEN.values())
def test_the_digest_sees(edit: Edit) -> None:
    assert digest(normalize(edited(edit))) != DIGEST


def test_the_digest_tells_all_kinds_of_values_apart() -> None:
    values = [1, "1", True, 1.5, "true", None, "null", "", 0, False]
    bodies = [
        edited(lambda body, value=value: state(body, "dark_mode").update(feature_state_value=value)) for value in values
    ]  # type: ignore[misc]
    assert len({digest(normalize(body)) for body in bodies}) == len(values)


def test_the_digest_is_the_same_in_every_process() -> None:
    assert digest(
        normalize({**RECORDED, "feature_states": [], "identity_overrides": [], "project": {"segments": []}})
    ) == ("16d4b9230d7100ed97f3e3db2535ffe7")
