"""What the fleet's figures are made of."""

from __future__ import annotations

import pickle

from tests.fleet.faults import COURSES
from tests.fleet.flagsmith import FOREVER, Visit, at_once, longest_gap
from tests.fleet.heads import Put, parse, stood_back
from tests.fleet.tables import spread
from tests.support.cases import each_case
from tests.support.paths import DOCS


def monitored(*arguments: bytes) -> bytes:
    """Return a command as MONITOR shows it."""
    words = " ".join('"' + repr(argument)[2:-1].replace('"', '\\"') + '"' for argument in arguments)
    return f"+1795634207.559 [0 unix:/tmp/redis.sock] {words}\r\n".encode()


KEY = b":1:flagsmith:1:25a0:head"
VALUE = pickle.dumps([1795634207559, 'a "quoted" version', 1, 2])


def puts(*sequences: int) -> list[Put]:
    return [Put(float(at), sequence, "") for at, sequence in enumerate(sequences)]


def stream(began: float, ended: float = FOREVER, counts_from: float | None = None) -> Visit:
    return Visit("a1", True, began, began if counts_from is None else counts_from, ended)


def test_a_head_is_read_from_what_monitor_says() -> None:
    assert parse(monitored(b"SET", KEY, VALUE), at=1.0) == Put(1.0, 1795634207559, 'a "quoted" version')


@each_case(
    "arguments",
    [
        (),
        (b"GET", KEY),
        (b"SET", KEY, VALUE, b"NX"),
        (b"SET", KEY + b"er", VALUE),
        (b"SET", b"a key of others", b"head"),
    ],
)
def test_what_puts_no_head_is_none(arguments: tuple[bytes, ...]) -> None:
    assert parse(monitored(*arguments), at=1.0) is None


@each_case(
    ("sequences", "seconds"),
    [
        ((5, 6, 7), 0),
        ((5, 5), 0),
        ((6, 5, 6), 1),
        ((7, 5, 6, 7), 2),
        ((6, 5, 7, 6, 5, 8), 2),
        ((6, 7, 3), 8),
        ((3, 5), 1),
    ],
)
def test_an_older_head_stands_until_one_as_new_as_the_newest_is_put(sequences: tuple[int, ...], seconds: float) -> None:
    assert stood_back(puts(*sequences), newest=5, until=10.0) == seconds


def test_streams_are_counted_while_they_count() -> None:
    assert at_once([]) == 0
    assert at_once([stream(0, 2), stream(2, 4)]) == 1
    assert at_once([stream(0, 3), stream(2, 4)]) == 2
    assert at_once([stream(0, 3, counts_from=FOREVER), stream(2)]) == 1
    assert at_once([stream(0, 9, counts_from=6), stream(2)]) == 2


def test_the_longest_gap_is_that_without_any_stream() -> None:
    assert longest_gap([stream(0)], since=1, until=9) == 0
    assert longest_gap([stream(0, 4), stream(2, 3), stream(5)], since=1, until=9) == 1
    assert longest_gap([stream(0, 4)], since=1, until=9) == 5


def test_several_values_are_their_median_and_the_greatest() -> None:
    assert spread([1.0]) == "1.0"
    assert spread([3.0, 1.0, 2.0]) == "2.0, 3.0"


def test_the_page_has_a_row_for_each_fault() -> None:
    page = (DOCS / "explanation/fleet.md").read_text()
    table = page.partition("<!-- faults -->")[2].partition("<!-- end of faults -->")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]
    assert rows[2:] == list(COURSES)
