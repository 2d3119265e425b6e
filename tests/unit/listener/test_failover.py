"""When a leader that can't reach Flagsmith lets another try."""

from __future__ import annotations

from django_flagsmith_realtime.exceptions import FlagsmithError, Refused, ServerError, TimedOut, Unreachable
from django_flagsmith_realtime.listener.failover import FIRST_PATIENCE, LAST_PATIENCE, Failover
from tests.support.cases import each_case

CUT_OFF = Unreachable("The connection broke.")
LATER = FIRST_PATIENCE + 1


def test_one_whose_stream_breaks_and_that_reaches_nothing_gives_way_after_a_while() -> None:
    failover = Failover().connect().disconnect(0, CUT_OFF)
    assert not failover.should_give_way(FIRST_PATIENCE / 2)
    assert failover.should_give_way(FIRST_PATIENCE)
    assert failover.fail(1, TimedOut("late")).disconnect(2, CUT_OFF).should_give_way(LATER), "it counts from the first"


def test_one_whose_stream_breaks_asks_the_api_once() -> None:
    failover = Failover().connect()
    assert not failover.should_ask_api
    failover = failover.disconnect(0, CUT_OFF)
    assert failover.should_ask_api
    assert not failover.answer().should_ask_api
    assert not failover.fail(1, CUT_OFF).should_ask_api


def test_one_that_gets_an_answer_goes_on_without_a_stream() -> None:
    failover = Failover().connect().disconnect(0, CUT_OFF).answer()
    for second in range(10):
        failover = failover.disconnect(second, CUT_OFF)
    assert not failover.should_give_way(100)
    assert failover.fail(100, CUT_OFF).should_give_way(100 + LATER), "until that stops as well"


def test_one_that_has_a_stream_or_has_it_back_goes_on_without_answers() -> None:
    assert not Failover().connect().fail(0, CUT_OFF).should_give_way(LATER)
    assert not Failover().connect().disconnect(0, CUT_OFF).connect().should_give_way(LATER)


@each_case("error", [None, Refused("403"), ServerError("503")])
def test_an_answer_that_is_a_refusal_would_be_the_same_elsewhere(error: FlagsmithError | None) -> None:
    assert not Failover().disconnect(0, error).should_give_way(LATER)
    if error:
        assert not Failover().fail(0, error).should_give_way(LATER)


def test_a_new_stream_that_breaks_asks_anew_whether_the_api_answers() -> None:
    failover = Failover().connect().answer().disconnect(0, CUT_OFF)
    assert failover.should_give_way(LATER), "the answer came before the stream broke"


def test_it_gives_way_less_and_less_often_until_it_gets_an_answer() -> None:
    failover, patience = Failover(), []
    for _ in range(10):
        failover = failover.give_way()
        patience.append(failover.patience)
    assert patience == sorted(patience)
    assert patience[:2] == [FIRST_PATIENCE * 2, FIRST_PATIENCE * 4]
    assert patience[-1] == LAST_PATIENCE
    assert failover.answer().patience == FIRST_PATIENCE
