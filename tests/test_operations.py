"""What docs/operations.md says, compared with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django_flagsmith_realtime import status
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.health import CACHE, NO_LISTENER, NO_SNAPSHOT, STALE, examine
from django_flagsmith_realtime.management.commands.flagsmith_status import EXIT_CODES
from django_flagsmith_realtime.status_json import to_plain
from django_flagsmith_realtime.status_text import to_text

from .documents import configured_store, publish
from .test_health import led
from .test_status import NOW

PAGE = (Path(__file__).parent.parent / "docs/operations.md").read_text()


def rows(heading: str) -> list[list[str]]:
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()]


def names(text: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9_ ]+)`", text))


def test_each_exit_code_is_told() -> None:
    assert {int(code.strip("`")) for code, _ in rows("code")} == {0, 1, 2, *EXIT_CODES.values()}


def test_the_json_is_told_key_by_key() -> None:
    led(publish())
    plain: dict[str, Any] = to_plain(examine(get_config(), configured_store(), now=NOW))
    told = {key.strip("`"): text for key, text in rows("key")}
    assert told.keys() == plain.keys()
    states = {status.CONNECTING, status.CONNECTED, status.BACKING_OFF, status.POLL_ONLY}
    for key in ("leader", "stream", "snapshot", "requests", "error"):
        extra = states if key == "stream" else set(plain["snapshot"]["latency"]) if key == "snapshot" else set()
        assert names(told[key]) - {"null"} == plain[key].keys() | extra, key
    assert names(told["troubles"]) == {CACHE, NO_SNAPSHOT, NO_LISTENER, STALE, "settings"}


def test_each_line_of_the_status_is_told() -> None:
    [example] = re.findall(r"^```\n(Health.*?)^```$", PAGE, re.M | re.S)
    led(publish())
    shown = to_text(examine(get_config(), configured_store(), now=NOW))
    labels = {line[:12].strip() for line in example.splitlines()}
    assert {line[:12].strip() for line in shown.splitlines()} | {"Standby"} == labels
