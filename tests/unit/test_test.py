"""`override_flags`: what tests of a project set, and what they are kept from."""

from __future__ import annotations

import asyncio
import threading
import unittest
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, ClassVar

import pytest
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import AsyncClient, Client, RequestFactory, SimpleTestCase, override_settings
from django.urls import path
from flagsmith.models import Flag

from django_flagsmith_realtime import Identity, aget_flags, flags_scope, get_flags
from django_flagsmith_realtime.decorators import flag_enabled
from django_flagsmith_realtime.exceptions import SnapshotFileError, UnknownFlag
from django_flagsmith_realtime.reading import overrides
from django_flagsmith_realtime.test import override_flags
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.documents import publish


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = overrides.entered
    yield
    assert overrides.entered == before


def on(name: str = "new_checkout") -> bool:
    return get_flags().is_feature_enabled(name)


async def aon(name: str = "new_checkout") -> bool:
    return (await aget_flags()).is_feature_enabled(name)


def value(name: str = "banner") -> Any:
    return get_flags().get_feature_value(name)


class TestForms:
    @each_case(
        ("form", "enabled", "expected"),
        [
            (True, True, None),
            (False, False, None),
            ("text", True, "text"),
            (5, True, 5),
            (1.5, True, 1.5),
            ("", True, ""),
            (None, True, None),
            ({"enabled": False, "value": 5}, False, 5),
            ({"value": "text"}, True, "text"),
            ({"enabled": False}, False, None),
        ],
    )
    def test_those_of_defaults(self, form: Any, enabled: bool, expected: Any) -> None:
        with override_flags(it=form):
            flag = get_flags()["it"]
            assert (flag.enabled, flag.value, flag.feature_name) == (enabled, expected, "it")
            assert (flag.is_default, flag.reason) == (False, "OVERRIDE")
            assert get_flags().get_feature_value("it", "default") == ("default" if expected is None else expected)

    def test_a_flag_with_all_it_has(self) -> None:
        flag = Flag(True, "red", feature_id=7, feature_name="other", variant="red", reason="SPLIT; weight=50")
        with override_flags(button=flag):
            seen = get_flags()["button"]
            assert (seen.value, seen.variant, seen.reason, seen.feature_name) == (
                "red",
                "red",
                "SPLIT; weight=50",
                "button",
            )
            seen.value = "vandalised"
            assert value("button") == "red"
        assert flag.feature_name == "other"

    def test_names_that_are_no_identifiers(self) -> None:
        with override_flags({"new-checkout": True, "flags": "a", "self": "b"}, banner="text"):
            assert [on("new-checkout"), value(), value("flags"), value("self")] == [True, "text", "a", "b"]

    @each_case(
        ("flags", "named"),
        [
            ({"it": [1]}, r"'it' can't be \[1\].*json\.dumps"),
            ({"it": {"enabled": "yes"}}, "'it'"),
            ({"it": {"a": 1}}, r"json\.dumps"),
            ({"it": object()}, "'it'"),
            ({5: True}, "not 5"),
            ("new_checkout", r"override_flags\(new_checkout=True\)"),
            (test_names_that_are_no_identifiers, r"override_flags\(new_checkout=True\)"),
        ],
    )
    def test_anything_else_is_an_error_at_once(self, flags: Any, named: str) -> None:
        with pytest.raises(TypeError, match=named):
            override_flags(flags)


