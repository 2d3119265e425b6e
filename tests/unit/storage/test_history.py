"""The last changes, as they are kept in the cache."""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import Any

import pytest
from django.core.cache import caches

from django_flagsmith_realtime.environment.diff import Update
from django_flagsmith_realtime.environment.snapshot import Document, parse_document
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.storage.history import (
    KEPT,
    MAX_BYTES,
    Difference,
    PastChange,
    extend,
    parse_history,
    to_plain,
)
from tests.support import recordings
from tests.support.backends import RecordingCache, use
from tests.support.cases import each_case
from tests.support.documents import PREFIX, RECORDED, configured_store, make_document
from tests.support.sources import FakeSource

CHANGES = f"{PREFIX}:changes"


def publisher(*documents: Document) -> Publisher:
    return Publisher(source=FakeSource(iter(documents).__next__), store=configured_store())


def refresh(*documents: Document) -> list[PastChange]:
    """Publish documents one after the other, and return what is kept of it."""
    one = publisher(*documents)
    for _ in documents:
        one.refresh()
    return configured_store().read_history()


def edited(edit: Any) -> Document:
    body = recordings.document()
    edit(body)
    return parse_document(body)


def differences_of(*documents: Document) -> dict[str, list[tuple[str, str, str]]]:
    return {past.name: [(each.what, each.old, each.new) for each in past.differences] for past in refresh(*documents)}


def segment_of(body: Any, name: str) -> Any:
    return next(segment for segment in body["project"]["segments"] if segment["name"] == name)


def state_of(body: Any, name: str) -> Any:
    return next(state for state in body["feature_states"] if state["feature"]["name"] == name)


class TestWhatIsKept:
    def test_the_state_and_the_value_and_none_of_the_first_flags(self) -> None:
        assert refresh(make_document()) == []
        caches["default"].clear()
        assert differences_of(
            make_document(new_checkout=False, banner_text="a", max_cart_items=5),
            make_document(new_checkout=True, banner_text="b", max_cart_items="5"),
        ) == {
            "new_checkout": [("state", "off", "on")],
            "banner_text": [("value", "a", "b")],
            "max_cart_items": [("value", "5", '"5"')],
        }

    def test_long_values_are_cut_to_where_they_differ(self) -> None:
        same = "s" * 500
        [(_, old, new)] = differences_of(
            make_document(banner_text=f"{same}old{same}"), make_document(banner_text=f"{same}new{same}")
        )["banner_text"]
        assert (old[:24], new[:24]) == (f"…{'s' * 20}old", f"…{'s' * 20}new")
        assert len(old) == len(new) == 60

    def test_a_flag_that_comes_or_goes(self) -> None:
        fewer = edited(lambda body: body["feature_states"].remove(state_of(body, "new_checkout")))
        assert differences_of(make_document(), fewer) == {"new_checkout": [("flag", "there", "")]}
        [newest, _] = refresh(fewer, make_document())
        assert newest.differences == (Difference("flag", "", "there"),)

    def test_variants(self) -> None:
        def edit(body: Any) -> None:
            for state in body["feature_states"]:
                for variant in state["multivariate_feature_state_values"]:
                    variant["percentage_allocation"] = 7

        changes = differences_of(make_document(), edited(edit))
        assert changes
        for differences in changes.values():
            for what, old, new in differences:
                assert what.startswith("variant ")
                assert new.startswith("7 %: ")
                assert old.split(" %: ")[1] == new.split(" %: ")[1]

    def test_overrides_of_a_segment(self) -> None:
        def edit(body: Any) -> None:
            for state in segment_of(body, "gold_members")["feature_states"]:
                state.update(enabled=False, feature_state_value="No more")

        assert differences_of(make_document(), edited(edit))["banner_text"] == [
            ("segment gold_members: state", "on", "off"),
            ("segment gold_members: value", "Welcome back, gold member", "No more"),
        ]

    def test_what_cannot_be_seen_of_a_segment_is_named(self) -> None:
        changed = edited(lambda body: segment_of(body, "gold_members").update(rules=[]))
        assert differences_of(make_document(), changed)["banner_text"] == [("segment overrides", "", "")]

    def test_overrides_of_identities_are_counted_and_not_named(self) -> None:
        fewer = edited(lambda body: body.update(identity_overrides=body["identity_overrides"][1:]))
        history = refresh(make_document(), fewer)
        assert {past.differences for past in history} == {(Difference("identity overrides", "1", ""),)}
        identifiers = [each["identifier"] for each in RECORDED["identity_overrides"]]
        assert history
        assert identifiers
        assert [each for each in identifiers if each in json.dumps(to_plain(history))] == []


