"""Regular expressions with which a visitor's trait can block a process.

Python's `re` tries each way to match. In `^(a+)+$` a repetition is repeated: 28 letters can be divided among its rounds
in 2 ** 27 ways, and where the text does not match, all of them are tried.

The rule: a part that may come ten times or more contains a repetition of varying length, and no other character that
must come in each round keeps the rounds apart. `([a-z]+\\.)+` is fast, and `(.*,)*` is slow, as `.` matches the comma
too. The rule finds the usual mistake, not each: alternatives that overlap, as in `(a|aa)+`, are slow as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ..compat import compile_regex_item, parse_regex

MANY = 10  # rounds
REPEATS = ("MAX_REPEAT", "MIN_REPEAT")  # not the possessive ones, which never try another way
CHARACTERS = ("LITERAL", "NOT_LITERAL", "IN", "ANY")
ASCII = tuple(map(chr, range(128)))

Item = tuple[Any, Any]  # an operator of Python's parser, and its arguments


@lru_cache(maxsize=1024)
def is_slow(pattern: str) -> bool:
    """Return whether the rule finds a repetition of repetitions."""
    try:
        return _has_slow_part(parse_regex(pattern))
    except (re.error, OverflowError, RecursionError, Warning):  # it can't be used, at least where warnings are errors
        return False
    except (ImportError, AttributeError):  # a future Python may hide its parser
        return False


def _has_slow_part(tree: Any) -> bool:
    return any(
        (str(operator) in REPEATS and arguments[1] >= MANY and _is_ambiguous(arguments[2]))
        or any(map(_has_slow_part, _subtrees(arguments)))
        for operator, arguments in tree
    )


def _is_ambiguous(tree: Any) -> bool:
    repeated = frozenset[str]().union(*(_matched(item) for item in _repeated_characters(tree)))
    separators = [_matched(item) for item in _ungrouped(tree) if str(item[0]) in CHARACTERS]
    return bool(repeated) and all(separator & repeated for separator in separators)


def _repeated_characters(tree: Any, is_repeated: bool = False) -> Iterator[Item]:
    """Yield each character, or set of characters, that is in a repetition of varying length."""
    for operator, arguments in tree:
        if str(operator) in CHARACTERS and is_repeated:
            yield operator, arguments
        varies = str(operator) in REPEATS and arguments[1] > max(arguments[0], 1)
        for subtree in _subtrees(arguments):
            yield from _repeated_characters(subtree, is_repeated or varies)


def _ungrouped(tree: Any) -> Iterator[Item]:
    """Yield the items of a sequence and of the groups in it: what must come in each round."""
    for operator, arguments in tree:
        if str(operator) == "SUBPATTERN":
            yield from _ungrouped(arguments[-1])
        else:
            yield operator, arguments


def _matched(item: Item) -> frozenset[str]:
    return frozenset(filter(compile_regex_item(*item).match, ASCII))


def _subtrees(arguments: Any) -> Iterator[Any]:
    if hasattr(arguments, "getwidth"):
        yield arguments
    elif isinstance(arguments, (tuple, list)):
        for each in arguments:
            yield from _subtrees(each)
