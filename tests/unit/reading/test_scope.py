"""One snapshot for a request, and none that outlives it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.test import RequestFactory

from django_flagsmith_realtime import Identity, aget_flags, flags_scope, get_flags
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.reading.scope import Scope, current_flags, request_flags
from tests.support.cases import each_case
from tests.support.documents import publish

GOLD = Identity("somebody", {"plan": "gold"})
ALICE = Identity("user_alice")


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

    def test_flags_are_built_once_per_identity_and_anew_for_other_traits(self, request_: HttpRequest) -> None:
        publish()
        assert get_flags(request_) is get_flags(request_)
        assert get_flags(request_) is asyncio.run(aget_flags(request_))
        assert get_flags(request_, identity=GOLD) is get_flags(
            request_, identity=Identity("somebody", {"plan": "gold"})
        )
        assert get_flags(request_, identity=GOLD) is not get_flags(request_)
        assert get_flags(request_, identity=GOLD).is_feature_enabled("new_checkout") is True
        free = Identity("somebody", {"plan": "free"})
        assert get_flags(request_, identity=free).is_feature_enabled("new_checkout") is False
        assert get_flags(request_, identity=GOLD).is_feature_enabled("new_checkout") is True

    def test_nothing_is_asked_until_flags_are(self, request_: HttpRequest, recording: list[Any]) -> None:
        with Scope(request_flags(request_)):
            get_flags()
            get_flags(identity=GOLD)
            assert recording == []
            for flags in (get_flags(), get_flags(identity=GOLD)):
                flags.is_feature_enabled("new_checkout")
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
        with Scope(request_flags(request_)):
            flags = get_flags()
            assert flags is request_flags(request_)
            assert flags.get_feature_value("banner_text") == "one"
            publish(banner_text="two")
            assert get_flags() is flags
            assert flags.get_feature_value("banner_text") == "one"
            assert asyncio.run(aget_flags()) is flags
        assert current_flags() is None

    def test_scopes_nest_and_end_also_by_an_exception(self, request_: HttpRequest) -> None:
        inner = RequestFactory().get("/")
        with Scope(request_flags(request_)):
            with Scope(request_flags(inner)):
                assert get_flags() is request_flags(inner)
            assert get_flags() is request_flags(request_)
        with pytest.raises(RuntimeError), Scope(request_flags(request_)):
            raise RuntimeError
        assert current_flags() is None

    def test_asgirefs_threads_see_the_scope_and_plain_ones_do_not(self, request_: HttpRequest) -> None:
        async def read() -> Any:
            return current_flags()

        async def read_through_threads() -> Any:
            with Scope(request_flags(request_)):
                return await sync_to_async(lambda: async_to_sync(read)())()

        assert asyncio.run(read_through_threads()) is request_flags(request_)
        with Scope(request_flags(request_)):
            found: list[Any] = []
            plain = threading.Thread(target=lambda: found.append(current_flags()))
            copied = threading.Thread(target=copy_context().run, args=(lambda: found.append(current_flags()),))
            for thread in (plain, copied):
                thread.start()
                thread.join()
        assert found == [None, request_flags(request_)]

    def test_coroutines_beside_each_other_have_scopes_of_their_own(self) -> None:
        async def view(text: str) -> Any:
            request = RequestFactory().get("/")
            with Scope(request_flags(request)):
                publish(banner_text=text)
                await aget_flags()
                await asyncio.sleep(0)
                return current_flags() is request_flags(request)

        async def both() -> list[bool]:
            return await asyncio.gather(view("one"), view("two"))

        assert asyncio.run(both()) == [True, True]


def banner() -> Any:
    return get_flags().get_feature_value("banner_text")


async def abanner() -> Any:
    return (await aget_flags()).get_feature_value("banner_text")


def publish_and_look(text: str) -> None:
    publish(banner_text=text)
    get_reader().current()


class TestFlagsScope:
    def test_all_reads_inside_see_one_snapshot_and_the_next_scope_a_new_one(self) -> None:
        for text in ("one", "two"):
            publish(banner_text=text)
            with flags_scope():
                assert banner() == text
                publish_and_look("meanwhile")
                assert banner() == asyncio.run(abanner()) == text
        assert banner() == "meanwhile"

    def test_nothing_is_asked_until_a_flag_is_read(self, recording: list[Any]) -> None:
        with flags_scope(), flags_scope(identity=GOLD):
            get_flags()
        assert recording == []

    def test_the_snapshot_is_that_of_the_first_read_and_not_of_the_beginning(self) -> None:
        with flags_scope():
            publish(banner_text="one")
            assert banner() == "one"

    def test_reads_inside_are_for_the_identity(self) -> None:
        async def read() -> Any:
            async with flags_scope(identity=GOLD):
                return await abanner()

        publish()
        assert asyncio.run(read()) == "Welcome back, gold member"
        with flags_scope(identity=GOLD):
            assert banner() == asyncio.run(abanner()) == "Welcome back, gold member"
            assert get_flags().identity == GOLD
            with flags_scope(identity=Identity("user_alice")):
                assert banner() == "Hello Alice"
            assert banner() == "Welcome back, gold member"
            assert get_flags(identity=None).get_feature_value("banner_text") == "Welcome to Northwind"
        assert banner() == "Welcome to Northwind"

    def test_an_inner_scope_keeps_the_snapshot_and_the_identity_of_the_outer_one(self) -> None:
        publish(max_cart_items=1)
        with flags_scope(identity=GOLD):
            first = get_flags().get_feature_value("max_cart_items")
            publish(max_cart_items=2)
            get_reader().current()
            for identity in (GOLD, ALICE, None):
                with flags_scope(identity=identity):
                    assert get_flags().get_feature_value("max_cart_items") == first
            with flags_scope():
                assert get_flags().identity == GOLD
                assert get_flags().get_feature_value("max_cart_items") == first

    def test_an_outer_scope_takes_the_snapshot_that_an_inner_one_read_first(self) -> None:
        publish(banner_text="one")
        with flags_scope():
            with flags_scope(identity=Identity("x")):
                assert banner() == "one"
            publish_and_look("two")
            assert banner() == "one"

    def test_inside_a_request_it_keeps_the_requests_snapshot(self, request_: HttpRequest) -> None:
        publish(banner_text="one")
        with Scope(request_flags(request_)):
            assert banner() == "one"
            publish_and_look("two")
            with flags_scope(identity=Identity("x")):
                assert banner() == "one"
            with flags_scope():
                assert get_flags() is get_flags(request_)

    def test_a_request_is_read_for_whom_it_is_from_in_any_scope(self, request_: HttpRequest, settings: Any) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "IDENTITY": lambda request: ALICE}
        publish()
        with flags_scope(identity=GOLD):
            assert get_flags(request_).get_feature_value("banner_text") == "Hello Alice"
            assert banner() == "Welcome back, gold member"

    def test_it_is_entered_and_left_by_two_functions(self) -> None:
        stack = ExitStack()

        def before() -> None:
            stack.enter_context(flags_scope())

        def after() -> None:
            stack.close()

        for text in ("one", "two"):
            publish_and_look(text)
            before()
            assert banner() == text
            publish_and_look("meanwhile")
            assert banner() == text
            after()
        assert current_flags() is None

    def test_it_decorates_functions_and_coroutine_functions(self) -> None:
        @flags_scope(identity=GOLD)
        def read(text: str, *, sign: str) -> str:
            """Read the banner."""
            return f"{text} {banner()}{sign}"

        @flags_scope(identity=GOLD)
        async def aread(text: str, *, sign: str) -> str:
            await asyncio.sleep(0)
            return f"{text} {await abanner()}{sign}"

        class Service:
            @flags_scope(identity=GOLD)
            def read(self) -> Any:
                return banner()

        publish()
        assert read("It says:", sign="!") == "It says: Welcome back, gold member!"
        assert asyncio.run(aread("It says:", sign="!")) == "It says: Welcome back, gold member!"
        assert Service().read() == "Welcome back, gold member"
        assert read.__doc__ == "Read the banner."
        assert iscoroutinefunction(aread)
        assert current_flags() is None

    def test_calls_of_a_decorated_function_have_scopes_of_their_own(self) -> None:
        @flags_scope()
        def read(depth: int) -> list[Any]:
            seen = [banner()]
            if depth:
                publish_and_look(str(depth))
                seen += read(depth - 1)
            return seen

        @flags_scope()
        async def aread(text: str) -> Any:
            seen = await abanner()
            publish(banner_text=text)
            await get_reader().acurrent()
            return seen == await abanner()

        async def both() -> list[bool]:
            return await asyncio.gather(aread("one"), aread("two"))

        publish(banner_text="first")
        assert read(2) == ["first"] * 3
        barrier = threading.Barrier(8)

        def wait_and_read(_: int) -> Any:
            barrier.wait()
            return read(0)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(wait_and_read, range(8)))
        assert current_flags() is None
        assert asyncio.run(both()) == [True, True]

    def test_it_ends_by_an_exception_and_by_a_cancellation(self) -> None:
        async def wait() -> None:
            async with flags_scope():
                await asyncio.sleep(60)

        async def cancel() -> bool:
            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return current_flags() is None

        with pytest.raises(LookupError), flags_scope():
            raise LookupError
        with pytest.raises(StopIteration):
            flags_scope()(next)(iter(()))
        assert current_flags() is None
        assert asyncio.run(cancel())

    def test_blocks_that_end_out_of_order_leave_nothing_behind(self) -> None:
        def steps(identity: Identity) -> Iterator[Any]:
            with flags_scope(identity=identity):
                yield get_flags().identity
                yield get_flags().identity

        first, second = steps(GOLD), steps(ALICE)
        assert [next(first), next(second)] == [GOLD, ALICE]
        assert [*first, *second][-1] == ALICE
        assert current_flags() is None

    def test_a_task_that_outlives_it_is_not_in_it_any_more(self, request_: HttpRequest) -> None:
        async def look(after: asyncio.Event) -> Any:
            before = banner()
            await after.wait()
            return [before, current_flags() is None]

        async def outlive(scope: Any) -> Any:
            ended = asyncio.Event()
            with scope:
                task = asyncio.create_task(look(ended))
                await asyncio.sleep(0)
            ended.set()
            return await task

        publish(banner_text="one")
        assert asyncio.run(outlive(flags_scope())) == ["one", True]
        assert asyncio.run(outlive(Scope(request_flags(request_)))) == ["one", True]

    def test_generators_and_classes_are_refused_as_what_they_do_runs_later(self) -> None:
        def steps() -> Iterator[int]:
            yield 1

        async def asteps() -> AsyncIterator[int]:
            yield 1

        with pytest.raises(TypeError, match="RequestFactory is a class: decorate its methods"):
            flags_scope()(RequestFactory)
        for function in (steps, asteps):
            with pytest.raises(TypeError, match=r"steps is a generator.*use `with` inside it"):
                flags_scope()(function)

    @each_case("wrong", ["42", 42, {"id": 1}])
    def test_a_wrong_identity_is_an_error_at_once(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r'identity=Identity\("42"\)'):
            flags_scope(identity=wrong)

    def test_a_coroutine_that_sets_its_identity_does_not_set_that_of_another(self) -> None:
        async def read(identity: Identity) -> Any:
            with flags_scope(identity=identity):
                await asyncio.sleep(0)
                return await abanner()

        async def both() -> list[Any]:
            async with flags_scope():
                return await asyncio.gather(read(GOLD), read(ALICE), abanner())

        publish()
        assert asyncio.run(both()) == ["Welcome back, gold member", "Hello Alice", "Welcome to Northwind"]
