"""docs/howto/troubleshooting.md quotes what the package says."""

from __future__ import annotations

import re

from tests.docs.pages import names, table
from tests.docs.test_status_and_log import PAGE as STATUS_AND_LOG
from tests.support.paths import DOCS, ROOT

PAGE = DOCS / "howto/troubleshooting.md"
SOURCE = "".join(path.read_text() for path in (ROOT / "django_flagsmith_realtime").rglob("*.py"))


def test_what_it_says_is_what_the_package_says() -> None:
    quoted = {
        text.strip()
        for row in re.findall(r"^\| it says \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
        for line in row.splitlines()
        for text in names(line.split(" | ")[0])
    }
    assert len(quoted) > 10
    assert [text for text in sorted(quoted) if text not in SOURCE] == []


def test_each_trouble_of_health_has_its_row() -> None:
    troubles = dict(table(STATUS_AND_LOG, "key"))["`troubles`"]
    assert {name for cells in table(PAGE, "trouble") for name in names(cells[0])} == set(names(troubles))
