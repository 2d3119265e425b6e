"""What a document says of each flag."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.environment.overview import (
    FlagDescription,
    State,
    Variant,
    canonical,
    describe_flags,
    show_value,
)
from django_flagsmith_realtime.environment.snapshot import parse_document
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.documents import RECORDED
from tests.support.strategies import values


def flags(body: Any = RECORDED) -> dict[str, FlagDescription]:
    return describe_flags(parse_document(deepcopy(body)).environment.document)


def test_each_flag_has_its_state_value_and_variants() -> None:
    found = flags()
    assert list(found) == sorted(found)
    assert found["request_timeout_ms"].state == State(True, "1500")
    assert found["server_only_secret"].is_server_only
    assert not found["banner_text"].is_server_only
    assert set(found["checkout_button"].state.variants) == {Variant(None, "green", 30), Variant(None, "blue", 20)}


def test_overrides_of_segments_come_in_the_order_in_which_they_count() -> None:
    [first, second] = flags()["banner_text"].segment_overrides
    assert first.priority is not None
    assert second.priority is not None
    assert first.priority < second.priority
    body = recordings.document()
    body["project"]["segments"].reverse()
    assert flags(body)["banner_text"].segment_overrides == (first, second)
    states = [state for segment in body["project"]["segments"] for state in segment["feature_states"]]
    for state, priority in zip(
        (each for each in states if each["feature"]["name"] == "banner_text"), (10, 2), strict=True
    ):
        state["feature_segment"]["priority"] = priority
    assert [override.priority for override in flags(body)["banner_text"].segment_overrides] == [2, 10]


def test_an_override_without_a_priority_counts_last() -> None:
    body = recordings.document()
    for segment in body["project"]["segments"]:
        for state in segment["feature_states"]:
            if segment["name"] == "gold_members":
                state["feature_segment"] = None
    [*_, last] = flags(body)["banner_text"].segment_overrides
    assert last[:2] == (None, "gold_members")
    assert last.state == State(True, "Welcome back, gold member")


def test_overrides_of_identities_are_counted() -> None:
    assert flags()["banner_text"].identities == 1
    assert flags()["theme_colour"].identities == 0
    assert flags()["dark_mode"].has_overrides
    assert not flags()["theme_colour"].has_overrides


def test_a_search_looks_at_names_values_variants_and_segments() -> None:
    found = flags()
    for name, text in {
        "banner_text": "banner_t",
        "theme_colour": "#0b72",
        "checkout_button": "green",
        "max_cart_items": "staff_or_eu",
    }.items():
        assert text in found[name].text, name
    assert "lucky ten percent" in found["banner_text"].text


@each_case(
    ("value", "shown"),
    [
        (None, ""),
        ("", '""'),
        ("Hello", "Hello"),
        ("5", '"5"'),
        (5, "5"),
        ("true", '"true"'),
        (True, "true"),
        ("null", '"null"'),
        ("NaN", '"NaN"'),
        ('"quoted"', '"\\"quoted\\""'),
        (" padded", '" padded"'),
        ('{"a": 1}', '{"a": 1}'),
        ("[1]", "[1]"),
        ("two\nlines", "two\nlines"),
        ("Grüße 🎉", "Grüße 🎉"),
        ("1" * 5_000, "1" * 5_000),
        (0.5, "0.5"),
    ],
)
def test_a_value_is_shown_so_that_its_type_is_clear(value: Any, shown: str) -> None:
    assert show_value(value) == shown


@given(values | st.floats(allow_nan=False), values | st.floats(allow_nan=False))
def test_two_values_are_shown_alike_only_where_they_are_the_same(one: Any, other: Any) -> None:
    assert (show_value(one) == show_value(other)) == (repr(one) == repr(other))


PLAIN = st.recursive(
    st.sampled_from((None, True, False, 0, 1, 1.0, "1", "a,b", "'a'", "")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=6,
)


def with_sorted_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: with_sorted_lists(value[key]) for key in sorted(value)}
    return sorted(map(with_sorted_lists, value), key=repr) if isinstance(value, list) else value


@given(PLAIN, PLAIN)
def test_a_canonical_text_is_the_same_for_the_same_data_in_any_order(one: Any, other: Any) -> None:
    assert canonical(one) == canonical(with_sorted_lists(one))
    assert (canonical(one) == canonical(other)) == (repr(with_sorted_lists(one)) == repr(with_sorted_lists(other)))