class TestWhatIsSeen:
    def test_overrides_are_above_pins_memos_and_identities(self, settings: Any) -> None:
        publish(new_checkout=False)
        request = RequestFactory().get("/")
        gold = Identity("x", {"plan": "gold"})
        before = [get_flags(request), get_flags(request, identity=gold)]
        assert [flags.is_feature_enabled("new_checkout") for flags in before] == [False, True]
        for enabled in (True, False):
            with flags_scope(), override_flags(new_checkout=enabled):
                now = [get_flags(), get_flags(request), get_flags(identity=gold), get_flags(request, identity=gold)]
                for flags in (*before, *now):
                    assert flags.is_feature_enabled("new_checkout") is enabled
        assert [flags.is_feature_enabled("new_checkout") for flags in before] == [False, True]

    def test_other_flags_are_as_defaults_says_and_not_what_is_published(self, settings: Any) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "DEFAULTS": {"dark_mode": {"value": "black"}}}
        publish(new_checkout=True, banner_text="published")
        kept = get_flags()
        assert kept.get_feature_value("banner_text") == "published"
        with override_flags(banner="text"):
            for flags in (kept, get_flags(), asyncio.run(aget_flags())):
                assert flags.is_feature_enabled("new_checkout") is False
                assert flags.get_feature_value("banner_text", "default") == "default"
                assert flags.get_feature_value("dark_mode") == "black"
                assert flags.snapshot is None
                assert list(flags) == ["banner"]
                assert "banner" in flags
                assert "new_checkout" not in flags
                assert [flag.value for flag in flags.all_flags()] == ["text"]
        assert kept.get_feature_value("banner_text") == "published"
        assert "new_checkout" in kept

    def test_nothing_asks_the_cache_nor_for_the_identity(self, settings: Any, recording: list[Any]) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "IDENTITY": "tests.nowhere.to_be_found", "STRICT": True}
        request = RequestFactory().get("/")
        with override_flags(banner="text"):
            for flags in (get_flags(request), asyncio.run(aget_flags(request))):
                assert flags.get_feature_value("banner") == "text"
                assert flags.get_feature_value("other", "default") == "default"
        assert recording == []

    def test_a_file_that_is_the_source_is_read_for_the_other_flags(self, settings: Any, recording: list[Any]) -> None:
        settings.FLAGSMITH = {"SNAPSHOT_FILE": str(recordings.DOCUMENT)}
        gold = Identity("x", {"plan": "gold"})
        with override_flags(new_checkout=True, later="soon"):
            flags = get_flags(identity=gold)
            assert flags.is_feature_enabled("new_checkout") is True
            assert flags.get_feature_value("banner_text") == "Welcome back, gold member"
            assert get_flags().get_feature_value("banner_text") == "Welcome to Northwind"
            assert len(flags) == 23
        assert recording == []

    def test_a_file_that_can_not_be_read_is_an_error_in_tests(self, settings: Any, tmp_path: Path) -> None:
        settings.FLAGSMITH = {"SNAPSHOT_FILE": str(tmp_path / "missing.json")}
        with override_flags(), pytest.raises(SnapshotFileError, match=r"missing\.json"):
            on()

    def test_strict_names_the_remedy_of_a_test(self, settings: Any) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "STRICT": True}
        with (
            override_flags(banner="text"),
            pytest.raises(UnknownFlag, match=r"'typo': tests don't ask the cache.*Set it with override_flags"),
        ):
            on("typo")

    def test_templates_and_decorators_see_them(self) -> None:
        template = Template("{% load flagsmith %}{% flag 'new_checkout' %}{% flag_value 'banner' %}{% endflag %}")

        @flag_enabled("new_checkout", fallback=lambda request: "old")
        def view(request: HttpRequest) -> str:
            return "new"

        request = RequestFactory().get("/")
        assert (template.render(Context()), view(request)) == ("", "old")
        with override_flags(new_checkout=True, banner="<b>"):
            assert (template.render(Context({"request": request})), view(request)) == ("&lt;b&gt;", "new")


class TestNesting:
    def test_upper_layers_are_over_lower_ones(self) -> None:
        with override_flags(a=True, b=True):
            with override_flags(b=False, c=True):
                assert [on("a"), on("b"), on("c")] == [True, False, True]
                assert set(get_flags()) == {"a", "b", "c"}
            assert [on("a"), on("b"), on("c")] == [True, True, False]

    def test_each_takes_only_its_own_layer_away(self) -> None:
        first, second = override_flags(a=True), override_flags(b=True)
        first.enable()
        second.enable()
        first.disable()
        assert [on("a"), on("b")] == [False, True]
        second.disable()

    def test_the_same_one_may_be_entered_again_and_an_exception_ends_it(self) -> None:
        flags = override_flags(a=True)
        with flags:
            with flags:
                assert on("a")
            assert on("a")
        with pytest.raises(LookupError), flags:
            raise LookupError
        assert not overrides.are_active()

    def test_blocks_that_end_out_of_order(self) -> None:
        def steps(name: str) -> Iterator[bool]:
            with override_flags({name: True}):
                yield on(name)
                yield on(name)

        first, second = steps("a"), steps("b")
        assert [next(first), next(second), *first, *second] == [True] * 4


