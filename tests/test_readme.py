"""What the README says, compared with the code."""

from __future__ import annotations

import re
from pathlib import Path

from django_flagsmith_realtime import signals
from django_flagsmith_realtime.conf import KEYS
from django_flagsmith_realtime.signals import RobustSignal

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table with a heading, without backquotes."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert table, heading
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()]


def test_the_settings_table_has_each_key_with_its_default() -> None:
    told = {key: default for key, default, _ in rows("key")}
    defaults = {key: item.default for key, item in KEYS.items()}
    assert told == {
        key: repr(dict(default)) if hasattr(default, "keys") else repr(default).replace("'", '"')
        for key, default in defaults.items()
    }


def test_the_signals_table_has_each_signal() -> None:
    declared = {name for name, value in vars(signals).items() if isinstance(value, RobustSignal)}
    assert {name for name, *_ in rows("signal")} == declared


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"^make ([a-z-]+)$", README, re.MULTILINE)
    assert commands == ["demo", "test"]
    assert all(re.search(rf"^{command}:.*## ", makefile, re.MULTILINE) for command in commands)


def test_the_pictures_are_there() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures
    assert [picture for picture in pictures if not (ROOT / picture).is_file()] == []
