"""docs/reference/compatibility.md names tests that exist, and what each row rests on."""

from __future__ import annotations

import re

from tests.docs.pages import names
from tests.support.paths import DOCS, ROOT

PAGE = DOCS / "reference/compatibility.md"
ROWS = [
    line.strip("| ").split(" | ")
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.endswith("| tested by |")
]


def test_each_row_names_a_test_or_the_version_of_a_trial() -> None:
    assert ROWS
    assert [row for row in ROWS if not re.search(r"`tests/|by hand: .*\d", row[-1])] == []


def test_each_test_is_there() -> None:
    told = [name.partition("::") for row in ROWS for name in names(row[-1]) if name.startswith("tests/")]
    assert told
    gone = [
        (path, test)
        for path, _, test in told
        if not (ROOT / path).is_file() or (test and f"def {test}(" not in (ROOT / path).read_text())
    ]
    assert gone == []
