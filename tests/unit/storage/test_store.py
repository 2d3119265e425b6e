"""The snapshot in the cache, on every backend."""

from __future__ import annotations

import random
import time
import zlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.core.cache import InvalidCacheBackendError, caches

from django_flagsmith_realtime.environment.snapshot import Head, Snapshot
from django_flagsmith_realtime.exceptions import StoreError
from django_flagsmith_realtime.reading.reader import drop_readers, get_reader
from django_flagsmith_realtime.storage import cache
from django_flagsmith_realtime.storage.backends import Backend
from django_flagsmith_realtime.storage.cache import Cache
from django_flagsmith_realtime.storage.history import Difference, PastChange
from django_flagsmith_realtime.storage.store import SUPERSEDED_SECONDS, Store
from django_flagsmith_realtime.storage.usage import Usage
from tests.support.backends import use
from tests.support.cases import each_case
from tests.support.documents import HEAD, KEY, PREFIX, banner, configured_store, make_document, payload_key, publish
from tests.support.processes import MemcachedServer, RedisServer
from tests.unit.storage.test_status import FULL


class TestOnEachCache:
    def test_what_the_leader_writes_is_read_back_equal(self, each_cache: str) -> None:
        document = make_document(banner_text="Grüße 🚀", new_checkout=True)
        store = configured_store()
        assert store.read_head() is None
        published = store.publish(document, after=None)

        reader = configured_store()
        head = reader.read_head()
        assert head == published.head
        assert head.version == document.environment.version
        assert head.updated_at == document.updated_at
        environment = reader.read_environment(head.sequence)
        assert environment is not None
        assert environment.document == document.environment.document
        assert dict(environment.flags) == dict(document.environment.flags)
        assert get_reader().current().head == head

        history = [PastChange(1, 2, "banner_text", (Difference("value", "Grüße", "🚀"),))]
        usage = Usage(since=5.0).add({"a": 3}, now=6.0)
        assert (store.read_status(), store.read_history(), store.read_usage()) == (None, [], None)
        store.write_status(FULL)
        store.write_history(history)
        store.write_usage(usage)
        assert (store.read_status(), store.read_history(), store.read_usage()) == (FULL, history, usage)


