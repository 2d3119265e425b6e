"""What the commands write: flags under their headings and within the width, and letters that a terminal lacks."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import call_command
from flagsmith.models import Flag
from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.management.commands.flagsmith_listen import Command
from django_flagsmith_realtime.management.terminal import Output, cut, format_flag, format_table, text_width
from django_flagsmith_realtime.monitoring.formatting import printable
from django_flagsmith_realtime.storage.status import Content
from tests.support.backends import use
from tests.support.cases import each_case
from tests.support.documents import PREFIX, configured_store, publish
from tests.support.strategies import texts
from tests.unit.storage.test_status import FULL


def flag(name: str = "banner", value: Any = None, **more: Any) -> Flag:
    return Flag(**{"enabled": True, "value": value, "feature_id": 1, "feature_name": name, "reason": "STATIC", **more})


def test_a_table_has_a_heading_and_a_line_for_each_flag() -> None:
    flags = [
        flag("banner", "Hi"),
        flag("cart", 25, reason="SPLIT; weight=30.0", variant="green"),
        flag("dark", enabled=False),
    ]
    assert format_table(flags, 80).splitlines() == [
        "flag    state  reason              variant  value",
        'banner  on     STATIC                       "Hi"',
        "cart    on     SPLIT; weight=30.0  green    25",
        "dark    off    STATIC",
    ]
    assert format_table([], 80) == "flag  state  reason  variant  value"


@each_case(
    ("value", "shown"),
    [
        (None, ""),
        (25, "25"),
        ("a\nb\t", '"a\\nb\\t"'),
        ("\x1b[31m", '"\\u001b[31m"'),
        ("\ud800\u202e\x7f", '"\\ud800\\u202e\\x7f"'),
    ],
)
def test_a_value_shows_its_type_and_does_nothing_to_a_terminal(value: Any, shown: str) -> None:
    [_, line] = format_table([flag(value=value)], 80).splitlines()
    assert line == f"banner  on     STATIC           {shown}".rstrip()


@each_case("width", [50, 80, 120, 300])
def test_a_long_value_is_cut_at_the_width(width: int) -> None:
    lines = format_table([flag(value="lorem ipsum " * 100)], width).splitlines()
    assert max(map(text_width, lines)) == width
    assert lines[1].endswith("…")
    assert text_width(format_table([flag(value="世" * 500)], width).splitlines()[1]) in (width, width - 1)


def test_names_and_reasons_are_whole_however_narrow_the_terminal() -> None:
    name, reason = "a_rather_long_name_of_a_flag", "TARGETING_MATCH; segment=everybody in Europe"
    [_, line] = format_table([flag(name, "some value", reason=reason)], 10).splitlines()
    assert name in line
    assert reason in line
    assert line.endswith('"some value"')


def test_a_long_name_or_reason_shifts_its_own_line_alone() -> None:
    long, text = "x" * 70, "lorem ipsum " * 100
    lines = format_table([flag(long, text), flag("cart", text), flag("dark", text, reason=long)], 80).splitlines()
    assert lines[1].startswith(f"{long}  on     STATIC") and lines[3].startswith(f"dark  on     {long}")
    assert lines[2].startswith("cart  on     STATIC           ") and text_width(lines[2]) == 80
    assert lines[0].index("value") == lines[2].index('"lorem')


def test_what_is_written_wide_keeps_its_column() -> None:
    lines = format_table([flag("世界", 1), flag("e\u0301", 2), flag("name", 3)], 80).splitlines()
    assert {text_width(line[: line.index("on")]) for line in lines[1:]} == {6}


def test_a_name_that_holds_a_line_break_stays_on_its_line() -> None:
    assert format_table([flag("a\nb\x1b")], 80).splitlines()[1].startswith("a\\nb\\x1b  on")


def test_color_goes_around_the_state_with_its_spaces() -> None:
    table = format_table([flag(), flag(enabled=False)], 80, lambda state: f"<{state}>")
    assert [line[8:15] for line in table.splitlines()[1:]] == ["<on   >", "<off  >"]


def test_one_flag_shows_its_value_whole() -> None:
    shown = format_flag(
        flag("banner", "Welcome,\n  dear\x1b\n" + "x" * 500, variant="blue"), lambda state: f"<{state}>"
    )
    assert shown.splitlines() == [
        "banner is <on>",
        "reason   STATIC",
        "variant  blue",
        "value    Welcome,",
        "           dear\\x1b",
        "         " + "x" * 500,
    ]
    assert format_flag(flag(value=False, enabled=False)) == "banner is off\nreason   STATIC\nvalue    false"
    assert format_flag(flag()) == "banner is on\nreason   STATIC"


@given(st.lists(st.builds(flag, texts(), st.none() | st.integers() | texts()), max_size=4), st.integers(1, 200))
def test_whatever_flags_hold_each_has_one_line(flags: list[Flag], width: int) -> None:
    table = format_table(flags, width)
    assert len(table.splitlines()) == len(flags) + 1
    assert all(line.isprintable() for line in table.split("\n"))


@given(texts(), st.integers(1, 30))
def test_a_text_is_cut_to_the_width_and_only_where_it_is_wider(text: str, width: int) -> None:
    shown = cut(printable(text), width)
    if text_width(printable(text)) <= width:
        assert shown == printable(text)
    else:
        assert shown.endswith("…")
        assert width - 1 <= text_width(shown) <= width


# Letters that a terminal lacks

NAME = "Prödüktion 🚀 \x1b[31m"


@contextmanager
def terminal(encoding: str) -> Iterator[TextIOWrapper]:
    """A terminal that is told to write; `written` reads it."""
    with TextIOWrapper(BytesIO(), encoding=encoding) as terminal:
        yield terminal


def written(terminal: TextIOWrapper) -> str:
    terminal.seek(0)
    return terminal.read()


@each_case(
    ("encoding", "name"),
    [("ascii", r"Pr\xf6d\xfcktion \U0001f680"), ("cp1252", r"Prödüktion \U0001f680"), ("utf-8", "Prödüktion 🚀")],
)
def test_letters_that_a_terminal_lacks_are_escapes(settings: Any, encoding: str, name: str) -> None:
    use(settings, "tests.support.backends.SharedCache")
    snapshot = publish(banner_text=NAME)
    status = replace(FULL, written_at=time.time(), content=Content(snapshot.version, 22, NAME, time.time()))
    configured_store().write_status(status)
    caches["default"].set(f"{PREFIX}:lease", "web-1:42:token")
    for command in (["flagsmith_status"], ["flagsmith_flags", "banner_text"]):
        with terminal(encoding) as output:
            call_command(*command, stdout=output)
            assert f"{name} \\x1b[31m" in written(output)


def test_the_listener_s_log_writes_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("django_flagsmith_realtime")
    monkeypatch.setattr(logger, "hasHandlers", lambda: False)
    monkeypatch.setattr(logger, "handlers", [])
    with terminal("ascii") as output:
        command = Command()
        command.stdout = Output(output)
        command._log_to_terminal(logging.INFO)
        logger.warning("Flags updated to version %s: %s", "1", "größer")
        assert r"gr\xf6\xdfer" in written(output)
