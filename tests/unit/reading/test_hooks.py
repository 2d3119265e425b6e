"""`HOOKS`: hooks of OpenFeature are called for reads of flags as its client calls them, and change none."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal  # noqa: F401 - named by a path
from typing import Any

import pytest
import sentry_sdk.envelope
import sentry_sdk.transport
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from openfeature.evaluation_context import EvaluationContext
from openfeature.hook import Hook, HookContext
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from django_flagsmith_realtime import Identity, flags_scope, get_flags
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.decorators import flag_enabled
from tests.support.cases import each_case
from tests.support.documents import publish

BOB = Identity("user_bob", {"plan": "gold"})
TRACING = "openfeature.contrib.hook.opentelemetry.TracingHook"
SENTRY = "sentry_sdk.integrations.openfeature.OpenFeatureHook"
Call = tuple[str, str, HookContext, Any]  # hook, stage, context, and details or exception


calls: list[Call] = []


class Recorder(Hook):
    """Records how it is called, and tries to change what is read."""

    name = "first"

    def before(self, hook_context: HookContext, hints: Any) -> EvaluationContext:
        calls.append((self.name, "before", hook_context, None))
        hook_context.evaluation_context.attributes["plan"] = "changed"
        return EvaluationContext("user_alice")

    def after(self, hook_context: HookContext, details: Any, hints: Any) -> None:
        calls.append((self.name, "after", hook_context, details))

    def error(self, hook_context: HookContext, exception: Exception, hints: Any) -> None:
        calls.append((self.name, "error", hook_context, exception))

    def finally_after(self, hook_context: HookContext, details: Any, hints: Any) -> None:
        calls.append((self.name, "finally_after", hook_context, details))
        details.value = "changed"


class Second(Recorder):
    name = "second"


class OnlyBooleans(Recorder):
    name = "booleans"

    def supports_flag_value_type(self, flag_type: Any) -> bool:
        return flag_type == "BOOLEAN"


class Undecided(Recorder):
    def supports_flag_value_type(self, flag_type: Any) -> bool:
        raise ZeroDivisionError("a bug of a hook's")


class Failing(Recorder):
    name = "failing"

    def before(self, hook_context: HookContext, hints: Any) -> EvaluationContext:
        raise ZeroDivisionError("a bug of a hook's")

    def after(self, *args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    error = finally_after = after


instance = Second()


def make_hook() -> Hook:
    return Recorder()


def fail() -> Hook:
    raise ZeroDivisionError("a bug where a hook is made")


@pytest.fixture(autouse=True)
def no_calls_yet() -> None:
    calls.clear()


def use(settings: Any, *hooks: str, **keys: Any) -> None:
    paths = [hook if "." in hook else f"{__name__}.{hook}" for hook in hooks]
    settings.FLAGSMITH = {**settings.FLAGSMITH, "HOOKS": paths, **keys}


def details_of(read: Any) -> Any:
    """Return what hooks are told in the end of one read."""
    calls.clear()
    read()
    [details] = [details for _, stage, _, details in calls if stage == "finally_after"]
    return details


def test_hooks_are_called_stage_by_stage_and_the_later_ones_backwards(settings: Any) -> None:
    publish()
    use(settings, "Recorder", "Second")
    assert get_flags().is_feature_enabled("dark_mode")
    assert [(name, stage) for name, stage, _, _ in calls] == [
        ("first", "before"),
        ("second", "before"),
        ("second", "after"),
        ("first", "after"),
        ("second", "finally_after"),
        ("first", "finally_after"),
    ]


def test_an_unknown_flag_is_an_error(settings: Any) -> None:
    publish()
    use(settings, "Recorder")
    assert get_flags().get_feature_value("nowhere", "none") == "none"
    assert [stage for _, stage, _, _ in calls] == ["before", "error", "finally_after"]
    (_, _, context, error), (_, _, _, details) = calls[1:]
    assert context.default_value == "none"
    assert error.error_code == details.error_code == "FLAG_NOT_FOUND"
    assert (details.reason, details.variant) == ("ERROR", None)


@each_case(
    ("name", "by", "given", "expected"),
    [
        ("beta_banner", "is_feature_enabled", {}, ("BOOLEAN", True, "STATIC", None)),
        ("dark_mode", "is_feature_enabled", {}, ("BOOLEAN", True, "DEFAULT", None)),
        ("gift_cards", "is_feature_enabled", {}, ("BOOLEAN", False, "DEFAULT", None)),
        ("gift_cards", "get_flag", {}, ("BOOLEAN", False, "DEFAULT", None)),
        ("gift_cards", "get_feature_value", {}, ("BOOLEAN", False, "DEFAULT", None)),
        ("gift_cards", "get_feature_value", {"default": "x"}, ("STRING", "x", "DISABLED", None)),
        ("dark_mode", "get_feature_value", {"default": 5}, ("INTEGER", 5, "DEFAULT", None)),
        ("banner_text", "get_flag", {}, ("STRING", "Welcome back, gold member", "TARGETING_MATCH", None)),
        ("api_base_url", "get_feature_value", {}, ("STRING", "https://api.northwind.example/v2", "DISABLED", None)),
        ("bool_value", "get_feature_value", {}, ("BOOLEAN", True, "STATIC", None)),
        ("request_timeout_ms", "get_feature_value", {"type": float}, ("FLOAT", 1500.0, "STATIC", None)),
        ("banner_text", "get_feature_value", {"default": 5, "type": int}, ("INTEGER", 5, "ERROR", "TYPE_MISMATCH")),
        ("nowhere", "is_feature_enabled", {}, ("BOOLEAN", False, "ERROR", "FLAG_NOT_FOUND")),
        ("limit", "get_feature_value", {}, ("INTEGER", 7, "DEFAULT", None)),
    ],
)
def test_a_read_is_told_in_openfeatures_terms(
    name: str, by: str, given: dict[str, Any], expected: tuple[Any, ...], settings: Any
) -> None:
    publish(max_cart_items=25)
    use(settings, "Honest", DEFAULTS={"limit": 7})
    flags = get_flags(identity=Identity("user_dave", {"plan": "gold"}))
    details = details_of(lambda: getattr(flags, by)(name, **given))
    [kind] = {context.flag_type for _, _, context, _ in calls}
    assert (kind, details.value, details.reason, details.error_code) == expected
    assert type(details.value) is type(expected[1])


class Honest(Recorder):
    def finally_after(self, hook_context: HookContext, details: Any, hints: Any) -> None:
        calls.append((self.name, "finally_after", hook_context, details))


def test_json_is_an_object_and_a_variant_is_named(settings: Any) -> None:
    publish()
    use(settings, "Honest")
    limits = details_of(lambda: get_flags().get_feature_value("rate_limits", type=dict))
    assert limits.value["burst"] == [5, 10, 20]
    assert {context.flag_type for _, _, context, _ in calls} == {"OBJECT"}
    people = (get_flags(identity=Identity(f"user {number}")) for number in range(100))
    control = next(flags for flags in people if flags["checkout_button"].value == "control")
    button = details_of(lambda: control.get_feature_value("checkout_button"))
    assert (button.value, button.variant, button.reason) == ("control", "control", "STATIC")
    assert button.flag_metadata == {"enabled": True, "featureId": 19, "reason": "STATIC"}


def test_hooks_are_told_for_whom_and_nothing_where_it_is_nobody(settings: Any) -> None:
    publish()
    use(settings, "Honest", IDENTITY=lambda request: BOB)
    get_flags(RequestFactory().get("/")).is_feature_enabled("dark_mode")
    get_flags(identity=None).is_feature_enabled("dark_mode")
    contexts = [context for _, stage, context, _ in calls if stage == "finally_after"]
    told = [(each.evaluation_context.targeting_key, dict(each.evaluation_context.attributes)) for each in contexts]
    assert told == [("user_bob", {"plan": "changed"}), (None, {"plan": "changed"})]
    assert {context.provider_metadata.name for context in contexts} == {"Flagsmith"}


def test_no_hook_changes_a_read(settings: Any) -> None:
    publish()
    use(settings, "Recorder", "Failing")
    with flags_scope(identity=BOB):
        assert get_flags().get_feature_value("banner_text") == "Welcome back, gold member"
        assert get_flags().get_flag("banner_text").value == "Welcome back, gold member"
        assert get_flags().identity is BOB
        assert BOB.traits == {"plan": "gold"}


def test_a_hook_that_fails_is_logged_once_and_the_others_are_called(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    use(settings, "Failing", "Recorder")
    for _ in range(2):
        assert get_flags().is_feature_enabled("dark_mode")
        get_flags().is_feature_enabled("nowhere")
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.getMessage().endswith("test_hooks.Failing")
    assert len(calls) == 12


def test_a_hook_is_called_only_for_types_that_it_supports(settings: Any) -> None:
    publish()
    use(settings, "Undecided", "OnlyBooleans")
    get_flags().get_feature_value("banner_text")
    assert calls == []
    get_flags().is_feature_enabled("banner_text")
    assert len(calls) == 3


def test_within_a_request_each_flag_is_told_once(settings: Any) -> None:
    publish()
    use(settings, "Honest")
    flags = get_flags(RequestFactory().get("/"))
    for _ in range(3):
        flags.is_feature_enabled("dark_mode")
    assert len(calls) == 3


def test_a_path_names_a_class_a_function_or_a_hook(settings: Any) -> None:
    publish()
    use(settings, "Recorder", "make_hook", "instance")
    get_flags().is_feature_enabled("dark_mode")
    assert [name for name, stage, _, _ in calls if stage == "before"] == ["first", "first", "second"]


@each_case("bad", ["nowhere", "fail", "BOB", "Decimal", "no.such.module"])
def test_a_path_that_names_no_hook_is_logged_once_and_costs_no_read(bad: str, settings: Any, caplog: Any) -> None:
    publish()
    caplog.clear()
    calls.clear()
    use(settings, bad, "Honest")
    for _ in range(2):
        assert get_flags().is_feature_enabled("dark_mode")
    [record] = [record for record in caplog.records if "HOOKS" in record.getMessage()]
    assert record.levelname == "ERROR"
    assert len(calls) == 6


def test_without_openfeatures_sdk_reads_go_on(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    monkeypatch.setitem(sys.modules, "openfeature", None)
    monkeypatch.delitem(sys.modules, "django_flagsmith_realtime.reading.hooks", raising=False)
    for name in [name for name in sys.modules if name.startswith("openfeature.")]:
        monkeypatch.delitem(sys.modules, name)
    use(settings, "Recorder")
    for _ in range(2):
        assert get_flags().is_feature_enabled("dark_mode")
    [record] = [record for record in caplog.records if "HOOKS" in record.getMessage()]
    assert "openfeature" in record.getMessage()


def test_without_hooks_the_sdk_is_not_imported(settings: Any) -> None:
    publish()
    assert get_config().hooks == ()
    assert get_flags().pin.observers == ()
    use(settings, "Recorder")
    assert len(get_flags().pin.observers) == 1


# The real ones, from a request through decorator and tags

TEXT = '{% load flagsmith %}{% flag "dark_mode" %}dark{% endflag %}{% flag_value "banner_text" %}'


@flag_enabled("new_checkout")
def page(request: HttpRequest) -> HttpResponse:
    HttpResponse(Template(TEXT).render(Context({"request": request})))
    raise LookupError("a bug of the page")


@flag_enabled("new_checkout")
async def apage(request: HttpRequest) -> HttpResponse:
    return page(request)


def get(url: str) -> None:
    if url == "/page/":
        Client(raise_request_exception=False).get(url)
    else:
        asyncio.run(AsyncClient(raise_request_exception=False).get(url))


@pytest.fixture
def site(settings: Any) -> None:
    settings.MIDDLEWARE = ["django_flagsmith_realtime.middleware.FlagsmithMiddleware"]
    settings.ROOT_URLCONF = (path("page/", page), path("apage/", apage))
    publish(new_checkout=True)


@contextmanager
def traced() -> Iterator[InMemorySpanExporter]:
    """Trace what runs inside as one span, which is exported in the end."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("tests").start_as_current_span("request"):
        yield exporter
    provider.shutdown()