class TestDecorator:
    def test_of_functions_and_coroutine_functions(self) -> None:
        @override_flags(new_checkout=True)
        def function(argument: int, *, keyword: int) -> tuple[int, int, bool]:
            return argument, keyword, on()

        @override_flags(new_checkout=True)
        async def coroutine(argument: int, *, keyword: int) -> tuple[int, int, bool]:
            await asyncio.sleep(0)
            return argument, keyword, await aon()

        for _ in range(2):
            assert function(1, keyword=2) == (1, 2, True)
            assert asyncio.run(coroutine(1, keyword=2)) == (1, 2, True)
            assert not on()

    def test_of_generators_is_refused(self) -> None:
        def fixture() -> Iterator[None]:
            yield

        async def afixture() -> AsyncIterator[None]:
            yield

        for generator in (fixture, afixture):
            with pytest.raises(TypeError, match=r"fixture is a generator.*use `with` inside it"):
                override_flags(a=True)(generator)


def run(test_class: type[unittest.TestCase]) -> unittest.TestResult:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(test_class).run(result)
    assert (result.failures, result.errors, result.testsRun > 0) == ([], [], True)
    return result


class TestTestCases:
    """Run by unittest, as Django's runner does it."""

    def test_a_class_a_method_and_a_block_nest(self) -> None:
        @override_flags(a=True, b=True)
        class Case(SimpleTestCase):
            @classmethod
            def setUpClass(cls) -> None:
                super().setUpClass()
                cls.seen = on("a")

            def setUp(self) -> None:
                self.assertTrue(on("a"))

            @override_flags(b=False)
            def test_method(self) -> None:
                self.assertTrue(self.seen)
                self.assertEqual([on("a"), on("b")], [True, False])
                with override_flags(a=False):
                    self.assertEqual([on("a"), on("b")], [False, False])

            @override_flags(c=True)
            async def test_coroutine(self) -> None:
                self.assertEqual([await aon("a"), await aon("b"), await aon("c")], [True, True, True])
                self.assertEqual([on("a"), await sync_to_async(on)("c")], [True, True])

            @override_settings(USE_TZ=False)
            @override_flags({"new-checkout": True})
            def test_with_settings(self) -> None:
                self.assertEqual([on("a"), on("new-checkout")], [True, True])

        assert run(Case).testsRun == 3

    def test_a_subclass_has_those_of_its_base_under_its_own(self) -> None:
        @override_flags(a=True, b=True)
        class Base(SimpleTestCase):
            def test_it(self) -> None:
                self.assertEqual([on("a"), on("b"), on("c")], [True, True, False])

        @override_flags(b=False, c=True)
        @override_flags(d=True)
        class Derived(Base):
            def test_it(self) -> None:
                self.assertEqual([on("a"), on("b"), on("c"), on("d")], [True, False, True, True])

        class Plain(Base):
            pass

        for case in (Base, Derived, Plain, Base):
            run(case)

    def test_a_class_whose_set_up_fails_leaves_nothing(self) -> None:
        @override_flags(a=True)
        class Case(SimpleTestCase):
            @classmethod
            def setUpClass(cls) -> None:
                raise LookupError

            def test_it(self) -> None: ...

        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
        assert len(result.errors) == 1
        assert not overrides.are_active()

    def test_unittests_own_async_case(self) -> None:
        @override_flags(a=True)
        class Case(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self) -> None:
                flags = override_flags(b=True)
                flags.enable()
                self.addCleanup(flags.disable)

            @override_flags(c=True)
            async def test_it(self) -> None:
                self.assertEqual([await aon("a"), await aon("b"), await aon("c")], [True, True, True])

        run(Case)


@override_flags(a=True, b=True)
class TestPlainClass:
    seen: list[bool]

    @classmethod
    def setup_class(cls) -> None:
        cls.seen = [on("a")]

    def setup_method(self) -> None:
        assert on("a")

    def test_it_is_set_everywhere(self) -> None:
        assert [*self.seen, on("a"), on("b")] == [True, True, True]

    @override_flags(b=False)
    def test_a_method_is_over_its_class(self) -> None:
        assert [on("a"), on("b")] == [True, False]

    @classmethod
    def teardown_class(cls) -> None:
        assert on("a")


@override_flags(b=False)
class TestPlainSubclass(TestPlainClass):
    def test_it_is_set_everywhere(self) -> None:
        assert [on("a"), on("b")] == [True, False]


