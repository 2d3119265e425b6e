"""Traits as a person writes them."""

from __future__ import annotations

from typing import Any

import pytest

from django_flagsmith_realtime.environment.traits import InvalidTraits, parse_pairs, parse_traits
from tests.support.cases import each_case


@each_case(
    ("text", "traits"),
    [
        ("", {}),
        (" \n ", {}),
        ("plan=gold", {"plan": "gold"}),
        ("plan = gold \r\n\n age=40\nvip=true", {"plan": "gold", "age": 40, "vip": True}),
        ("formula=a=b", {"formula": "a=b"}),
        ("empty=", {"empty": ""}),
        ('zip="01234"', {"zip": "01234"}),
        (' {"plan": "gold", "tags": ["a"], "none": null}', {"plan": "gold", "tags": ["a"], "none": None}),
        ("{}", {}),
        ("größe=ü 🎉", {"größe": "ü 🎉"}),
    ],
)
def test_lines_and_json_objects_are_read(text: str, traits: dict[str, Any]) -> None:
    assert parse_traits(text) == traits


@each_case(
    ("text", "why"),
    [
        ("plan", "'plan' is not key=value"),
        ("plan=gold\n=7", "'=7' is not key=value"),
        ("[1]", "'[1]' is not key=value"),
        ("plan=gold\nplan=free", "'plan' is there twice"),
        ('{"plan": }', "not a JSON object"),
        ('{"age": Infinity}', "Infinity is not JSON"),
        ('{"a": 1} {"b": 2}', "not a JSON object"),
        ('{"a":' * 100_000, "not a JSON object"),
        ('{"a":' + "[" * 600 + "]" * 600 + "}", "not a JSON object"),
        ('{"age": 1' + "0" * 5_000 + "}", "not a JSON object"),
    ],
)
def test_anything_else_says_what_is_wrong_with_it(text: str, why: str) -> None:
    with pytest.raises(InvalidTraits) as caught:
        parse_traits(text)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 300


@each_case(
    ("text", "value"),
    [
        ("42", 42),
        ("4.5", 4.5),
        ("true", True),
        ("null", None),
        ('"42"', "42"),
        ('" gold"', " gold"),
        ("[1, 2]", [1, 2]),
        ("gold", "gold"),
        ("", ""),
        ("True", "True"),
        ("007", "007"),
        ("a=b", "a=b"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("Grüße", "Grüße"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_a_value_is_json_where_it_can_be(text: str, value: Any) -> None:
    found = parse_pairs([f"key={text}"])["key"]
    assert (found, type(found)) == (value, type(value))
