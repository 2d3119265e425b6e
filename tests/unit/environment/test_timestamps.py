"""Times in every form that Flagsmith's services use."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.environment.timestamps import LATEST, parse_time, to_datetime
from django_flagsmith_realtime.listener.stream import read_event_time
from tests.support.cases import each_case
from tests.support.strategies import texts

MOMENT = 1_795_372_800_000_000  # 2026-11-22T18:40:00+00:00

FORMS = [
    ("1795372800", MOMENT),
    ("1795372800.0", MOMENT),
    ("1795372799.5", MOMENT - 500_000),
    ("1795372860.25", MOMENT + 60_250_000),
    ("1795372800.123", MOMENT + 123_000),
    ("1795372800.0482", MOMENT + 48_200),
    ("1795372795.04822", MOMENT - 4_951_780),
    ("1795372800.000001", MOMENT + 1),
    ("1795372800.999999", MOMENT + 999_999),
    ("1795372800.0000009", MOMENT),
    ("1.7953728e9", MOMENT),
    ("0", 0),
    ("3133690620000", 3_133_690_620_000_000),
    ("1795372800000", MOMENT),
    ("1795372800000.5", MOMENT + 500),
    ("1795372800000001", MOMENT + 1),
    ("99999999999", 99_999_999_999_000_000),
    ("99999999999999", 99_999_999_999_999_000),
    ("99999999999999999", 99_999_999_999_999_999),
    ('"1795372800.000001"', MOMENT + 1),
    ('"1795372800"', MOMENT),
    ('" 1795372800000 "', MOMENT),
    ('"2026-11-22T18:40:00.000001+00:00"', MOMENT + 1),
    ('"2026-11-22T18:40:00Z"', MOMENT),
    ('"2026-11-22T18:40:00.5"', MOMENT + 500_000),
    ('"2026-11-22 18:40:00+00:00"', MOMENT),
    ('"2026-11-22T20:40:00+02:00"', MOMENT),
    ('"2026-11-22T16:10:00-0230"', MOMENT),
]
NO_TIMES = [
    "true",
    "false",
    "null",
    "NaN",
    "Infinity",
    "-Infinity",
    "-1",
    "-0.000001",
    "1e17",
    "1e300",
    "1e999999999",
    "1e9999999999999999999",
    "9" * 400,
    "9" * 5_000,
    "[1795372800]",
    '{"updated_at": 1795372800}',
    "[]",
    "{}",
    '""',
    '" "',
    '"NaN"',
    '"sNaN"',
    '"Infinity"',
    '"-5"',
    '"soon"',
    '"2026-13-01T00:00:00Z"',
    '"2026-11-22T18:40:00+99:00"',
    '"1969-12-31T23:59:59Z"',
    '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"',
    '"0x10"',
]


def loads(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


@each_case(("text", "expected"), FORMS)
def test_every_form_of_a_time_is_exact_to_the_microsecond(text: str, expected: int) -> None:
    assert parse_time(loads(text)) == expected
    assert read_event_time(f'{{"updated_at": {text}}}') == expected


@each_case("text", NO_TIMES)
def test_anything_but_a_time_is_a_value_error_and_none_in_an_event(text: str) -> None:
    assert read_event_time(f'{{"updated_at": {text}}}') is None
    try:
        value = loads(text)
    except (ArithmeticError, ValueError):  # a number with too many digits
        return
    with pytest.raises(ValueError):
        parse_time(value)


@each_case(
    "data",
    ["", "x", "null", "1795372800", "[]", "{}", '"2026"', '{"updated_at"}', "[" * 5_000, '{"updated_at":' * 5_000],
)
def test_data_without_a_time_gives_none(data: str) -> None:
    assert read_event_time(data) is None


def test_an_event_may_say_more_than_its_time() -> None:
    assert read_event_time('{"environment": 7, "updated_at": 1795372800.5, "x": [1.5]}') == MOMENT + 500_000


@given(st.integers(0, 99_999_999_999_999_999))
def test_seconds_with_six_decimals_are_read_back_exactly(microseconds: int) -> None:
    assert parse_time(Decimal(microseconds) / 1_000_000) == microseconds
    assert read_event_time(f'{{"updated_at": {microseconds // 10**6}.{microseconds % 10**6:06}}}') == microseconds


@given(st.datetimes(datetime(1970, 1, 1), timezones=st.just(timezone.utc)))
def test_iso_and_datetimes_are_read_back_exactly(moment: datetime) -> None:
    assert to_datetime(parse_time(moment.isoformat())) == moment


@given(texts())
def test_any_text_is_a_time_that_a_datetime_can_hold_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        to_datetime(parse_time(text))


def test_a_datetime_is_exact_and_the_nearest_one_where_none_holds_the_time() -> None:
    assert to_datetime(MOMENT + 1) - to_datetime(MOMENT) == timedelta(microseconds=1)
    assert to_datetime(LATEST) == datetime.max.replace(tzinfo=timezone.utc)
    assert [to_datetime(time).year for time in (10**30, -(10**30))] == [9999, 1970]
