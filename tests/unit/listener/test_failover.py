"""When a leader that can't reach Flagsmith lets another try."""

from __future__ import annotations

import pytest

from django_flagsmith_realtime.exceptions import FlagsmithError, Refused, ServerError, TimedOut, Unreachable
from django_flagsmith_realtime.listener.failover import FIRST_PATIENCE, LAST_PATIENCE, Failover

CUT_OFF = Unreachable("The connection broke.")
LATER = FIRST_PATIENCE + 1


def test_one_whose_stream_breaks_and_that_reaches_nothing_is_hopeless_after_a_while() -> None:
    failover = Failover().connect().lose_stream(0, CUT_OFF)
    assert not failover.is_hopeless(FIRST_PATIENCE / 2)
    assert failover.is_hopeless(LATER)
    assert failover.fail(1, TimedOut("late")).lose_stream(2, CUT_OFF).is_hopeless(LATER), "it counts from the first"


def test_one_whose_stream_breaks_is_in_doubt_until_the_api_was_asked() -> None:
    failover = Failover().connect()
    assert not failover.is_in_doubt
    failover = failover.lose_stream(0, CUT_OFF)
    assert failover.is_in_doubt
    assert not failover.reach().is_in_doubt
    assert not failover.fail(1, CUT_OFF).is_in_doubt


def test_one_that_gets_an_answer_goes_on_without_a_stream() -> None:
    failover = Failover().connect().lose_stream(0, CUT_OFF).reach()
    for second in range(10):
        failover = failover.lose_stream(second, CUT_OFF)
    assert not failover.is_hopeless(100)
    assert failover.fail(100, CUT_OFF).is_hopeless(100 + LATER), "until that stops as well"


def test_one_that_has_a_stream_goes_on_without_answers() -> None:
    assert not Failover().connect().fail(0, CUT_OFF).is_hopeless(LATER)


def test_a_stream_that_comes_back_ends_the_doubt() -> None:
    assert not Failover().connect().lose_stream(0, CUT_OFF).connect().is_hopeless(LATER)


@pytest.mark.parametrize("error", [None, Refused("403"), ServerError("503")])
def test_an_answer_that_is_a_refusal_would_be_the_same_elsewhere(error: FlagsmithError | None) -> None:
    assert not Failover().lose_stream(0, error).is_hopeless(LATER)
    if error:
        assert not Failover().fail(0, error).is_hopeless(LATER)


def test_a_new_stream_that_breaks_asks_anew_whether_the_api_answers() -> None:
    failover = Failover().connect().reach().lose_stream(0, CUT_OFF)
    assert failover.is_hopeless(LATER), "the answer came before the stream broke"


def test_it_gives_way_less_and_less_often_until_it_gets_an_answer() -> None:
    failover, patience = Failover(), []
    for _ in range(10):
        failover = failover.give_way()
        patience.append(failover.patience)
    assert patience == sorted(patience)
    assert patience[:2] == [FIRST_PATIENCE * 2, FIRST_PATIENCE * 4]
    assert patience[-1] == LAST_PATIENCE
    assert failover.reach().patience == FIRST_PATIENCE
