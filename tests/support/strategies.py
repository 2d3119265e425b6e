"""Environment documents and identities as hypothesis makes them up, in the shape that Flagsmith sends."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import strategies as st

Plain = dict[str, Any]

FEATURES = ("new_checkout", "banner", "checkout-button", "Größe", "機能", "max items", "🚀")
IDENTIFIERS = ("alice", "bob", "ünï", "42", "042", "1.5", "007", "")
WORDS = ("gold", "silver", "2.1.0", "true", "7", "3.5", "")
TRAITS = ("plan", "age", "naïve key")

# `st.text()` finds the same letters by way of UTF-8: 2 s of each process that runs in a new checkout.
texts = partial(st.text, st.characters(exclude_categories=["Cs"]))
confused = st.sampled_from((-1, -2, 1, True))  # by Python: two have the same hash, two are equal
values = st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.sampled_from(WORDS) | texts(max_size=8)
uuids = st.uuids(version=4).map(str)
ids = st.integers(1, 10_000)

# Conditions

VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(
        (
            "EQUAL",
            "NOT_EQUAL",
            "GREATER_THAN",
            "GREATER_THAN_INCLUSIVE",
            "LESS_THAN",
            "LESS_THAN_INCLUSIVE",
        ),
        st.sampled_from((*WORDS, "2.0.0:semver", "no:semver", "False", "alice")),
    ),
    **dict.fromkeys(("CONTAINS", "NOT_CONTAINS"), st.sampled_from(("o", "gold", ".", ""))),
    "IN": st.sampled_from(
        ("gold,silver", '["gold", "7", "ünï"]', ["gold", "alice", "7"], ["silver", 7, 3.5, True], "[broken", "7")
    ),
    "REGEX": st.sampled_from(("^g", "[0-9]+$", ".*", "Gold|silver", r"\d\.\d", "(broken")),
    "MODULO": st.sampled_from(("2|0", "2|1", "3.5|0", "0|0", "2", "x|y")),
    "PERCENTAGE_SPLIT": st.sampled_from(("0", "10", "50", "99.9", "100", "many")),
    "IS_SET": st.none() | st.just(""),
    "IS_NOT_SET": st.none() | st.just(""),
}
PATHS = (
    "$.identity.identifier",
    "$.identity.key",
    "$.identity.traits.plan",
    "$.environment.name",
    "$.[broken",
)


@st.composite
def conditions(draw: st.DrawFn, *, features: tuple[str, ...]) -> Plain:
    operator = draw(st.sampled_from(tuple(VALUES)))
    names = st.sampled_from((*TRAITS, *TRAITS, *PATHS))
    if operator == "PERCENTAGE_SPLIT":
        names = st.none() | st.just("") | names
    elif features:
        name, part = draw(st.sampled_from(features)), draw(st.sampled_from(("enabled", "value", "variant")))
        names = st.just(f"$.flags['{name}'].{part}")
    return {"operator": operator, "property_": draw(names), "value": draw(VALUES[operator])}


@st.composite
def rules(draw: st.DrawFn, depth: int = 2, *, features: tuple[str, ...] = ()) -> Plain:
    inner = draw(st.lists(rules(depth - 1, features=features), max_size=2)) if depth else []
    return {
        "type": draw(st.sampled_from(("ALL", "ANY", "ANY", "NONE"))),
        "rules": inner,
        "conditions": draw(st.lists(conditions(features=features), min_size=not inner, max_size=3)),
    }


# Features


variants = st.fixed_dictionaries(
    {
        "multivariate_feature_option": st.fixed_dictionaries(
            {"value": values, "id": ids, "key": st.none() | st.sampled_from(("green", "blue"))}
        ),
        "percentage_allocation": st.sampled_from((0, 12.5, 30.0, 33)),
        "id": st.none() | ids,  # the SDK orders variants by it, else by the uuid
        "mv_fs_value_uuid": uuids,
    }
)


@st.composite
def states(draw: st.DrawFn, feature: Plain, *, priority: bool = False) -> Plain:
    return {
        "feature": feature,
        "enabled": draw(st.booleans()),
        "feature_state_value": draw(values),
        "django_id": draw(st.none() | ids),
        "featurestate_uuid": draw(uuids),
        "feature_segment": {"priority": draw(st.integers(0, 3))} if priority else None,
        "multivariate_feature_state_values": draw(st.just([]) | st.lists(variants, max_size=3)),
    }


@st.composite
def segments(draw: st.DrawFn, id: int, features: list[Plain], reads_flags: bool) -> Plain:
    names = tuple(feature["name"] for feature in features) if reads_flags and draw(st.booleans()) else ()
    overridden = draw(st.lists(st.sampled_from(features), unique_by=lambda each: each["id"], min_size=1, max_size=4))
    return {
        "id": id,
        "name": draw(st.sampled_from(("gold members", "ten percent", "Ünï"))),
        "rules": draw(st.lists(rules(features=names), min_size=draw(st.integers(0, 3)) > 0, max_size=2)),
        "feature_states": [draw(states(feature, priority=True)) for feature in overridden],
    }


@st.composite
def overrides(draw: st.DrawFn, identifier: str, features: list[Plain]) -> Plain:
    overridden = draw(st.lists(st.sampled_from(features), unique_by=lambda feature: feature["id"], max_size=3))
    return {
        "identifier": identifier,
        "identity_uuid": draw(uuids),
        "created_date": "2026-11-22T18:35:08.350148+00:00",
        "identity_traits": [{"trait_key": "plan", "trait_value": "gold"}],
        "identity_features": [
            {**draw(states(feature)), "feature_state_value": draw(confused | values)} for feature in overridden
        ],
    }


@st.composite
def documents(draw: st.DrawFn) -> Plain:
    names = draw(st.lists(st.sampled_from(FEATURES), min_size=1, max_size=4, unique=True))
    features = [
        {"id": 100 + FEATURES.index(name), "name": name, "type": draw(st.sampled_from(("STANDARD", "MULTIVARIATE")))}
        for name in names
    ]
    reads_flags = draw(st.integers(0, 3)) == 0
    identifiers = draw(st.lists(st.sampled_from(IDENTIFIERS), max_size=3))
    return {
        "id": 1,
        "api_key": draw(st.sampled_from(("iAaKfvZfYHkgSzorPJFmbz", "other"))),
        "name": "Production",
        "updated_at": "2026-11-22T18:35:08.819359+00:00",
        "project": {
            "id": 1,
            "name": "Storefront",
            "hide_disabled_flags": draw(st.booleans()),
            "enable_realtime_updates": True,
            "server_key_only_feature_ids": draw(st.lists(st.sampled_from([each["id"] for each in features]))),
            "segments": [draw(segments(id, features, reads_flags)) for id in range(draw(st.integers(0, 5)))],
        },
        "feature_states": [draw(states(feature)) for feature in features],
        "identity_overrides": [draw(overrides(identifier, features)) for identifier in identifiers],
    }


# Identities

traits = st.fixed_dictionaries(
    {"plan": st.sampled_from(("gold", "silver", "2.1.0"))},
    optional={
        "age": st.sampled_from((7, 8, 3.5, "7", True, False, None, 2**60)),
        "naïve key": values | st.floats(allow_nan=False) | st.lists(st.integers(), max_size=2),
    },
)
identities = st.tuples(st.sampled_from(IDENTIFIERS) | texts(max_size=6), traits)
