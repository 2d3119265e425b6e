"""Whom flags are for: the request's identity, found once and only when a flag is read."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import partial
from itertools import cycle
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest
from django.template import Context, Template
from django.test import RequestFactory

from django_flagsmith_realtime import Identity, aget_flags, get_flags
from django_flagsmith_realtime.decorators import flag_enabled
from django_flagsmith_realtime.exceptions import InvalidIdentity
from django_flagsmith_realtime.reading import event_loop, throttle
from django_flagsmith_realtime.reading.reader import get_reader
from tests.support.cases import each_case
from tests.support.documents import publish

ALICE = Identity("user_alice")  # the recorded document overrides banner_text for her
HELLO, WELCOME = "Hello Alice", "Welcome to Northwind"
Read = Callable[[HttpRequest], Any]


def configure(settings: Any, ask: Any, **keys: Any) -> None:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "IDENTITY": ask, **keys}


def new_request() -> HttpRequest:
    return RequestFactory().get("/")


@pytest.fixture
def request_() -> HttpRequest:
    return new_request()


class Asked:
    """Callables of all kinds that name Alice, and count how often they are asked."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []

    def sync(self, request: HttpRequest) -> Identity | None:
        self.requests.append(request)
        return ALICE

    async def coroutine(self, request: HttpRequest) -> Identity | None:
        await asyncio.sleep(0)
        return self.sync(request)

    @property
    def awaitable(self) -> Callable[[HttpRequest], Any]:
        return lambda request: self.coroutine(request)

    @property
    def partial(self) -> Callable[[HttpRequest], Any]:
        return partial(self.coroutine)

    @property
    def async_object(self) -> Any:
        class Callable:
            async def __call__(_, request: HttpRequest) -> Identity | None:  # noqa: N805
                return await self.coroutine(request)

        return Callable()

    @property
    def twins(self) -> Any:
        class Callable:
            def __call__(_, request: HttpRequest) -> Identity | None:  # noqa: N805
                return self.sync(request)

            async def acall(_, request: HttpRequest) -> Identity | None:  # noqa: N805
                return await self.coroutine(request)

        return Callable()


@pytest.fixture
def asked() -> Asked:
    return Asked()


KINDS = ("sync", "coroutine", "awaitable", "partial", "async_object", "twins")


each_sort = each_case("kind", ["sync", "coroutine"])  # of callables, that differs to who asks


def configured(settings: Any, kind: str) -> Asked:
    asked = Asked()
    configure(settings, getattr(asked, kind))
    return asked


def banner(request: HttpRequest | None = None, **kwargs: Any) -> Any:
    return get_flags(request, **kwargs).get_feature_value("banner_text")


async def abanner(request: HttpRequest | None = None, **kwargs: Any) -> Any:
    return (await aget_flags(request, **kwargs)).get_feature_value("banner_text")


async def banner_on_a_loop(request: HttpRequest) -> Any:
    return banner(request)


def template_banner(request: HttpRequest) -> Any:
    return Template("{% load flagsmith %}{% flag_value 'banner_text' %}").render(Context({"request": request}))


def decorated_banner(request: HttpRequest) -> Any:
    return flag_enabled("banner_text")(lambda request: banner(request))(request)


@flag_enabled("banner_text")
async def adecorated_banner(request: HttpRequest) -> Any:
    return banner(request)


READS: dict[str, Read] = {
    "sync": banner,
    "async": lambda request: asyncio.run(abanner(request)),
    "sync on an event loop": lambda request: asyncio.run(banner_on_a_loop(request)),
    "sync in a thread of an event loop": lambda request: asyncio.run(sync_to_async(banner)(request)),
    "async from a thread": lambda request: async_to_sync(abanner)(request),
    "template": template_banner,
    "template on an event loop": lambda request: asyncio.run(sync_to_async(template_banner)(request)),
    "decorator": decorated_banner,
    "decorator of a coroutine": lambda request: asyncio.run(adecorated_banner(request)),
}