class TestPublishing:
    def test_a_superseded_payload_stays_readable(self) -> None:
        first, second = publish(banner_text="one"), publish(banner_text="two")
        store = configured_store()
        assert store.read_head() == second.head
        assert banner(Snapshot(first.head, store.read_environment(first.sequence))) == "one"
        assert banner(Snapshot(second.head, store.read_environment(second.sequence))) == "two"

    def test_confirm_moves_the_date_only(self) -> None:
        snapshot = publish()
        moved = configured_store().confirm(snapshot, snapshot.head.updated_at + 7)
        head = configured_store().read_head()
        assert head == moved.head
        assert head.updated_at == snapshot.head.updated_at + 7
        assert (head.sequence, head.version) == (snapshot.sequence, snapshot.version)
        assert head.published_at == snapshot.head.published_at
        assert head.changed_at == snapshot.head.updated_at

    def test_the_time_for_other_programs_moves_whenever_the_content_does(self) -> None:
        first = publish(banner_text="one").head
        assert first.changed_at == first.updated_at
        unmoved = publish(banner_text="two").head
        assert (unmoved.updated_at, unmoved.changed_at) == (first.updated_at, first.changed_at + 1)
        later = replace(make_document(banner_text="three"), updated_at=first.updated_at + 7)
        assert configured_store().publish(later, after=unmoved).head.changed_at == first.updated_at + 7
        earlier = replace(make_document(banner_text="four"), updated_at=first.updated_at - 7)
        assert configured_store().publish(earlier, after=unmoved).head.changed_at == unmoved.changed_at + 1

    @each_case("junk", ["text", 7, ["a", 1, 2, 3, 4], [1, "a", 2], {"sequence": 1}, b"\x00"])
    def test_something_else_in_the_head_s_place_is_ignored(self, junk: Any) -> None:
        caches["default"].set(HEAD, junk, None)
        drop_readers()
        assert configured_store().read_head() is None
        assert get_reader().current() is None
        assert banner(publish(banner_text="healed")) == "healed"
        assert banner(get_reader().current()) == "healed"

    @each_case(
        "junk",
        ["text", b"", b"not zlib", zlib.compress(b"[]"), zlib.compress(b"{"), zlib.compress(b"{}"), None],
    )
    def test_something_else_in_a_payload_s_place_is_ignored(self, settings: Any, junk: Any) -> None:
        snapshot = publish(banner_text="one")
        assert banner(get_reader().current()) == "one"
        published = publish(banner_text="two")
        caches["default"].set(payload_key(published), junk, None)
        assert configured_store().read_environment(published.sequence) is None
        assert get_reader().current().head == snapshot.head
        publish(banner_text="three")
        assert banner(get_reader().current()) == "three"

    def test_the_payload_is_written_and_read_back_before_the_head(self, recording: list[tuple[str, str]]) -> None:
        configured_store().publish(make_document(), after=None)
        assert recording == [("add", "payload"), ("get", "payload"), ("set", "head"), ("get", "head")]

    def test_the_payload_signaled_before_expires_when_the_next_was_signaled(
        self, recording: list[tuple[str, str]]
    ) -> None:
        store = configured_store()
        first, second = publish(banner_text="one"), publish(banner_text="two")
        store.mark_signaled(first.head)
        recording.clear()
        store.mark_signaled(second.head)
        assert recording == [("get", "signaled"), ("touch", "payload"), ("touch", "payload"), ("set", "signaled")]
        assert store.read_signaled().head == second.head

    @pytest.mark.slow
    def test_a_cache_that_stores_nothing_is_an_error(self, settings: Any) -> None:
        use(settings, "tests.support.backends.ForgetfulCache")
        with pytest.raises(StoreError, match=r"did not keep 'payload' \([\d,]+ bytes\)"):
            publish()

    def test_a_payload_over_memcacheds_limit_is_an_error_and_leaves_the_head(
        self, memcached_server: MemcachedServer, settings: Any
    ) -> None:
        settings.CACHES = {"default": memcached_server.cache()}
        before = publish(banner_text="one")
        noise = b64encode(random.Random(1).randbytes(800_000)).decode()  # no text packs into fewer bytes
        with pytest.raises(StoreError):
            publish(banner_text=noise)
        assert configured_store().read_head() == before.head
        assert banner(get_reader().current()) == "one"

    def test_a_sequence_is_the_millisecond_in_which_the_document_was_asked_for(self) -> None:
        before = time.time_ns() // 1_000_000
        document = make_document()
        asked_by = time.time_ns() // 1_000_000
        snapshot = configured_store().publish(document, after=None)
        assert before <= snapshot.sequence <= asked_by
        assert before <= snapshot.head.published_at // 1_000

    def test_two_writers_that_asked_in_the_same_millisecond_share_no_sequence(self) -> None:
        one, other = make_document(banner_text="one"), make_document(banner_text="other")
        other = replace(other, asked_at=one.asked_at)
        first, second = (configured_store().publish(document, after=None) for document in (one, other))
        assert second.sequence == first.sequence + 1
        assert banner(Snapshot(first.head, configured_store().read_environment(first.sequence))) == "one"
        assert banner(get_reader().current()) == "other"

    def test_a_payload_whose_head_failed_is_used_when_it_is_published_again(self) -> None:
        document = make_document()
        first = configured_store().publish(document, after=None)
        assert configured_store().publish(document, after=None).sequence == first.sequence

    def test_a_replica_that_lags_behind_is_waited_for(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache, "READ_BACK_DELAYS", (0.0, 0.001, 0.001, 0.001, 0.001))
        use(settings, "tests.support.backends.LaggingCache")
        for step in range(3):
            assert banner(publish(banner_text=str(step))) == str(step)

    def test_a_payload_without_a_head_expires(self, redis_server: RedisServer, settings: Any) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        left, kept = publish(banner_text="left"), publish(banner_text="kept")
        configured_store().mark_signaled(kept.head)
        with redis_server.client() as client:
            assert 0 < client.ttl(f":1:{payload_key(left)}") <= SUPERSEDED_SECONDS
            assert client.ttl(f":1:{payload_key(kept)}") == -1

    def test_a_sequence_grows_although_the_clock_went_back(self) -> None:
        ahead = Head(time.time_ns() // 1_000_000 + 3_600_000, "v", 0, 0, 0)
        snapshot = configured_store().publish(make_document(), after=ahead)
        assert snapshot.sequence == ahead.sequence + 1
        assert configured_store().publish(make_document(), after=snapshot.head).sequence == ahead.sequence + 2

    def test_the_names_of_keys_carry_schema_and_digest_but_never_the_key(
        self, redis_server: RedisServer, settings: Any
    ) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        first, second = publish(), publish(new_checkout=True)
        for snapshot in (first, second):
            configured_store().mark_signaled(snapshot.head)
        with redis_server.client() as client:
            keys = {key.decode() for key in client.scan_iter()}
            names = ("head", "signaled", f"payload:{first.sequence}", f"payload:{second.sequence}")
            assert keys == {f":1:{PREFIX}:{name}" for name in names}
            assert not any(KEY in key or "tests" in key for key in keys)
            assert all(KEY.encode() not in client.get(key) for key in keys)
            assert client.ttl(f":1:{HEAD}") == client.ttl(f":1:{PREFIX}:signaled") == -1
            assert client.ttl(f":1:{payload_key(second)}") == -1
            assert 0 < client.ttl(f":1:{payload_key(first)}") <= SUPERSEDED_SECONDS

    def test_two_environments_share_a_cache_without_meeting(self) -> None:
        one, other = Store("default", "ser.one"), Store("default", "ser.other")
        one.publish(make_document(banner_text="one"), after=None)
        assert other.read_head() is None

    def test_personal_data_stays_out_of_the_payload(self) -> None:
        payload = zlib.decompress(publish().environment.payload).decode()
        assert "identity_traits" not in payload
        assert "created_date" not in payload

    @each_case(
        "raw",
        [
            b'[1, "json"]',
            b"\x80\x05garbage",
            b"\x80\x63.",  # a protocol of a later Python
            b"\x80\x05cnowhere\nNothing\n.",  # a class that can't be imported
            zlib.compress(b"other"),
            b"",
            b"\xff\xfe",
        ],
    )
    def test_what_another_serializer_left_behind_is_replaced(
        self, redis_server: RedisServer, settings: Any, raw: bytes
    ) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        with redis_server.client() as client:
            client.set(f":1:{HEAD}", raw)
        assert configured_store().read_head() is None
        assert banner(publish(banner_text="healed")) == "healed"
        assert banner(get_reader().current()) == "healed"

    def test_a_client_that_is_misconfigured_is_an_error_not_an_empty_cache(self, settings: Any) -> None:
        use(settings, "django.core.cache.backends.redis.RedisCache", LOCATION="redis://127.0.0.1:1/0")
        settings.CACHES["default"]["OPTIONS"] = {"no_such_option": 1}
        settings.CACHES = dict(settings.CACHES)
        with pytest.raises(StoreError, match="no_such_option"):
            configured_store().read_head()

    def test_an_alias_that_is_not_there_is_named_with_those_that_are(self) -> None:
        with pytest.raises(InvalidCacheBackendError, match=r"'typo'.*name one of: default"):
            Store("typo", KEY)

    def test_a_client_that_is_not_thread_safe_is_made_once_per_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache, "get_backend", lambda alias: Backend(is_thread_safe=False))
        opened = Cache("default", "tests")
        with ThreadPoolExecutor(1) as executor:
            elsewhere = executor.submit(lambda: opened.connection).result()
            assert executor.submit(lambda: opened.connection).result() is elsewhere
        assert opened.connection is opened.connection
        assert opened.connection is not elsewhere


@each_case("garbage", [None, 7, "", "no colon", b"\xff", ["web-1:42:token"]])
def test_anything_but_a_lease_has_no_process(garbage: Any) -> None:
    caches["default"].set(f"{PREFIX}:lease", garbage)
    assert not configured_store().read_leader()
