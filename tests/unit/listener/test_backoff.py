"""Waiting longer after each failure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.listener.backoff import FETCH, RENEWAL, STREAM, Backoff
from tests.support.cases import each_case


def delays(backoff: Backoff, count: int, *, draw: float = 1.0, floor: float = 0.0) -> list[float]:
    found = []
    for _ in range(count):
        delay, backoff = backoff.next(floor=floor, draw=lambda: draw)
        found.append(delay)
    return found


def test_a_stream_draws_from_up_to_ten_seconds_in_the_first_minute_then_from_up_to_sixty() -> None:
    assert delays(STREAM, 11) == [1, 2, 4, 8, 10, 10, 10, 10, 10, 60, 60]
    assert delays(STREAM, 3, draw=0.0) == [0, 0, 0]
    assert delays(STREAM, 3, draw=0.5) == [0.5, 1, 2]


def test_a_fetch_waits_at_least_half_and_at_most_thirty_seconds() -> None:
    assert delays(FETCH, 9) == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert delays(FETCH, 9, draw=0.0) == [0.125, 0.25, 0.5, 1, 2, 4, 8, 15, 15]


def test_a_renewal_comes_within_half_a_second_always() -> None:
    assert delays(RENEWAL, 100)[-1] == 0.5


def test_a_floor_is_a_floor_and_no_more_and_counts_as_waiting() -> None:
    assert delays(STREAM, 6, floor=5) == [5, 5, 5, 8, 10, 10]
    assert delays(STREAM, 3, floor=30) == [30, 30, 30]
    backoff = STREAM
    for _ in range(5):
        _, backoff = backoff.next(floor=30, draw=lambda: 1.0)
    assert backoff.next(draw=lambda: 1.0)[0] == 32  # the first minute is over


def test_next_leaves_the_first_as_it_was_so_that_going_back_is_a_reset() -> None:
    _, later = STREAM.next()
    assert later.failures == 1
    assert STREAM.failures == 0
    assert STREAM.next(draw=lambda: 1.0)[0] == 1


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1e6))
def test_a_delay_is_within_its_bounds_after_any_number_of_failures(failures: int, drawn: float, floor: float) -> None:
    delay, _ = Backoff(first=0.25, limit=30, least=0.5, failures=failures).next(floor=floor, draw=lambda: drawn)
    assert max(0.125, floor) <= delay <= max(30, floor)


@each_case("backoff", [STREAM, FETCH, RENEWAL])
def test_two_processes_do_not_wait_alike(backoff: Backoff) -> None:
    assert len({backoff.next()[0] for _ in range(20)}) > 10