class TestCallable:
    @each_case("kind", KINDS)
    def test_each_way_to_read_asks_each_kind_of_callable_once(self, settings: Any, asked: Asked, kind: str) -> None:
        publish()
        configure(settings, getattr(asked, kind))
        for way, read in READS.items():
            request = new_request()
            asked.requests.clear()
            assert [read(request), read(request), banner(request)] == [HELLO] * 3, way
            assert asked.requests == [request], way

    @each_sort
    def test_it_is_not_asked_until_a_flag_is_read(self, settings: Any, kind: str) -> None:
        publish()
        asked = configured(settings, kind)
        flags = get_flags(new_request())
        decorated = flag_enabled("new_checkout")(lambda request: None)
        assert (len(flags), "new_checkout" in flags, next(iter(flags)), bool(decorated), repr(flags)) == (
            22,
            True,
            "dark_mode",
            True,
            "<Flags of a request>",
        )
        assert asked.requests == []
        assert flags.is_feature_enabled("banner_text")
        assert len(asked.requests) == 1

    @pytest.mark.parametrize("kind", ["sync", "coroutine"])
    def test_it_is_not_asked_where_it_would_make_no_difference(self, settings: Any, kind: str) -> None:
        asked = configured(settings, kind)
        assert get_flags(new_request()).is_feature_enabled("new_checkout") is False
        assert asyncio.run(abanner(new_request())) is None
        publish()
        get_reader().current()
        request = new_request()
        assert get_flags(request).get_feature_value("typo", "default") == "default"
        assert get_flags(request, identity=Identity("user_bob")).get_flag("max_cart_items").enabled is False
        assert asked.requests == []

    @each_sort
    def test_it_is_asked_again_for_the_next_request(self, settings: Any, kind: str) -> None:
        publish()
        asked = configured(settings, kind)
        for _ in range(3):
            request = new_request()
            assert banner(request) == asyncio.run(abanner(request)) == HELLO
        assert len(asked.requests) == 3

    @each_case("way", READS)
    def test_none_means_the_environments_flags(self, settings: Any, way: str) -> None:
        publish()
        configure(settings, lambda request: None)
        assert READS[way](new_request()) == WELCOME

    @each_case("way", READS)
    def test_a_dotted_path_names_it(self, settings: Any, way: str) -> None:
        publish()
        configure(settings, "tests.unit.reading.test_request_identity.name_alice")
        assert READS[way](new_request()) == HELLO

    @each_sort
    def test_without_a_request_there_is_nobody_to_ask_for(self, settings: Any, kind: str) -> None:
        publish()
        asked = configured(settings, kind)
        assert banner() == asyncio.run(abanner()) == WELCOME
        assert asked.requests == []

    def test_of_twins_each_world_asks_its_own(self, settings: Any) -> None:
        class Twins:
            def __call__(self, request: HttpRequest) -> Identity:
                return Identity("sync")

            async def acall(self, request: HttpRequest) -> Identity:
                return Identity("async")

        publish()
        configure(settings, Twins())
        for name, read in READS.items():
            request = new_request()
            read(request)
            waits = name in ("async", "sync on an event loop", "async from a thread", "decorator of a coroutine")
            assert get_flags(request).identity == Identity("async" if waits else "sync"), name

    @each_case("way", READS)
    def test_it_runs_in_the_context_of_the_read(self, settings: Any, way: str) -> None:
        variable: ContextVar[str] = ContextVar("variable", default="unset")

        async def ask(request: HttpRequest) -> Identity:
            return Identity(variable.get())

        publish()
        configure(settings, ask)
        variable.set("user_alice")
        assert READS[way](new_request()) == HELLO


def name_alice(request: HttpRequest) -> Identity:
    return ALICE


