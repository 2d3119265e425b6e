"""The names on docs/development/architecture.md, compared with the code."""

from __future__ import annotations

import re

from django_flagsmith_realtime.conf import KEYS
from tests.docs.pages import names, prose, table
from tests.support.paths import DOCS, ROOT
from tests.support.source import PACKAGE, modules
from tests.unit.test_imports import ROWS

PAGE = DOCS / "development/architecture.md"
# Of Django, Python, the tests; an example.
OTHERS = {
    *("CHANGELOG", "DIGEST", "Error", "FAULTS", "Info", "LOCATION", "None", "SSE_SERVER_BASE_URL", "Warning"),
    *("YOUR_SOURCE", "YourEvent"),
}


def defined() -> set[str]:
    """Return the names that the package gives to constants and classes."""
    definition = re.compile(r"^ *(?:class (\w+)|([A-Z][\w, ]*)(?:: .+)? = )", re.MULTILINE)
    code = "\n".join(path.read_text() for path in modules().values())
    return {*KEYS, *re.findall(r"\w+", str(definition.findall(code)))}


def test_the_table_of_rooms_has_each_room_in_order() -> None:
    told = [{name.strip("/") for name in names(cells[0])} for cells in table(PAGE, "room")]
    assert told == [set(row) - {"__init__"} for row in ROWS]


def test_the_table_of_the_listeners_modules_has_each() -> None:
    told = [name for cells in table(PAGE, "module") for name in names(cells[0])]
    there = {path.stem for path in (PACKAGE / "listener").glob("*.py")} - {"__init__"}
    assert sorted(told) == sorted(there)


def test_each_constant_and_class_is_there() -> None:
    code = " ".join(names(prose(PAGE)))
    told = set(re.findall(r"(?<![\w-])(?:[A-Z][A-Z_]{3,}|[A-Z][a-z]+\w*)(?![\w-])", code))
    assert sorted(told - defined() - OTHERS) == []


def test_each_path_is_there() -> None:
    drawn = re.findall(r"^(\w+/\w+) {3,}", PAGE.read_text(), re.MULTILINE)
    told = {*drawn, *(name for name in names(prose(PAGE)) if re.fullmatch(r"(\w+/)+[\w.]*|\w+\.(py|md|cfg)", name))}
    assert drawn
    assert [path for path in sorted(told) if not is_there(path)] == []


def is_there(path: str) -> bool:
    return any((root / name).exists() for root in (ROOT, PACKAGE) for name in (path, f"{path}.py"))
