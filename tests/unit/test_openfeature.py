"""OpenFeature's client with our provider. `TestSpecification` has the scenarios of OpenFeature's specification."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import AsyncClient, Client
from django.urls import path
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent, ProviderEventDetails
from openfeature.flag_evaluation import FlagEvaluationOptions
from openfeature.hook import Hook
from openfeature.provider import ProviderStatus

from django_flagsmith_realtime import Identity, flags_scope, get_flags
from django_flagsmith_realtime.decorators import flag_enabled
from django_flagsmith_realtime.environment.snapshot import parse_document
from django_flagsmith_realtime.openfeature import CHECK_SECONDS, FlagsmithProvider
from django_flagsmith_realtime.test import override_flags
from tests.support import recordings
from tests.support.backends import HangingCache
from tests.support.cases import each_case
from tests.support.documents import PREFIX, RECORDED, configured_store, publish
from tests.support.observers import PatientRecorder, Recorder, watch
from tests.support.processes import wait_until
from tests.unit.monitoring.test_health import led
from tests.unit.reading import test_hooks

CALLS = "tests.unit.reading.test_hooks.Honest"
BOB = EvaluationContext("user_bob", {"plan": "gold"})


def settle() -> None:
    """Wait for what the provider does in threads."""
    for thread in threading.enumerate():
        if thread.name == "flagsmith-openfeature":
            thread.join()
    if check := getattr(api.get_client().provider, "_check", None):
        check.join()  # Python 3.13 may list it no longer, while it is still alive


@pytest.fixture(autouse=True)
def openfeature() -> Iterator[None]:
    """Give a test an OpenFeature of its own."""
    test_hooks.calls.clear()
    yield
    api.shutdown()
    api.clear_hooks()  # which a shutdown does as of 0.9, and the next line too
    api.set_evaluation_context(EvaluationContext())
    settle()


def make_client(**options: Any) -> Any:
    """Return a client with our provider, which is ready."""
    set_provider(FlagsmithProvider(**options))
    return api.get_client()


def set_provider(provider: FlagsmithProvider) -> None:
    getattr(api, "set_provider_and_wait", api.set_provider)(provider)  # the first one came with 0.10, and threads


Evaluate = Callable[..., Any]


def evaluate(client: Any, kind: str, name: str, default: Any, *args: Any) -> Any:
    return getattr(client, f"get_{kind}_details")(name, default, *args)


def aevaluate(client: Any, kind: str, name: str, default: Any, *args: Any) -> Any:
    return asyncio.run(getattr(client, f"get_{kind}_details_async")(name, default, *args))


WAYS = (evaluate, aevaluate)


def details(*args: Any) -> Any:
    """Evaluate a flag in both ways, and return the details, which are the same."""
    found, afound = (way(*args) for way in WAYS)
    assert found == afound
    return found


ON = {
    "boolean": True,
    "string": "hi",
    "integer": 10,
    "float": "0.5",
    "object": '{"showImages": true, "images": [1, 2]}',
}
READ = {"boolean": True, "string": "hi", "integer": 10, "float": 0.5, "object": {"showImages": True, "images": [1, 2]}}
ZERO = {"boolean": False, "string": "", "integer": 0, "float": "0.0", "object": "{}"}
READ_ZERO = {"boolean": False, "string": "", "integer": 0, "float": 0.0, "object": {}}
DEFAULTS = {"boolean": True, "string": "bye", "integer": 1, "float": 0.1, "object": {"a": 1}}


@pytest.fixture
def client() -> Any:
    """A client, for whom is published a flag of each type, one that is zero, and one that is for a segment too."""
    body = recordings.document()
    body["feature_states"].clear()
    [segment] = [segment for segment in body["project"]["segments"] if segment["name"] == "gold_members"]
    segment["feature_states"].clear()
    number = 0

    def add(states: list[Any], name: str, kind: str, value: Any) -> None:
        nonlocal number
        number += 1
        state = deepcopy(RECORDED["feature_states"][0])
        state["feature"] |= {"id": 1_000 + number, "name": name}
        state |= {
            "django_id": 1_000 + number,
            "enabled": value if kind == "boolean" else True,
            "feature_state_value": None if kind == "boolean" else value,
        }
        states.append(state)

    for kind in ON:
        add(body["feature_states"], f"{kind}-flag", kind, ON[kind])
        add(body["feature_states"], f"{kind}-zero", kind, ZERO[kind])
        add(body["feature_states"], f"{kind}-targeted", kind, ZERO[kind])
        add(segment["feature_states"], f"{kind}-targeted", kind, ZERO[kind])
        segment["feature_states"][-1]["feature"]["id"] = body["feature_states"][-1]["feature"]["id"]
    configured_store().publish(parse_document(body), after=None)
    return make_client()


class TestSpecification:
    """The scenarios of its features evaluation, evaluation_v2, hooks and events that are about a provider.

    Left out: variants of flags that have none (Flagsmith names those of multivariate flags only), the reason CACHED,
    and a provider that is fatal, which this one never is.
    """

    @each_case("kind", ON)
    def test_a_value_is_resolved_even_if_it_is_zero(self, kind: str, client: Any) -> None:
        found = details(client, kind, f"{kind}-flag", DEFAULTS[kind])
        assert (found.flag_key, found.value, found.reason) == (f"{kind}-flag", READ[kind], "STATIC")
        assert type(found.value) is type(READ[kind])
        assert (found.error_code, found.error_message, found.variant) == (None, None, None)
        found = details(client, kind, f"{kind}-zero", DEFAULTS[kind])
        assert (found.value, found.reason) == (READ_ZERO[kind], "STATIC")

    @each_case(
        ("context", "reason"),
        [
            (EvaluationContext("a", {"plan": "gold"}), "TARGETING_MATCH"),
            (
                EvaluationContext("a", {"plan": "gold", "role": "admin", "age": 65, "customer": False}),
                "TARGETING_MATCH",
            ),
            (EvaluationContext("a", {"plan": "silver"}), "DEFAULT"),
            (EvaluationContext("a", {"plan": None}), "DEFAULT"),  # type: ignore[dict-item]
            (EvaluationContext("a"), "DEFAULT"),
            (EvaluationContext(), "STATIC"),  # Flagsmith evaluates the environment's flags without segments
            (None, "STATIC"),
        ],
    )
    @each_case("kind", ON)
    def test_a_flag_is_targeted_by_the_context(
        self, kind: str, context: EvaluationContext | None, reason: str, client: Any
    ) -> None:
        found = details(client, kind, f"{kind}-targeted", DEFAULTS[kind], context)
        assert (found.value, found.reason) == (READ_ZERO[kind], reason)

    @each_case("kind", ON)
    def test_a_flag_that_is_not_there_is_not_found(self, kind: str, client: Any) -> None:
        found = details(client, kind, "non-existent", DEFAULTS[kind])
        assert (found.value, found.reason, found.error_code) == (DEFAULTS[kind], "ERROR", "FLAG_NOT_FOUND")
        assert "'non-existent' was not found" in found.error_message

    @each_case(
        ("name", "kind"),
        [
            ("boolean-flag", "string"),
            ("boolean-flag", "integer"),
            ("boolean-flag", "float"),
            ("string-flag", "integer"),
            ("string-flag", "float"),
            ("string-flag", "object"),
            ("integer-flag", "string"),
            ("object-flag", "integer"),
        ],
    )
    def test_a_value_of_another_type_does_not_match(self, name: str, kind: str, client: Any) -> None:
        found = details(client, kind, name, DEFAULTS[kind])
        assert (found.value, found.reason, found.error_code) == (DEFAULTS[kind], "ERROR", "TYPE_MISMATCH")
        assert found.error_message.startswith(f"The flag {name!r} can't be read as")

    @each_case("kind", ON)
    def test_without_flags_the_provider_is_not_ready(self, kind: str) -> None:
        found = details(make_client(), kind, f"{kind}-flag", DEFAULTS[kind])
        assert (found.value, found.reason, found.error_code) == (DEFAULTS[kind], "ERROR", "PROVIDER_NOT_READY")

    @each_case("kind", set(ON) - {"boolean"})
    def test_a_flag_that_is_off_has_no_value(self, kind: str) -> None:
        publish(api_base_url="x")
        found = details(make_client(), kind, "api_base_url", DEFAULTS[kind])
        assert (found.value, found.reason, found.error_code) == (DEFAULTS[kind], "DISABLED", None)

    def test_metadata_has_what_flagsmith_knows(self) -> None:
        publish()
        found = details(make_client(), "string", "banner_text", "", BOB)
        assert found.flag_metadata == {
            "enabled": True,
            "featureId": 9,
            "reason": "TARGETING_MATCH; segment=gold_members",
        }
        assert make_client().provider.get_metadata().name == "Flagsmith"

    def test_a_variant_is_named(self) -> None:
        publish()
        client = make_client()
        found = [
            details(client, "string", "checkout_button", "", EvaluationContext(f"user {number}")) for number in range(9)
        ]
        assert {(each.value, each.variant) for each in found} >= {("control", "control"), ("green", None)}
        assert {each.reason for each in found} == {"STATIC", "SPLIT"}

    def test_a_context_is_not_changed(self) -> None:
        publish()
        context = EvaluationContext("user_bob", {"traits": {"plan": "gold"}, "list": [1]})
        before = deepcopy(context)
        details(make_client(), "string", "banner_text", "", context)
        assert context == before

    @each_case(
        ("kind", "name", "stages", "expected"),
        [
            ("boolean", "boolean-flag", ["before", "after", "finally_after"], (True, "STATIC", None)),
            ("string", "missing", ["before", "error", "finally_after"], ("bye", "ERROR", "FLAG_NOT_FOUND")),
            ("string", "integer-flag", ["before", "error", "finally_after"], ("bye", "ERROR", "TYPE_MISMATCH")),
        ],
    )
    def test_hooks_get_the_details(
        self, kind: str, name: str, stages: list[str], expected: tuple[Any, ...], client: Any
    ) -> None:
        options = FlagEvaluationOptions(hooks=[test_hooks.Honest()])
        for way in WAYS:
            test_hooks.calls.clear()
            way(client, kind, name, DEFAULTS[kind], None, options)
            assert [stage for _, stage, _, _ in test_hooks.calls] == stages
            last = test_hooks.calls[-1][-1]
            assert (last.value, last.reason, last.error_code, last.variant) == (*expected, None)


class Events:
    """The events of a kind that a handler got."""

    def __init__(self, kind: ProviderEvent) -> None:
        self.got: list[EventDetails] = []
        api.add_handler(kind, self.got.append)

    def wait(self, count: int) -> EventDetails:
        wait_until(lambda: len(self.got) >= count, f"event {count}")
        assert len(self.got) == count
        return self.got[-1]


def status() -> ProviderStatus:
    found: ProviderStatus = api.get_client().get_provider_status()
    return found


class TestEvents:
    @pytest.fixture
    def client(self) -> Any:
        """A client whose provider's events are noted."""
        client = make_client()
        self.ready = Events(ProviderEvent.PROVIDER_READY)
        self.ready.wait(1)
        self.changed = Events(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
        self.stale = Events(ProviderEvent.PROVIDER_STALE)
        self.error = Events(ProviderEvent.PROVIDER_ERROR)
        return client

    def evaluate_later(self, client: Any) -> bool:
        """Evaluate a flag when the next check of the health is due, and wait for the check."""
        client.provider._checked_at -= CHECK_SECONDS
        value: bool = client.get_boolean_value("dark_mode", False)
        settle()
        return value

    def test_a_provider_that_is_set_is_ready_and_names_the_flags_of_a_change(self, client: Any) -> None:
        assert self.ready.got[0].provider_name == "Flagsmith"
        assert status() == ProviderStatus.READY
        led(publish())
        client.get_boolean_value("dark_mode", False)
        publish(dark_mode=False, banner_text="new")
        client.get_boolean_value("dark_mode", False)
        assert self.changed.wait(1).flags_changed == ["banner_text", "dark_mode"]
        assert status() == ProviderStatus.READY

    def test_without_flags_there_is_an_error_until_there_are_some(self, client: Any) -> None:
        client.get_boolean_value("dark_mode", False)
        event = self.error.wait(1)
        assert "Nobody is listening" in (event.message or "")
        assert event.error_code == "PROVIDER_NOT_READY"
        assert status() == ProviderStatus.ERROR
        led(publish())
        assert client.get_boolean_value("dark_mode", False) is True
        self.ready.wait(2)
        assert status() == ProviderStatus.READY

    def test_flags_that_nobody_updates_are_stale_until_somebody_does(self, client: Any) -> None:
        led(publish())
        self.evaluate_later(client)
        caches["default"].delete(f"{PREFIX}:lease")
        assert self.evaluate_later(client) is True
        assert "Nobody is listening" in (self.stale.wait(1).message or "")
        assert status() == ProviderStatus.STALE
        assert self.evaluate_later(client) is True, "flags are served nevertheless"
        led(publish())
        self.evaluate_later(client)
        self.ready.wait(2)
        assert status() == ProviderStatus.READY
        assert len(self.stale.got) == 1

    def test_health_is_checked_now_and_then_only(self, client: Any, recording: list[tuple[str, str]]) -> None:
        led(publish())
        client.get_boolean_value("dark_mode", False)
        settle()
        recording.clear()
        with flags_scope():
            for _ in range(10):
                client.get_boolean_value("dark_mode", False)
        settle()
        assert len(recording) == 1, "the head"

    def test_a_cache_that_hangs_holds_one_thread_and_no_evaluation(
        self, settings: Any, hanging: type[HangingCache], client: Any
    ) -> None:
        settings.FLAGSMITH = {**settings.FLAGSMITH, "FRESHNESS": 60}  # nothing but the check asks
        publish()
        client.get_boolean_value("dark_mode", False)
        settle()
        hanging.open.clear()
        for _ in range(3):
            client.provider._checked_at -= CHECK_SECONDS
            assert client.get_boolean_value("dark_mode", False) is True
        assert [thread.name for thread in threading.enumerate()].count("flagsmith-openfeature") == 1
        hanging.open.set()
        settle()

    def test_after_a_shutdown_nothing_is_emitted(self) -> None:
        emitted: list[ProviderEvent] = []

        class Noting(FlagsmithProvider):
            def emit(self, event: ProviderEvent, details: ProviderEventDetails) -> None:
                emitted.append(event)

        led(publish())
        set_provider(Noting())
        api.get_client().get_boolean_value("dark_mode", False)
        for is_on in (False, True):
            publish(dark_mode=is_on)
            get_flags().is_feature_enabled("dark_mode")
            settle()
            assert emitted == [ProviderEvent.PROVIDER_CONFIGURATION_CHANGED]
            api.clear_providers()


class TestIdentity:
    def test_is_the_targeting_key_with_attributes_as_traits(self) -> None:
        publish()
        client = make_client()
        nested = EvaluationContext("x", {"plan": "silver", "traits": {"plan": "gold"}})
        for context in (BOB, nested):
            assert details(client, "string", "banner_text", "", context).value == "Welcome back, gold member"
        assert details(client, "string", "banner_text", "", EvaluationContext("user_alice")).value == "Hello Alice"
        api.set_evaluation_context(EvaluationContext("user_alice"))
        assert details(client, "string", "banner_text", "").value == "Hello Alice"

    @each_case("get", [lambda url: Client().get(url), lambda url: asyncio.run(AsyncClient().get(url))])
    def test_without_a_context_is_the_requests_own(self, get: Callable[[str], Any], settings: Any) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            publish(banner_text="another")
            found = [api.get_client().get_string_value("banner_text", "", context) for context in (None, BOB)]
            assert api.get_client().get_string_value("support_email", "") == "help@northwind.example"
            return HttpResponse("|".join(found))

        async def aview(request: HttpRequest) -> HttpResponse:
            client = api.get_client()
            found = [await client.get_string_value_async("banner_text", "", context) for context in (None, BOB)]
            return HttpResponse("|".join(found))

        settings.MIDDLEWARE = ["django_flagsmith_realtime.middleware.FlagsmithMiddleware"]
        settings.FLAGSMITH = {**settings.FLAGSMITH, "IDENTITY": lambda request: Identity("user_alice")}
        settings.ROOT_URLCONF = (path("0/", view), path("1/", aview))
        publish()
        make_client()
        for url in ("/0/", "/1/"):
            assert get(url).content == b"Hello Alice|Welcome back, gold member"

    def test_is_the_scopes_in_a_scope(self) -> None:
        publish()
        client = make_client()
        with flags_scope(identity=Identity("user_alice")):
            assert client.get_string_value("banner_text", "") == "Hello Alice"


class TestOptions:
    """Those of Flagsmith's own provider."""

    def test_a_boolean_may_be_the_value(self) -> None:
        publish(bool_value=True, banner_text="hi")
        client = make_client(use_boolean_config_value=True)
        assert details(client, "boolean", "bool_value", False).value is True
        found = details(client, "boolean", "banner_text", False)
        assert (found.value, found.error_code) == (False, "TYPE_MISMATCH")

    def test_a_flag_that_is_off_may_have_its_value(self) -> None:
        publish()
        found = details(make_client(return_value_for_disabled_flags=True), "string", "api_base_url", "")
        assert (found.value, found.reason) == ("https://api.northwind.example/v2", "DISABLED")

    @each_case("has_flags", [False, True])
    def test_the_setting_may_come_before_the_callers_default(self, has_flags: bool, settings: Any) -> None:
        settings.FLAGSMITH = {**settings.FLAGSMITH, "DEFAULTS": {"limit": 5}}
        if has_flags:
            publish()
        found = make_client(use_flagsmith_defaults=True).get_integer_details("limit", 1)
        assert (found.value, found.reason, found.error_code) == (5, "DEFAULT", None)
        assert make_client().get_integer_details("limit", 1).value == 1


def test_numbers_in_texts_are_floats_if_they_are_finite() -> None:
    client = make_client()
    for text, expected in {"1e3": 1000.0, "-7": -7.0, "nan": 0.1, "inf": 0.1, "1,5": 0.1, "": 0.1}.items():
        publish(banner_text=text)
        assert client.get_float_value("banner_text", 0.1) == expected
    publish(max_cart_items=25)
    assert client.get_float_value("max_cart_items", 0.1) == 25.0
    publish(banner_text="[1, 2]")
    assert client.get_object_value("banner_text", {}) == [1, 2]


def test_tests_set_flags_for_openfeature_too(recording: list[tuple[str, str]]) -> None:
    client = make_client()
    with override_flags(dark_mode=True, limit=5):
        assert client.get_boolean_value("dark_mode", False) is True
        assert client.get_integer_details("limit", 1).reason == "OVERRIDE"
        assert client.get_integer_details("other", 1).error_code == "FLAG_NOT_FOUND"
    assert recording == []


# Hooks and observers


@each_case("way", WAYS)
def test_hooks_of_the_setting_are_called_once_by_the_client(settings: Any, way: Evaluate) -> None:
    test_hooks.calls.clear()
    api.clear_hooks()
    publish()
    settings.FLAGSMITH = {**settings.FLAGSMITH, "HOOKS": [CALLS]}
    client = make_client()
    with flags_scope():
        for count in (3, 6):
            way(client, "boolean", "dark_mode", False)
            assert len(test_hooks.calls) == count
    api.add_hooks([test_hooks.Honest()])
    way(client, "boolean", "dark_mode", False)
    assert len(test_hooks.calls) == 9, "not by the setting and by the API"
    get_flags().is_feature_enabled("dark_mode")
    assert len(test_hooks.calls) == 12, "by the setting"


@each_case("way", WAYS)
def test_observers_are_notified_of_evaluations(monkeypatch: pytest.MonkeyPatch, way: Evaluate) -> None:
    publish()
    once, each = Recorder(), PatientRecorder()
    watch(monkeypatch, once, each)
    client = make_client()
    with flags_scope():
        for _ in range(2):
            way(client, "string", "banner_text", "", BOB)
            way(client, "integer", "banner_text", 7, BOB)
    assert len(each.reads) == 4
    [read] = once.reads
    assert (read.by, read.default, read.flag.value) == ("openfeature", "", "Welcome back, gold member")
    assert read.identity == Identity("user_bob", {"plan": "gold"})
    assert (each.reads[1].flag.value, each.reads[1].flag.reason) == (7, "ERROR; code=TYPE_MISMATCH")


@flag_enabled("new_checkout")
def page(request: HttpRequest) -> HttpResponse:
    Template(test_hooks.TEXT).render(Context({"request": request}))
    api.get_client().get_boolean_value("gift_cards", True)
    api.get_client().get_string_value("support_email", "")
    raise LookupError("a bug of the page")


@flag_enabled("new_checkout")
async def apage(request: HttpRequest) -> HttpResponse:
    Template(test_hooks.TEXT).render(Context({"request": request}))
    await api.get_client().get_boolean_value_async("gift_cards", True)
    await api.get_client().get_string_value_async("support_email", "")
    raise LookupError("a bug of the page")


@each_case("url", ["/page/", "/apage/"])
def test_a_trace_and_an_error_have_the_flags_of_decorator_tags_and_client(url: str, settings: Any) -> None:
    publish(new_checkout=True)
    settings.MIDDLEWARE = ["django_flagsmith_realtime.middleware.FlagsmithMiddleware"]
    settings.ROOT_URLCONF = (path("page/", page), path("apage/", apage))
    settings.FLAGSMITH = {
        **settings.FLAGSMITH,
        "HOOKS": [test_hooks.TRACING, test_hooks.SENTRY],
        "IDENTITY": lambda request: Identity("user_dave"),
    }
    set_provider(FlagsmithProvider())
    with test_hooks.traced() as spans, test_hooks.reported() as errors:
        test_hooks.get(url)
    [span], [error] = spans.get_finished_spans(), errors
    told = [dict(event.attributes or {}) for event in span.events]
    assert [(each["feature_flag.key"], each["feature_flag.result.value"]) for each in told] == [
        ("new_checkout", "true"),
        ("dark_mode", "true"),
        ("banner_text", '"Welcome to Northwind"'),
        ("gift_cards", "false"),
        ("support_email", '"help@northwind.example"'),
    ]
    assert {each["feature_flag.provider.name"] for each in told} == {"Flagsmith"}
    assert [each["feature_flag.context.id"] for each in told if "feature_flag.context.id" in each] == ["user_dave"] * 3
    assert error["contexts"]["flags"]["values"] == [
        {"flag": "new_checkout", "result": True},
        {"flag": "dark_mode", "result": True},
        {"flag": "gift_cards", "result": False},
    ]


class Careless(Hook):
    def before(self, hook_context: Any, hints: Any) -> EvaluationContext:
        return EvaluationContext("user_alice")


def test_the_client_lets_a_hook_name_the_identity_as_its_specification_says() -> None:
    publish()
    options = FlagEvaluationOptions(hooks=[Careless()])
    assert details(make_client(), "string", "banner_text", "", None, options).value == "Hello Alice"
