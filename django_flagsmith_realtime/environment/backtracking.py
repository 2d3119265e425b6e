"""Regular expressions with which a visitor's trait can block a process.

Python's `re` tries each way to match. In `^(a+)+$` a repetition is repeated: 28 letters can be divided among its rounds
in 2 ** 27 ways, and where the text does not match, all of them are tried.

The rule: a part that may come ten times or more contains a repetition of varying length, and no other character that
must come in each round keeps the rounds apart. `([a-z]+\\.)+` is fast, and `(.*,)*` is slow, as `.` matches the comma
too. The rule finds the usual mistake, not each: alternatives that overlap, as in `(a|aa)+`, are slow as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
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
        items = list(_items(parse_regex(pattern)))
        return any(arguments[1] >= MANY and _is_ambiguous(arguments[2]) for _, arguments in _only(REPEATS, items))
    except (re.error, OverflowError, RecursionError, Warning):  # it can't be used, at least where warnings are errors
        return False
    except (ImportError, AttributeError):  # a future Python may hide its parser
        return False


def _is_ambiguous(tree: Any) -> bool:
    repeated: set[str] = set()
    for _, (least, most, inner) in _only(REPEATS, _items(tree)):
        if most > max(least, 1):  # it varies
            repeated.update(*map(_matched, _only(CHARACTERS, _items(inner))))
    return bool(repeated) and all(_matched(item) & repeated for item in _only(CHARACTERS, _ungrouped(tree)))


def _only(operators: Sequence[str], items: Iterable[Item]) -> Iterator[Item]:
    return (item for item in items if str(item[0]) in operators)


def _items(tree: Any) -> Iterator[Item]:
    """Yield the items of a sequence, and all that are in them."""
    for operator, arguments in tree:
        yield operator, arguments
        for subtree in _subtrees(arguments):
            yield from _items(subtree)


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
