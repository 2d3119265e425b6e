"""The leader's status as plain data, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.storage.status import (
    DAY,
    HOUR,
    STEP,
    Content,
    Errors,
    Failure,
    Fetch,
    Histogram,
    Latency,
    Leader,
    SourceStatus,
    Status,
    StreamStatus,
    Tally,
    parse_status,
)
from tests.support.cases import each_case
from tests.support.strategies import texts

NOW = 1_800_000_000.0
FULL = Status(
    written_at=NOW,
    leader=Leader("web-1", 42, NOW - 60),
    stream=StreamStatus("connected", NOW - 50, None, NOW - 5),
    content=Content("abc", 22, "Production", NOW),
    fetch=Fetch(NOW - 5, 0.2),
    failure=Failure(NOW - 900, "It failed."),
    latency=Latency(0.01, 0.02, 0.03, 7),
    requests=Tally(((6_000_000, 3),), 4),
    warnings=("Identity overrides are left out.",),
    latencies=Histogram().add(0.01).add(61),
    errors=Errors(fetch=2),
    leaders=3,
    sources=(SourceStatus("stream", NOW - 5, 0.01, Tally(((6_000_000, 3),))), SourceStatus("poll", NOW - 900)),
)
LEAST = Status(NOW, Leader("web-1", 42, NOW), StreamStatus("connecting", NOW))


@each_case("status", [FULL, LEAST])
def test_a_status_comes_back_from_plain_data(status: Status) -> None:
    assert parse_status(status.to_plain()) == status
    assert parse_status(json.loads(json.dumps(status.to_plain()))) == status


@each_case("plain", [None, 0, "", [], {}, b"\xff", {"written_at": NOW}, object()])
def test_anything_but_a_status_is_none(plain: Any) -> None:
    assert parse_status(plain) is None


@each_case("figure", [float("nan"), float("inf"), 1e300, -(10**30), True, "5"])
def test_a_number_out_of_range_is_not_a_status(figure: Any) -> None:
    assert parse_status({**FULL.to_plain(), "written_at": figure}) is None


@given(st.data())
def test_a_status_with_garbage_anywhere_is_none_or_a_valid_status(data: st.DataObject) -> None:
    plain: Any = FULL.to_plain()
    place = plain
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(st.booleans()):
            break
        place = place[key]
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts() | st.binary()
    place[key] = data.draw(scalars | st.lists(scalars) | st.dictionaries(texts(), scalars))
    status = parse_status(plain)
    assert status is None or parse_status(status.to_plain()) == status


def test_a_tally_counts_the_last_hour_and_day() -> None:
    tally = Tally()
    for ago in (DAY + STEP, 5 * HOUR, HOUR + STEP, 10, 0):
        tally = tally.add(NOW - ago)
    assert tally.within(HOUR, NOW) == 2
    assert tally.within(DAY, NOW) == 4
    assert len(tally.counts) == 4, "what is older than a day is gone"
    assert tally.total == 5, "from the total it is not"


@pytest.mark.slow
def test_a_tally_stays_small_for_ever() -> None:
    tally = Tally()
    for step in range(3_000):
        tally = tally.add(step * 60)
    assert len(tally.counts) == DAY // STEP + 1


def test_a_tally_survives_a_clock_that_jumps() -> None:
    tally = Tally().add(NOW).add(NOW + 10 * DAY).add(NOW)
    assert tally.within(DAY, NOW) == 1
    assert tally.add(NOW).within(DAY, NOW) == 2
