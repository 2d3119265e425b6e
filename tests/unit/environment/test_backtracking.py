"""Which regular expressions are called slow; those that are fast are tried."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from django_flagsmith_realtime.environment.backtracking import is_slow
from tests.support.cases import each_case

TEXTS = [part * 200 + "!" for part in ("a", "1", "ab", "a,", "a.", "a-a", " a", ", a", "foo", "x@a.")]


@each_case(
    "pattern",
    [
        r"^(a+)+$",
        r"(a*)*$",
        r"^(?:[a-z]+)*$",
        r"^(\w+\s?)*$",
        r"(.*,)*x",
        r"^(x+x+)+y$",
        r"^(a+a)+$",
        r"^(a+b?)+$",
        r"^(a{1,2})+$",
        r"^((a+){2})+$",
        r"^(a|b+)*$",
        r"^(a+){20}$",
        r"^(a+?)+?$",
        r"^(?=(a+)+$)",
        r"^(([a-z0-9])+([-_.]?[a-z0-9])+)+@x$",
    ],
)
def test_a_repetition_of_repetitions_is_slow(pattern: str) -> None:
    assert is_slow(pattern)


@each_case(
    "pattern",
    [
        r"^\d+$",
        r".*@example\.com$",
        r"^[\w.+-]+@([\w-]+\.)+[a-z]{2,}$",
        r"^(\d+\.)+\d+$",
        r"^(\w+\s)*$",
        r"^(?:[^,]*,)+$",
        r"^(\s*,\s*\w+)+$",
        r"^([0-9]{1,3}\.){3}[0-9]{1,3}$",
        r"^(foo|bar)+$",
        r"^(a{2})+$",
        r"^(a?)+$",
        r"^(a+){2}$",
    ],
)
def test_a_pattern_whose_rounds_are_kept_apart_is_fast(pattern: str) -> None:
    assert not is_slow(pattern)
    for text in TEXTS:
        re.match(pattern, text)  # else the suite would hang


@each_case("pattern", ["(", "[", "a{99999999999999999999}", "(" * 2_000, "[["])
def test_what_can_not_be_compiled_is_not_called_slow(pattern: str) -> None:
    assert not is_slow(pattern)


@given(st.text(alphabet="ab.,*+?()[]{}|^$\\\\wd0123"))
def test_any_text_gets_an_answer(pattern: str) -> None:
    assert is_slow(pattern) in (True, False)