class ListTransport(sentry_sdk.transport.Transport):
    """Keeps what Sentry would be sent."""

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self.events: list[Any] = []

    def capture_envelope(self, envelope: sentry_sdk.envelope.Envelope) -> None:
        self.events.append(envelope.get_event())


@contextmanager
def reported() -> Iterator[list[Any]]:
    """Let Sentry capture errors of views, as its integration with Django does."""
    transport = ListTransport()
    client = sentry_sdk.Client(dsn="http://key@127.0.0.1/1", transport=transport, default_integrations=False)

    def capture(**kwargs: Any) -> None:
        sentry_sdk.capture_exception()

    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        got_request_exception.connect(capture)
        try:
            yield transport.events
        finally:
            got_request_exception.disconnect(capture)
            client.close()


@each_case("url", ["/page/", "/apage/"])
def test_opentelemetrys_hook_puts_each_flag_on_the_requests_span(url: str, site: None, settings: Any) -> None:
    use(settings, TRACING, IDENTITY=lambda request: BOB)
    with traced() as spans:
        get(url)
    [span] = spans.get_finished_spans()
    assert {event.name for event in span.events} == {"feature_flag.evaluation"}
    assert [dict(event.attributes or {}) for event in span.events] == [
        {
            "feature_flag.key": key,
            "feature_flag.result.value": value,
            "feature_flag.result.reason": reason,
            "feature_flag.context.id": "user_bob",
            "feature_flag.provider.name": "Flagsmith",
        }
        for key, value, reason in [
            ("new_checkout", "true", "targeting_match"),
            ("dark_mode", "true", "default"),
            ("banner_text", '"Welcome back, gold member"', "targeting_match"),
        ]
    ]


@each_case("url", ["/page/", "/apage/"])
def test_sentrys_hook_puts_switches_on_an_errors_event(url: str, site: None, settings: Any) -> None:
    use(settings, SENTRY)
    with reported() as errors:
        get(url)
    [error] = errors
    assert error["exception"]["values"][0]["type"] == "LookupError"
    assert error["contexts"]["flags"]["values"] == [
        {"flag": "new_checkout", "result": True},
        {"flag": "dark_mode", "result": True},
    ]