class TestBounds:
    def test_the_oldest_go(self) -> None:
        past = [PastChange(number, 0, "flag", ()) for number in range(KEPT)]
        assert extend(past, [PastChange(99, 0, "new", ())]) == [PastChange(99, 0, "new", ()), *past[:-1]]

    def test_many_long_ones_are_no_more_than_some_bytes(self) -> None:
        long = [PastChange(number, 0, "n" * 2_000, (Difference("ü" * 60),) * 8) for number in range(KEPT)]
        kept = extend(long[1:], long[:1])
        assert 2 < len(kept) < KEPT
        assert len(json.dumps(to_plain(kept))) <= MAX_BYTES

    def test_one_flag_with_many_segments_is_bounded(self) -> None:
        def edit(body: Any) -> None:
            segment = segment_of(body, "gold_members")
            body["project"]["segments"] += [{**segment, "id": 1_000 + n, "name": f"{n}" * 500} for n in range(40)]

        [past] = (past for past in refresh(make_document(), edited(edit)) if past.name == "banner_text")
        assert len(past.differences) == 8
        assert max(len(text) for each in past.differences for text in astuple(each)) == 60


class TestInTheCache:
    def test_what_is_written_is_read(self) -> None:
        history = refresh(make_document(new_checkout=False), make_document(new_checkout=True))
        assert [past.name for past in history] == ["new_checkout"]
        assert parse_history(to_plain(history)) == history

    def test_a_version_is_there_once_although_two_send_its_signals(self) -> None:
        first, second = make_document(new_checkout=False), make_document(new_checkout=True)
        one, other = publisher(first, second), publisher()
        one.refresh()
        update = one.refresh()
        assert update
        other._remember(update)
        assert len(configured_store().read_history()) == 1

    def test_whoever_publishes_next_goes_on_with_it(self) -> None:
        old, new = make_document(new_checkout=False), make_document(new_checkout=True)
        one = publisher(old, new, new, new)  # the third is fetched again: somebody else published meanwhile
        one.refresh()
        one.refresh()
        publisher(make_document(banner_text="Theirs")).refresh()
        one.refresh()
        names = [past.name for past in configured_store().read_history()]
        assert names.count("banner_text") == 2
        assert names[-1] == "new_checkout"

    @each_case(
        "garbage", [None, 7, "x", {}, [7], [[1, 2]], [[1, 2, "a", "b"]], [[1, 2, "a", ["b"]]], [[1, 2, "a", [["b"]]]]]
    )
    def test_something_else_in_its_place_is_nothing(self, garbage: object) -> None:
        caches["default"].clear()
        caches["default"].set(CHANGES, garbage)
        assert configured_store().read_history() == []
        assert len(refresh(make_document(new_checkout=False), make_document(new_checkout=True))) == 1

    def test_it_costs_a_write_and_no_read(self, recording: list[tuple[str, str]]) -> None:
        one = publisher(*(make_document(banner_text=text) for text in "abc"))
        for _ in "abc":
            recording.clear()
            one.refresh()
        assert [operation for operation, key in recording if key == "changes"] == ["set"]


class DeafCache(RecordingCache):
    """Fails with the last changes, and with nothing else."""

    is_deaf = False

    def _note(self, operation: str, key: str) -> None:
        if self.is_deaf and key.endswith(":changes"):
            raise ConnectionError("away")
        super()._note(operation, key)


class TestWithoutTheCache:
    @pytest.fixture(autouse=True)
    def deaf(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        use(settings, "tests.unit.storage.test_history.DeafCache")
        return lambda is_deaf: monkeypatch.setattr(DeafCache, "is_deaf", is_deaf)

    def test_an_update_is_published_and_signaled_all_the_same(self, deaf: Any) -> None:
        one = publisher(make_document(banner_text="a"), make_document(banner_text="b"))
        one.refresh()
        deaf(True)
        update = one.refresh()
        assert isinstance(update, Update)
        assert configured_store().read_signaled_head() == update.snapshot.head

    def test_what_could_not_be_written_is_written_with_the_next(self, deaf: Any) -> None:
        one = publisher(*(make_document(banner_text=text) for text in "abcd"))
        one.refresh()
        one.refresh()
        deaf(True)
        one.refresh()
        deaf(False)
        one.refresh()
        assert [past.differences[0].new for past in configured_store().read_history()] == ["d", "c", "b"]