class TestExplicit:
    @each_sort
    def test_an_explicit_identity_wins_over_the_callable_and_none_is_nobody(self, settings: Any, kind: str) -> None:
        publish()
        asked, request = configured(settings, kind), new_request()
        for identity, shown in ((Identity("x", {"plan": "gold"}), "Welcome back, gold member"), (None, WELCOME)):
            assert banner(request, identity=identity) == asyncio.run(abanner(request, identity=identity)) == shown
        assert asked.requests == []
        assert banner(request) == HELLO

    @each_case("wrong", ["42", 42, {"id": 1}, object(), Identity])
    def test_anything_else_is_an_error_that_says_how(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r'identity=Identity\("42"\)'):
            get_flags(identity=wrong)
        with pytest.raises(TypeError, match=r'identity=Identity\("42"\)'):
            asyncio.run(aget_flags(identity=wrong))


def said(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what this package logged: asyncio has its say about slow machines."""
    return [record for record in caplog.records if record.name.startswith("django_flagsmith_realtime")]


def nothing_logged_yet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    throttle._logged.clear()


class TestFaults:
    @each_case(("way", "kind"), list(zip(READS, cycle(["sync", "coroutine"]))))
    def test_a_callable_that_raises_costs_the_identity_and_not_the_page(
        self, settings: Any, kind: str, way: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish()
        nothing_logged_yet(caplog)
        request, read = new_request(), READS[way]
        calls: list[Any] = []

        def fail(request: HttpRequest) -> Identity:
            calls.append(request)
            raise LookupError("a bug of the project's")

        async def afail(request: HttpRequest) -> Identity:
            return fail(request)

        configure(settings, fail if kind == "sync" else afail)
        for _ in range(2):
            assert read(request) == WELCOME
        assert len(calls) == 1
        assert read(new_request()) == WELCOME
        [record] = said(caplog)
        assert "IDENTITY" in record.getMessage()
        assert record.levelname == "ERROR"
        assert record.exc_info
        assert record.exc_info[0] is LookupError

    def test_another_kind_of_error_is_logged_too_and_the_same_one_again_after_a_minute(
        self, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish()
        errors = [LookupError("x"), OSError("x"), LookupError("x"), OSError("x"), LookupError("x")]

        def fail(request: HttpRequest) -> Identity:
            raise errors.pop()

        configure(settings, fail)
        for _ in range(4):
            banner(new_request())
        assert len(said(caplog)) == 2
        throttle._logged["IDENTITY", "LookupError"] -= throttle.LOG_SECONDS
        banner(new_request())
        assert len(said(caplog)) == 3
        throttle._logged["IDENTITY", "LookupError"] += 1e9  # in a test that froze the clock
        errors.append(LookupError("x"))
        banner(new_request())
        assert len(said(caplog)) == 4

    @each_case(
        ("way", "answer"),
        list(zip(READS, cycle(["secret@example.com", 42, {"identifier": "secret@example.com"}, ALICE.traits]))),
    )
    def test_an_answer_of_another_type_is_reported_without_it(
        self, settings: Any, answer: Any, way: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish()
        nothing_logged_yet(caplog)
        configure(settings, lambda request: answer)
        assert READS[way](new_request()) == WELCOME
        assert f"returned a {type(answer).__name__}: return an Identity" in caplog.text
        assert "secret" not in caplog.text

    @each_case(
        ("way", "path"),
        list(zip(READS, cycle(["nowhere.to.be.found", "tests.unit.reading.test_request_identity.nobody", "nodots"]))),
    )
    def test_a_path_that_leads_nowhere_does_not_break_reads(
        self, settings: Any, path: str, way: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish()
        nothing_logged_yet(caplog)
        configure(settings, path)
        assert READS[way](new_request()) == WELCOME
        assert len(said(caplog)) == 1

    @each_case("way", READS)
    def test_strict_raises(self, settings: Any, way: str) -> None:
        publish()
        configure(settings, lambda request: "alice", STRICT=True)
        with pytest.raises(InvalidIdentity, match="returned a str"):
            READS[way](new_request())
        configure(settings, lambda request: 1 / 0, STRICT=True)
        with pytest.raises(ZeroDivisionError):
            READS[way](new_request())

    @each_case("way", READS)
    def test_a_callable_that_reads_a_flag_sees_the_environments(self, settings: Any, way: str) -> None:
        publish()

        def ask(request: HttpRequest) -> Identity:
            return Identity("user_alice" if banner(request) == WELCOME else "nobody")

        async def aask(request: HttpRequest) -> Identity:
            return Identity("user_alice" if await abanner(request) == banner(request) == WELCOME else "nobody")

        for kind in (ask, aask):
            configure(settings, kind)
            assert READS[way](new_request()) == HELLO

    def test_a_loop_is_blocked_for_a_moment_at_most(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch, request_: HttpRequest, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish()
        monkeypatch.setattr(event_loop, "BLOCK_SECONDS", 0.01)
        done = threading.Event()

        def wait(request: HttpRequest) -> Identity:
            done.wait(10)
            return ALICE

        configure(settings, wait)
        assert asyncio.run(banner_on_a_loop(request_)) == WELCOME
        done.set()
        assert asyncio.run(banner_on_a_loop(request_)) == WELCOME, "within a request nothing flickers"
        assert "TimeoutError: No answer within 0.01 s" in caplog.text
        assert "await request.aflags()` before it" in caplog.text


class TestAtOnce:
    @each_case("kind", KINDS)
    def test_coroutines_of_a_request_ask_once(self, settings: Any, kind: str) -> None:
        publish()
        request, asked = new_request(), Asked()
        configure(settings, getattr(asked, kind))

        async def many() -> list[Any]:
            return await asyncio.gather(*(abanner(request) for _ in range(20)))

        assert set(asyncio.run(many())) == {HELLO}
        assert asked.requests == [request]

    def test_threads_of_a_request_ask_once(self, settings: Any, asked: Asked, request_: HttpRequest) -> None:
        publish()
        readers, askers = threading.Barrier(8), threading.Barrier(2)

        def ask(request: HttpRequest) -> Identity | None:
            with suppress(threading.BrokenBarrierError):
                askers.wait(0.05)  # for somebody else who asks
            return asked.sync(request)

        def read() -> Any:
            readers.wait()
            return banner(request_)

        configure(settings, ask)
        with ThreadPoolExecutor(8) as threads:
            assert {future.result() for future in [threads.submit(read) for _ in range(8)]} == {HELLO}
        assert len(asked.requests) == 1

    def test_a_coroutine_that_is_cancelled_leaves_the_question_to_the_others(
        self, settings: Any, request_: HttpRequest
    ) -> None:
        publish()
        asking: list[Any] = []

        async def ask(request: HttpRequest) -> Identity:
            asking.append(asyncio.current_task())
            if len(asking) == 1:
                await asyncio.Event().wait()
            return ALICE

        async def cancel_one() -> list[Any]:
            tasks = {asyncio.create_task(abanner(request_)) for _ in range(2)}
            while not asking:
                await asyncio.sleep(0)
            asking[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking[0]
            return [await task for task in tasks - {asking[0]}]

        configure(settings, ask)
        assert asyncio.run(cancel_one()) == [HELLO]

    def test_a_thread_does_not_wait_for_a_coroutine_that_needs_it(self, settings: Any, request_: HttpRequest) -> None:
        publish()
        asking = threading.Event()
        first = threading.Lock()

        async def ask(request: HttpRequest) -> Identity:
            if first.acquire(blocking=False):
                asking.set()
                await sync_to_async(lambda: None)()  # queues behind the thread below
            return ALICE

        def read() -> Any:
            asking.wait(10)
            return banner(request_)

        async def both() -> list[Any]:
            return await asyncio.gather(sync_to_async(read)(), abanner(request_))

        configure(settings, ask)
        assert asyncio.run(both()) == [HELLO, HELLO]

    def test_a_read_on_a_loop_does_not_wait_for_a_coroutine_of_the_same_loop(
        self, settings: Any, request_: HttpRequest
    ) -> None:
        publish()
        waiting = []

        async def ask(request: HttpRequest) -> Identity:
            if not waiting:
                waiting.append(request)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            return ALICE

        async def both() -> list[Any]:
            first = asyncio.create_task(abanner(request_))
            while not waiting:
                await asyncio.sleep(0)
            return [banner(request_), await first]

        configure(settings, ask)
        assert asyncio.run(both()) == [HELLO, HELLO]


class TestEvaluation:
    def test_a_flag_read_twice_is_evaluated_once(self, settings: Any, request_: HttpRequest) -> None:
        publish()
        calls = []

        class Trait(str):
            __slots__ = ()

            def __eq__(self, other: object) -> bool:
                calls.append(other)
                return str.__eq__(self, other)

            __hash__ = str.__hash__

        configure(settings, lambda request: Identity("x", {"plan": Trait("gold")}))
        for _ in range(3):
            assert banner(request_) == "Welcome back, gold member"
        assert len(calls) == 1

    def test_traits_that_are_equal_in_python_and_different_to_flagsmith_are_told_apart(
        self, request_: HttpRequest
    ) -> None:
        publish()
        flags = [get_flags(request_, identity=Identity("x", {"plan": trait})) for trait in (1, True, 1.0)]
        assert len(set(map(id, flags))) == 3

    @each_case(
        ("one", "other"),
        [({"plan": [True]}, {"plan": [1]}), ({"plan": {"a": 1}}, {"plan": {"a": 1.0}}), ({"plan": 1}, {"plan": "1"})],
    )
    def test_also_further_down(self, request_: HttpRequest, one: Any, other: Any) -> None:
        flags = [get_flags(request_, identity=Identity("x", traits)) for traits in (one, other, one)]
        assert flags[0] is not flags[1]
        assert get_flags(request_, identity=Identity("x", one)) is flags[2]

    def test_an_identity_that_hides_what_it_is_is_not_taken_for_another(self, request_: HttpRequest) -> None:
        class Hidden(Identity):
            def __repr__(self) -> str:
                return "Identity(…)"

        class Plan:
            def __init__(self, name: str) -> None:
                self.name = name

            def __str__(self) -> str:
                return self.name

            def __repr__(self) -> str:
                return "<Plan>"

        publish()
        assert banner(request_, identity=Hidden("user_alice")) == HELLO
        assert banner(request_, identity=Hidden("user_bob")) == WELCOME
        assert banner(request_, identity=Identity("x", {"plan": Plan("free")})) == WELCOME
        assert banner(request_, identity=Identity("x", {"plan": Plan("gold")})) == "Welcome back, gold member"

    def test_traits_that_can_not_be_compared_are_evaluated_anew(self, request_: HttpRequest) -> None:
        class Awkward:
            def __eq__(self, other: object) -> bool:
                raise LookupError

            __hash__ = None  # type: ignore[assignment]

        publish()
        endless: list[Any] = []
        endless.append(endless)
        for trait in (Awkward(), endless):
            for _ in range(2):
                assert banner(request_, identity=Identity("x", {"plan": trait})) == WELCOME

    def test_changing_a_list_of_traits_afterwards_changes_nothing(self, request_: HttpRequest) -> None:
        tags = ["a"]
        identity = Identity("x", {"tags": tags})
        flags = get_flags(request_, identity=identity)
        tags.append("b")
        assert identity.traits == {"tags": ["a"]}
        assert get_flags(request_, identity=Identity("x", {"tags": tags})) is not flags

    @pytest.mark.slow
    def test_a_loop_over_many_identities_does_not_fill_the_memory(self, request_: HttpRequest) -> None:
        publish()
        flags = get_flags(request_)
        for number in range(1_000):
            get_flags(request_, identity=Identity(str(number))).is_feature_enabled("banner_text")
        assert 0 < len(flags.pin.flags_by_identifier) <= 100


def test_a_copied_context_in_a_plain_thread_reads_for_the_same_identity(
    settings: Any, asked: Asked, request_: HttpRequest
) -> None:
    publish()
    configure(settings, asked.sync)
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(copy_context().run, banner, request_).result() == HELLO