class Hooks:
    seen: ClassVar[list[bool]] = []

    def setup_class(cls) -> None:  # noqa: N805 - as pytest allows it
        cls.seen.append(on("a"))

    @classmethod
    def teardown_class(cls) -> None:
        cls.seen.append(on("a"))


class HooksWithoutArguments:
    seen = Hooks.seen

    def setup_class() -> None:  # type: ignore[misc]
        Hooks.seen.append(on("a"))

    @staticmethod
    def teardown_class() -> None:
        Hooks.seen.append(on("a"))


@each_case("hooks", [Hooks, HooksWithoutArguments])
def test_hooks_of_each_kind_that_pytest_knows_are_called(hooks: Any) -> None:
    case = override_flags(a=True)(type("Case", (hooks,), {}))
    hooks.seen.clear()
    case.setup_class()
    case.teardown_class()
    assert hooks.seen == [True, True]
    assert not on("a")


def test_a_plain_class_whose_set_up_fails_leaves_nothing() -> None:
    @override_flags(a=True)
    class Case:
        @classmethod
        def setup_class(cls) -> None:
            raise LookupError

    with pytest.raises(LookupError):
        Case.setup_class()
    assert not overrides.are_active()


class TestConcurrency:
    def test_coroutines_beside_each_other_see_their_own(self) -> None:
        async def look(name: str) -> set[str]:
            with override_flags({name: True}):
                for _ in range(3):
                    await asyncio.sleep(0)
                return set(get_flags()) | set(await sync_to_async(lambda: list(get_flags()))())

        async def both() -> list[Any]:
            return await asyncio.gather(look("a"), look("b"), look("c"))

        assert asyncio.run(both()) == [{"a"}, {"b"}, {"c"}]
        with override_flags(outer=True):
            assert asyncio.run(both()) == [{"outer", "a"}, {"outer", "b"}, {"outer", "c"}]

    def test_threads_that_set_flags_see_their_own(self) -> None:
        barrier = threading.Barrier(3)

        def look(name: str) -> set[str]:
            with override_flags({name: True}):
                barrier.wait()
                seen = set(get_flags())
                barrier.wait()
                return seen

        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(look, "abc")) == [{"a"}, {"b"}, {"c"}]

    def test_threads_that_set_none_see_those_of_the_process(self) -> None:
        with ThreadPoolExecutor(1) as thread:
            with override_flags(a=True):
                assert thread.submit(on, "a").result() is True
                assert thread.submit(copy_context().run, on, "a").result() is True
            assert thread.submit(on, "a").result() is False

    def test_a_server_that_was_started_before_sees_them(self) -> None:
        asked, answers = threading.Event(), []
        thread = threading.Thread(target=lambda: answers.append((asked.wait(10), on("a"))))
        with override_flags(b=True):
            thread.start()
            with override_flags(a=True):
                asked.set()
                thread.join()
        assert answers == [(True, True)]

    def test_a_context_that_was_copied_earlier_sees_what_its_thread_sets_later(self) -> None:
        """As pytest-asyncio's runner has it: its context is older than a fixture's flags."""
        with override_flags(session=True):
            context = copy_context()
            with override_flags(a=True):
                assert context.run(on, "a")
                assert context.run(asyncio.run, aon("a"))

    def test_a_context_that_outlives_it_does_not_see_it(self) -> None:
        with override_flags(a=True):
            context = copy_context()
        assert context.run(on, "a") is False
        with override_flags(b=True):
            assert context.run(lambda: set(get_flags())) == {"b"}

    def test_a_cancelled_coroutine_leaves_nothing(self) -> None:
        @override_flags(a=True)
        async def wait() -> None:
            await asyncio.sleep(60)

        async def cancel() -> None:
            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            assert overrides.are_active()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())


@each_case("get", [Client().get, lambda url: asyncio.run(AsyncClient().get(url))])
def test_requests_of_djangos_clients_see_them(settings: Any, get: Callable[[str], HttpResponse]) -> None:
    async def aview(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{(await request.aflags()).get_feature_value('banner')} {on()}")

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{request.flags.get_feature_value('banner')} {on()}")

    settings.MIDDLEWARE = ["django_flagsmith_realtime.middleware.FlagsmithMiddleware"]
    settings.ROOT_URLCONF = (path("sync/", view), path("async/", aview))
    with override_flags(new_checkout=True, banner="text"):
        assert get("/sync/").content == get("/async/").content == b"text True"
