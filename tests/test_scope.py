"""One snapshot for a request, and none that outlives it."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest
from django.test import RequestFactory

from django_flagsmith_realtime import Identity, aget_flags, get_flags
from django_flagsmith_realtime.scope import current_scope, request_scope

from .backends import RecordingCache
from .documents import publish

GOLD = Identity("somebody", {"plan": "gold"})


@pytest.fixture
def request_() -> HttpRequest:
    return RequestFactory().get("/")


class WrappedRequest:
    """What Django REST framework hands to views."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


class TestPinning:
    def test_a_request_keeps_its_snapshot_whatever_is_published_meanwhile(self, request_: HttpRequest) -> None:
        publish(banner_text="one")
        assert get_flags(request_).get_feature_value("banner_text") == "one"
        publish(banner_text="two")
        assert get_flags(request_).get_feature_value("banner_text") == "one"
        assert get_flags(request_, identity=Identity("x")).get_feature_value("banner_text") == "one"
        assert asyncio.run(aget_flags(request_)).get_feature_value("banner_text") == "one"
        assert get_flags(RequestFactory().get("/")).get_feature_value("banner_text") == "two"

    def test_a_request_that_found_nothing_stays_with_nothing(self, request_: HttpRequest) -> None:
        assert len(get_flags(request_)) == 0
        publish()
        assert len(get_flags(request_)) == 0

    def test_flags_are_built_once_per_identity(self, request_: HttpRequest) -> None:
        publish()
        assert get_flags(request_) is get_flags(request_)
        assert get_flags(request_) is asyncio.run(aget_flags(request_))
        assert get_flags(request_, identity=GOLD) is get_flags(
            request_, identity=Identity("somebody", {"plan": "gold"})
        )
        assert get_flags(request_, identity=GOLD) is not get_flags(request_)

    def test_the_same_identifier_with_other_traits_is_evaluated_anew(self, request_: HttpRequest) -> None:
        publish()
        assert get_flags(request_, identity=GOLD).is_feature_enabled("new_checkout") is True
        free = Identity("somebody", {"plan": "free"})
        assert get_flags(request_, identity=free).is_feature_enabled("new_checkout") is False
        assert get_flags(request_, identity=GOLD).is_feature_enabled("new_checkout") is True

    def test_nothing_is_asked_until_flags_are(self, request_: HttpRequest, recording: list[Any]) -> None:
        with request_scope(request_):
            assert recording == []
            get_flags()
            get_flags(identity=GOLD)
            assert recording == [("get", "head")]

    def test_a_request_that_another_wraps_shares_its_scope(self, request_: HttpRequest) -> None:
        publish()
        flags = get_flags(request_)
        assert get_flags(WrappedRequest(request_)) is flags  # type: ignore[arg-type]

    def test_threads_that_read_for_one_request_at_once_agree(self, request_: HttpRequest) -> None:
        publish()
        barrier, seen = threading.Barrier(4), []

        def read() -> None:
            barrier.wait()
            seen.append(get_flags(request_).snapshot)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(map(id, seen))) == 1


class TestContext:
    def test_a_read_without_a_request_finds_the_scope_of_the_context(self, request_: HttpRequest) -> None:
        publish(banner_text="one")
        with request_scope(request_) as scope:
            assert current_scope() is scope is current_scope(request_)
            flags = get_flags()
            publish(banner_text="two")
            assert get_flags() is flags
            assert asyncio.run(aget_flags()) is flags
        assert current_scope() is not scope

    def test_a_scope_ends_also_by_an_exception(self, request_: HttpRequest) -> None:
        before = current_scope()
        with pytest.raises(RuntimeError), request_scope(request_):
            raise RuntimeError
        assert type(current_scope()) is type(before)

    def test_scopes_nest(self, request_: HttpRequest) -> None:
        inner = RequestFactory().get("/")
        with request_scope(request_) as outer_scope:
            with request_scope(inner) as inner_scope:
                assert current_scope() is inner_scope
            assert current_scope() is outer_scope

    def test_asgirefs_threads_see_the_scope_and_plain_ones_do_not(self, request_: HttpRequest) -> None:
        async def look() -> tuple[Any, Any]:
            with request_scope(request_) as scope:
                return scope, await sync_to_async(lambda: async_to_sync(acurrent)())()

        async def acurrent() -> Any:
            return current_scope()

        scope, seen = asyncio.run(look())
        assert seen is scope
        with request_scope(request_) as scope:
            found: list[Any] = []
            plain = threading.Thread(target=lambda: found.append(current_scope()))
            copied = threading.Thread(target=copy_context().run, args=(lambda: found.append(current_scope()),))
            for thread in (plain, copied):
                thread.start()
                thread.join()
        assert found[0] is not scope
        assert found[1] is scope

    def test_coroutines_beside_each_other_have_scopes_of_their_own(self) -> None:
        async def view(text: str) -> Any:
            request = RequestFactory().get("/")
            with request_scope(request):
                publish(banner_text=text)
                await aget_flags()
                await asyncio.sleep(0)
                return current_scope() is current_scope(request)

        async def both() -> list[bool]:
            return await asyncio.gather(view("one"), view("two"))

        assert asyncio.run(both()) == [True, True]


class TestUnscoped:
    def test_the_cache_is_asked_at_most_once_a_second(self, recording: list[Any]) -> None:
        publish()
        recording.clear()
        for _ in range(20):
            get_flags().is_feature_enabled("new_checkout")
        assert RecordingCache.operations == [("get", "head"), ("get", "payload")]

    def test_freshness_says_how_long_a_process_trusts_its_snapshot(
        self,
        settings: Any,
        recording: list[Any],
    ) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "FRESHNESS": 60}
        publish()
        recording.clear()
        for _ in range(3):
            get_flags(RequestFactory().get("/"))
            asyncio.run(aget_flags(RequestFactory().get("/")))
        assert recording == [("get", "head"), ("get", "payload")]

    def test_without_freshness_each_request_asks_once(self, recording: list[Any]) -> None:
        publish()
        recording.clear()
        for _ in range(3):
            get_flags(RequestFactory().get("/"))
        assert recording.count(("get", "head")) == 3
