"""The last changes, as they are kept in the cache."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import caches

from django_flagsmith_realtime.changes import FlagChange, diff
from django_flagsmith_realtime.history import KEPT, extend, parse_history, tell, to_plain
from django_flagsmith_realtime.refresh import Update

from .documents import PREFIX, RECORDED, configured_store, make_document, publish


def update(**flags: Any) -> Update:
    store = configured_store()
    head = store.read_head()
    previous = publish() if head is None else None
    snapshot = publish(**flags)
    return Update.between(previous, snapshot)


def test_what_changed_is_told_in_words() -> None:
    changes = diff(
        make_document(new_checkout=False, banner_text="a", max_cart_items=5).environment,
        make_document(new_checkout=True, banner_text="b" * 100).environment,
    )
    assert tell(changes["new_checkout"]) == "switched on"
    assert tell(changes["banner_text"]) == f'value "a" → "{"b" * 58}…'
    [flag] = [make_document().environment.flags["new_checkout"]]
    assert tell(FlagChange("x", None, flag, frozenset())) == "added"
    assert tell(FlagChange("x", flag, None, frozenset())) == "removed"


def test_overrides_of_identities_are_told_without_whose_they_are() -> None:
    flag = make_document().environment.flags["new_checkout"]
    assert tell(FlagChange("x", flag, flag, frozenset({"identity_overrides"}))) == "identity overrides"
    assert RECORDED["identity_overrides"]


def test_a_version_is_there_once_and_the_oldest_go(each_cache: str) -> None:
    store = configured_store()
    made = update(banner_text="Hello")
    for _ in range(2):
        store.write_history(made.snapshot.head, made.changes)
    [past] = configured_store().read_history()
    assert (past.name, past.sequence) == ("banner_text", made.snapshot.sequence)

    many = {f"flag_{number}": made.changes["banner_text"] for number in range(KEPT + 9)}
    assert len(extend([past], made.snapshot.head, many)) == KEPT


@pytest.mark.parametrize("garbage", [None, 7, "x", {}, [7], [[1, 2]], [[1, "2", "a", "b"]]])
def test_garbage_in_its_place_is_nothing(garbage: object) -> None:
    caches["default"].set(f"{PREFIX}:changes", garbage)
    assert configured_store().read_history() == []


def test_what_is_written_is_read() -> None:
    made = update(banner_text="Hello", new_checkout=True)
    history = extend([], made.snapshot.head, made.changes)
    assert history
    assert parse_history(to_plain(history)) == history
