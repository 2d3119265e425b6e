"""How ages, dates and values are written."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from django.utils.translation import override
from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.monitoring.formatting import (
    format_age,
    format_duration,
    format_local,
    format_number,
    format_utc,
    format_value,
    printable,
)
from tests.support.cases import each_case


@each_case(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_725, "1 h 2 min"),
        (90_061, "1 d 1 h"),
        (3_605, "1 h 5 s"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_an_age_below_a_second_is_just_now() -> None:
    assert [format_age(seconds) for seconds in (-5, 0.9, 1)] == ["just now", "just now", "1 s ago"]


def test_dates_and_numbers_are_as_the_active_language_writes_them(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    moment = datetime(2026, 11, 25, 18, 40, 12, tzinfo=timezone.utc)
    assert format_utc(moment) == "2026-11-25 18:40:12 UTC"
    assert (format_local(moment), format_number(1234.567, 2)) == ("Nov. 25, 2026, 7:40 p.m.", "1,234.57")
    with override("de"):
        assert (format_local(moment), format_number(1234.567, 2)) == ("25. November 2026 19:40", "1.234,57")
        assert format_utc(moment) == "2026-11-25 18:40:12 UTC"


@each_case(
    ("value", "text"),
    [
        (None, ""),
        ("25", '"25"'),
        ("", '""'),
        ('{"a": 1}', '"{\\"a\\": 1}"'),
        (25, "25"),
        (True, "true"),
        ("Grüße 世界", '"Grüße 世界"'),
        (Decimal("1.5"), "Decimal('1.5')"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_a_value_is_json_where_it_can_be(value: Any, text: str) -> None:
    assert format_value(value) == text


@given(st.text(alphabet=st.characters()))
def test_printable_text_can_be_printed(text: str) -> None:
    assert printable(text).isprintable()
    printable(text).encode()
    assert printable(printable(text)) == printable(text)
