"""Fetch, compare, publish, send the signals."""

from __future__ import annotations

import asyncio
import copy
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.core.cache import caches
from django.dispatch import Signal

from django_flagsmith_realtime.environment.snapshot import Document, Snapshot, parse_document
from django_flagsmith_realtime.exceptions import WrongEnvironment
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.signals import flag_changed, flags_updated
from django_flagsmith_realtime.storage.cache import cache_key
from django_flagsmith_realtime.storage.store import Store
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.clock import Clock
from tests.support.documents import FIRST, RECORDED
from tests.support.sources import FakeSource


class EditedSource(FakeSource):
    """Answers with the recorded document as a test has edited it."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.body = recordings.document()
        self.meanwhile: Callable[[], object] | None = None

    def _answer(self) -> Document:
        document = parse_document(copy.deepcopy(self.body))
        if meanwhile := self.meanwhile:
            self.meanwhile = None
            meanwhile()
        return document

    def state(self, name: str) -> dict[str, Any]:
        return next(state for state in self.body["feature_states"] if state["feature"]["name"] == name)


class Sent(list[tuple[Signal, dict[str, Any]]]):
    """The signals that were sent, in order."""

    def take(self, signal: Signal, **values: Any) -> None:
        self.append((signal, values))

    def of(self, signal: Signal) -> list[dict[str, Any]]:
        return [values for sent, values in self if sent is signal]


@pytest.fixture
def sent() -> Iterator[Sent]:
    sent = Sent()
    for signal in (flags_updated, flag_changed):
        signal.connect(sent.take)
    yield sent
    for signal in (flags_updated, flag_changed):
        signal.disconnect(sent.take)


@pytest.fixture
def source() -> EditedSource:
    return EditedSource()


@pytest.fixture
def store() -> Store:
    return Store("default", "ser.tests")


@pytest.fixture
def publisher(source: EditedSource, store: Store) -> Publisher:
    return Publisher(source=source, store=store)


def test_the_first_snapshot_of_an_empty_cache_sends_flags_updated_alone_and_the_same_again_nothing(
    publisher: Publisher, sent: Sent
) -> None:
    update = publisher.refresh()
    assert update and update.previous is None
    [values] = sent.of(flags_updated)
    assert values["previous"] is None
    assert values["snapshot"] is update.snapshot
    assert set(values["changes"]) == {state["feature"]["name"] for state in RECORDED["feature_states"]}
    assert sent.of(flag_changed) == []
    sent.clear()
    assert publisher.refresh() is None
    assert sent == []


def test_a_repair_returns_whether_the_cache_had_lost_something(publisher: Publisher) -> None:
    assert not publisher.repair(), "nothing is published"
    publisher.refresh()
    assert not publisher.repair()
    caches["default"].clear()
    assert publisher.repair()
    assert not publisher.repair()


def test_an_environment_saved_without_a_change_moves_the_date_alone(
    publisher: Publisher, source: EditedSource, store: Store, sent: Sent
) -> None:
    publisher.refresh()
    before = store.read_head()
    sent.clear()
    source.body["updated_at"] = "2026-11-22T20:00:00.000001+00:00"
    assert publisher.refresh() is None
    after = store.read_head()
    assert before and after and after.updated_at > before.updated_at
    assert (after.sequence, after.version) == (before.sequence, before.version)
    assert sent == []


def test_a_change_sends_flags_updated_and_then_each_flag(
    publisher: Publisher, source: EditedSource, sent: Sent
) -> None:
    publisher.refresh()
    sent.clear()
    source.state("new_checkout")["enabled"] = True
    source.state("banner_text")["feature_state_value"] = "Sale"
    source.body["updated_at"] = "2026-11-22T20:00:00+00:00"
    update = publisher.refresh()
    assert update
    assert [signal for signal, _ in sent] == [flags_updated, flag_changed, flag_changed]
    values = sent[0][1]
    assert values["sender"] is Snapshot
    assert values["snapshot"].sequence > values["previous"].sequence
    assert values["updated_at"].isoformat() == "2026-11-22T20:00:00+00:00"
    assert {name: change.aspects for name, change in values["changes"].items()} == {
        "banner_text": {"value"},
        "new_checkout": {"enabled"},
    }
    banner, checkout = sent.of(flag_changed)
    assert (banner["name"], banner["old"].value, banner["new"].value) == (
        "banner_text",
        FIRST,
        "Sale",
    )
    assert (checkout["name"], checkout["old"].enabled, checkout["new"].enabled) == ("new_checkout", False, True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestWhenSignalsAreSent:
    """Not before every process has stopped trusting the snapshot of before."""

    @pytest.fixture
    def publisher(self, source: EditedSource, store: Store, clock: Clock) -> Publisher:
        publisher = Publisher(source=source, store=store, clock=clock)
        publisher.refresh()
        return self.another(source, store, clock)

    @staticmethod
    def another(source: EditedSource, store: Store, clock: Clock) -> Publisher:
        """Return what publishes next, in another process perhaps."""
        publisher = Publisher(source=source, store=store, freshness=5.0, clock=clock)
        publisher.resume()
        return publisher

    @staticmethod
    def publish(publisher: Publisher, source: EditedSource, text: str) -> None:
        source.state("banner_text")["feature_state_value"] = text
        assert publisher.publish(publisher.fetch())

    @staticmethod
    def signaled(sent: Sent) -> list[tuple[Any, Any]]:
        return [(values["old"].value, values["new"].value) for values in sent.of(flag_changed)]

    def test_the_signals_are_sent_freshness_seconds_after_a_version_is_stored(
        self, publisher: Publisher, source: EditedSource, store: Store, clock: Clock, sent: Sent
    ) -> None:
        self.publish(publisher, source, "one")
        assert publisher.published
        assert store.read_head() == publisher.published.head, "it is stored at once"
        assert publisher.signals_due_at == clock.now + 5
        clock.now += 4.9
        publisher.send_due_signals()
        assert sent == []
        clock.now += 0.1
        publisher.send_due_signals()
        assert self.signaled(sent) == [(FIRST, "one")]
        assert publisher.signals_due_at == float("inf")
        assert store.read_signaled_head() == publisher.published.head

    def test_versions_that_follow_sooner_are_stored_at_once_and_signaled_one_by_one(
        self, publisher: Publisher, source: EditedSource, store: Store, clock: Clock, sent: Sent
    ) -> None:
        for text in ("one", "two", FIRST):
            self.publish(publisher, source, text)
            clock.now += 2
        assert publisher.published
        assert store.read_head() == publisher.published.head
        assert sent == []
        while publisher.signals_due_at != float("inf"):
            clock.now = publisher.signals_due_at
            publisher.send_due_signals()
        assert self.signaled(sent) == [(FIRST, "one"), ("one", "two"), ("two", FIRST)]

    def test_the_next_process_sends_the_signals_that_one_that_died_did_not_send(
        self, publisher: Publisher, source: EditedSource, store: Store, clock: Clock, sent: Sent
    ) -> None:
        self.publish(publisher, source, "one")
        clock.now += 4
        self.publish(publisher, source, "two")
        successor = self.another(source, store, clock)
        assert successor.signals_due_at == clock.now + 5, "the other may have stored it just now"
        clock.now += 5
        successor.send_due_signals()
        assert self.signaled(sent) == [(FIRST, "two")]
        assert self.another(source, store, clock).signals_due_at == float("inf")

    def test_a_repair_does_not_take_what_waits_for_signaled(
        self, publisher: Publisher, source: EditedSource, store: Store, clock: Clock, sent: Sent
    ) -> None:
        self.publish(publisher, source, "one")
        publisher.repair()
        assert self.another(source, store, clock).signals_due_at == clock.now + 5

    def test_a_refresh_waits_until_its_signals_are_due(self, source: EditedSource, store: Store, sent: Sent) -> None:
        began = time.monotonic()
        assert Publisher(source=source, store=store, freshness=0.05).refresh()
        assert time.monotonic() - began >= 0.05
        assert len(sent) == 1

    def test_a_refresh_that_brings_nothing_sends_the_signals_that_another_process_left(
        self, publisher: Publisher, source: EditedSource, store: Store, sent: Sent
    ) -> None:
        self.publish(publisher, source, "one")
        assert Publisher(source=source, store=store).refresh() is None
        assert self.signaled(sent) == [(FIRST, "one")]


def test_ids_that_move_are_published_without_a_signal(publisher: Publisher, source: EditedSource, sent: Sent) -> None:
    publisher.refresh()
    sent.clear()
    source.state("checkout_button")["django_id"] = 990_019  # its percentage split hashes another id now
    update = publisher.refresh()
    assert update and not update.changes
    assert sent == []


class FailingReceiver:
    """A callable without a `__qualname__`."""

    def __call__(self, **values: Any) -> None:
        raise RuntimeError("receiver")


def fail(reason: str, **values: Any) -> None:
    raise RuntimeError(reason)


def test_a_receiver_that_raises_is_logged_and_stops_nobody(
    publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    sent = Sent()
    receivers = [FailingReceiver(), partial(fail, "partial"), sent.take]
    for receiver in receivers:
        flags_updated.connect(receiver)
    try:
        assert publisher.refresh()
    finally:
        for receiver in receivers:
            flags_updated.disconnect(receiver)
    assert len(sent) == 1
    assert caplog.text.count("receiver of Flagsmith signals failed") == 2


@each_case("end", [SystemExit(3), asyncio.CancelledError()])
def test_a_receiver_that_exits_does_not_end_the_listener(
    end: BaseException, source: EditedSource, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(**values: Any) -> None:
        raise end

    caches["default"].clear()
    caplog.clear()
    flags_updated.connect(leave)
    try:
        update = Publisher(source=source, store=store).refresh()
    finally:
        flags_updated.disconnect(leave)
    signaled = store.read_signaled()
    assert update and signaled and signaled.head == update.snapshot.head
    assert "tried to end the listener" in caplog.text


def test_a_document_of_another_environment_is_refused_and_the_flags_stay(
    publisher: Publisher, source: EditedSource, store: Store
) -> None:
    publisher.refresh()
    before = store.read_head()
    source.body["api_key"] = "another"
    with pytest.raises(WrongEnvironment, match="API_URL"):
        publisher.refresh()
    assert store.read_head() == before


def test_a_writer_that_was_overtaken_starts_over(publisher: Publisher, source: EditedSource, store: Store) -> None:
    publisher.refresh()
    other_source = EditedSource()
    other_source.state("banner_text")["feature_state_value"] = "newer"

    def overtake() -> None:
        Publisher(source=other_source, store=store).refresh()
        source.body = other_source.body  # what Flagsmith says when it is asked again

    source.meanwhile = overtake
    assert publisher.refresh() is None, "the newer one is there already"
    assert publisher.published
    assert publisher.published.environment.flags["banner_text"].value == "newer"


def test_a_newer_version_that_is_signaled_while_the_first_signals_are_sent_does_not_end_a_refresh(
    publisher: Publisher, source: EditedSource, store: Store
) -> None:
    left = store.publish(parse_document(RECORDED), after=None)  # by a process that ended before it sent the signals

    def signal_newer(**values: Any) -> None:
        flags_updated.disconnect(signal_newer)
        store.mark_signaled(left.head._replace(sequence=left.sequence + 1))

    flags_updated.connect(signal_newer)
    assert publisher.refresh() is None
    assert publisher.published
    assert publisher.published.head == left.head


def test_an_emptied_cache_is_filled_again_without_a_signal(publisher: Publisher, store: Store, sent: Sent) -> None:
    first = publisher.refresh()
    sent.clear()
    caches["default"].clear()
    update = publisher.refresh()
    assert first and update and update.snapshot.sequence > first.snapshot.sequence
    assert store.read_head() == update.snapshot.head
    assert sent == []


FOREIGN = zlib.compress(b'{"feature_states": [{}], "project": {"segments": []}, "api_key": "a", "name": "n"}')


@each_case("broken", [b"not a payload", FOREIGN])
def test_an_unreadable_payload_is_replaced(broken: bytes, source: EditedSource, store: Store) -> None:
    caches["default"].clear()
    update = Publisher(source=source, store=store).refresh()
    assert update
    store.cache.connection.set(cache_key(store.cache.namespace, f"payload:{update.snapshot.sequence}"), broken)
    assert store.read_environment(update.snapshot.sequence) is None
    repaired = Publisher(source=source, store=store).refresh()
    assert repaired and repaired.snapshot.sequence > update.snapshot.sequence
    assert store.read_environment(repaired.snapshot.sequence)


def test_content_decides_where_a_document_has_no_date(
    publisher: Publisher, source: EditedSource, store: Store, sent: Sent
) -> None:
    del source.body["updated_at"], source.body["name"]
    before = time.time_ns() // 1_000
    first = publisher.refresh()
    assert first and before <= first.snapshot.head.updated_at <= time.time_ns() // 1_000
    assert publisher.refresh() is None
    assert store.read_head() == first.snapshot.head, "nothing new has no new date"
    source.state("banner_text")["feature_state_value"] = "Sale"
    second = publisher.refresh()
    assert second and list(second.changes) == ["banner_text"]
    assert second.snapshot.head.updated_at > first.snapshot.head.updated_at


def test_a_document_without_a_date_is_not_older_than_what_is_published(
    publisher: Publisher, source: EditedSource
) -> None:
    source.body["updated_at"] = "2099-01-01T00:00:00Z"  # Flagsmith's clock is ahead
    assert publisher.refresh()
    del source.body["updated_at"]
    source.state("banner_text")["feature_state_value"] = "Sale"
    assert publisher.refresh()


def test_a_body_older_than_what_was_just_published_is_not_taken_for_news(
    publisher: Publisher, source: EditedSource, store: Store
) -> None:
    source.body["updated_at"] = "2026-11-22T20:00:00+00:00"
    publisher.refresh()
    before = store.read_head()
    source.body["updated_at"] = "2026-11-22T19:00:00+00:00"
    source.state("banner_text")["feature_state_value"] = "stale"
    assert Publisher(source=source, store=store).refresh() is None
    assert store.read_head() == before


def test_a_clock_that_was_set_back_does_not_keep_an_older_body_out(
    publisher: Publisher, source: EditedSource, store: Store
) -> None:
    update = publisher.refresh()
    assert update
    head, in_an_hour = update.snapshot.head, (time.time_ns() // 1_000) + 3_600_000_000
    store.cache.connection.set(
        cache_key(store.cache.namespace, "head"), [head.sequence, head.version, head.updated_at, in_an_hour]
    )
    source.body["updated_at"] = "2020-01-01T00:00:00+00:00"
    source.state("banner_text")["feature_state_value"] = "restored"
    assert Publisher(source=source, store=store).refresh()
