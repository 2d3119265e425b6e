"""What a document says of each flag."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from django_flagsmith_realtime.environment.overview import FlagView, Override, State, Variant, list_flags, show_value
from django_flagsmith_realtime.environment.snapshot import parse_document
from tests.support.documents import RECORDED, make_document


def flags(body: Any = RECORDED) -> dict[str, FlagView]:
    return {flag.name: flag for flag in list_flags(parse_document(deepcopy(body)).environment.document)}


def test_each_flag_has_its_state_and_value() -> None:
    found = flags()
    assert list(found) == sorted(found)
    assert found["request_timeout_ms"].state == State(True, "1500")
    assert found["server_only_secret"].is_server_only
    assert not found["banner_text"].is_server_only


def test_variants_are_told_with_their_share() -> None:
    assert set(flags()["checkout_button"].state.variants) == {Variant("", "green", 30), Variant("", "blue", 20)}


def test_overrides_of_segments_come_in_the_order_in_which_they_count() -> None:
    [first, second] = flags()["banner_text"].overrides
    assert first.priority is not None
    assert second.priority is not None
    assert first.priority < second.priority
    body = deepcopy(RECORDED)
    body["project"]["segments"].reverse()
    assert flags(body)["banner_text"].overrides == (first, second)


def test_an_override_without_a_priority_counts_last() -> None:
    body = deepcopy(RECORDED)
    for segment in body["project"]["segments"]:
        for state in segment["feature_states"]:
            if segment["name"] == "gold_members":
                state["feature_segment"] = None
    [*_, last] = flags(body)["banner_text"].overrides
    assert last == Override("gold_members", State(True, "Welcome back, gold member"), None)


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


def test_some_flags_can_be_asked_for() -> None:
    document = make_document().environment.document
    assert [flag.name for flag in list_flags(document, {"dark_mode", "banner_text", "none"})] == [
        "banner_text",
        "dark_mode",
    ]


@pytest.mark.parametrize(
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
def test_a_value_is_shown_so_that_its_kind_can_be_told(value: Any, shown: str) -> None:
    assert show_value(value) == shown
