"""Who is notified of reads: in every way to read a flag, once, and without a change to any read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import jinja2
import pytest
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import RequestFactory
from django.views import View

from django_flagsmith_realtime import Flags, Identity, aget_flags, flags_scope, get_flags
from django_flagsmith_realtime.decorators import flag_enabled
from django_flagsmith_realtime.exceptions import UnknownFlag
from django_flagsmith_realtime.identity import UNSET
from django_flagsmith_realtime.jinja2 import FlagsmithExtension
from django_flagsmith_realtime.mixins import FlagEnabledMixin
from django_flagsmith_realtime.reading import throttle
from django_flagsmith_realtime.reading.observers import Read
from django_flagsmith_realtime.test import override_flags
from tests.support.cases import each_case
from tests.support.documents import publish
from tests.support.observers import PatientRecorder, Recorder, watch

BOB = Identity("user_bob", {"plan": "gold"})


class Broken(Recorder):
    def observe(self, read: Read) -> None:
        super().observe(read)
        raise ZeroDivisionError("a bug of an observer's")


def calls(recorder: Recorder) -> list[tuple[str, str]]:
    return [(read.flag.feature_name, read.by) for read in recorder.reads]


Observe = Callable[..., None]


@pytest.fixture
def observe(monkeypatch: pytest.MonkeyPatch) -> Observe:
    """Let observers watch all reads of the process, as a setting does."""
    return partial(watch, monkeypatch)


@pytest.fixture
def recorder(observe: Observe) -> Recorder:
    recorder = Recorder()
    observe(recorder)
    return recorder


def request_for(identity: Identity | None, settings: Any) -> HttpRequest:
    settings.FLAGSMITH = {**settings.FLAGSMITH, "IDENTITY": lambda request: identity}
    return RequestFactory().get("/")


def template(request: HttpRequest, text: str) -> str:
    return Template(f"{{% load flagsmith %}}{text}").render(Context({"request": request}))


def jinja(request: HttpRequest, text: str) -> str:
    return jinja2.Environment(extensions=[FlagsmithExtension]).from_string(text).render(request=request)


def ajinja(request: HttpRequest, text: str) -> str:
    environment = jinja2.Environment(extensions=[FlagsmithExtension], enable_async=True)
    return asyncio.run(environment.from_string(text).render_async(request=request))


def behind_decorator(request: HttpRequest) -> None:
    flag_enabled("new_checkout", enabled=False)(lambda request: HttpResponse())(request)


def behind_async_decorator(request: HttpRequest) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    asyncio.run(flag_enabled("new_checkout", enabled=False)(view)(request))


class BehindMixin(FlagEnabledMixin, View):
    flag_name = "new_checkout"
    flag_enabled = False

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


WAYS: dict[str, tuple[Callable[[HttpRequest], Any], list[tuple[str, str]]]] = {
    "a method": (
        lambda request: get_flags(request).is_feature_enabled("dark_mode"),
        [("dark_mode", "is_feature_enabled")],
    ),
    "a value": (
        lambda request: get_flags(request).get_feature_value("banner_text"),
        [("banner_text", "get_feature_value")],
    ),
    "an index": (lambda request: get_flags(request)["banner_text"], [("banner_text", "get_flag")]),
    "awaited": (
        lambda request: asyncio.run(aget_flags(request)).is_feature_enabled("dark_mode"),
        [("dark_mode", "is_feature_enabled")],
    ),
    "the decorator": (behind_decorator, [("new_checkout", "is_feature_enabled")]),
    "the decorator of a coroutine": (behind_async_decorator, [("new_checkout", "is_feature_enabled")]),
    "the mixin": (BehindMixin.as_view(), [("new_checkout", "is_feature_enabled")]),
    "tags": (
        partial(
            template,
            text='{% flag "dark_mode" %}{% endflag %}{% flag_value "banner_text" %}'
            '{% get_flag "beta_banner" as it %}{% flags_json "gift_cards" %}',
        ),
        [
            ("dark_mode", "is_feature_enabled"),
            ("banner_text", "get_feature_value"),
            ("beta_banner", "get_flag"),
            ("gift_cards", "get_flag"),
        ],
    ),
    **{
        f"Jinja2, {name}": (
            partial(
                render,
                text='{% flag "dark_mode" %}{% endflag %}{{ flag_value("banner_text") }}{{ flags_json("gift_cards") }}',
            ),
            [("dark_mode", "is_feature_enabled"), ("banner_text", "get_feature_value"), ("gift_cards", "get_flag")],
        )
        for name, render in {"sync": jinja, "async": ajinja}.items()
    },
}


@each_case("way", WAYS)
def test_each_way_to_read_notifies(way: str, recorder: Recorder, settings: Any) -> None:
    publish(new_checkout=False)
    recorder.reads.clear()
    read, expected = WAYS[way]
    read(request_for(Identity("user_dave"), settings))
    assert {read.identity and read.identity.identifier for read in recorder.reads} == {"user_dave"}
    assert calls(recorder) == expected


def test_an_observer_gets_the_flag_as_the_caller_does(recorder: Recorder, settings: Any) -> None:
    publish(max_cart_items="many")
    settings.FLAGSMITH = {**settings.FLAGSMITH, "DEFAULTS": {"limit": 5}}
    flags = get_flags(identity=BOB)
    values = [
        flags.get_feature_value("banner_text"),
        flags.get_feature_value("dark_mode", "none"),
        flags.get_feature_value("nowhere", "none"),
        flags.get_feature_value("support_email", 10, type=int),
        flags.get_feature_value("rate_limits", type=dict),
        flags.get_feature_value("limit"),
    ]
    assert [read.flag.value for read in recorder.reads] == values
    assert [read.default for read in recorder.reads] == [None, "none", "none", 10, None, None]
    told = {read.flag.feature_name: (read.flag.reason, read.flag.is_default) for read in recorder.reads}
    assert told == {
        "banner_text": ("TARGETING_MATCH; segment=gold_members", False),
        "dark_mode": ("DEFAULT", True),
        "nowhere": ("ERROR; code=FLAG_NOT_FOUND", True),
        "support_email": ("ERROR; code=TYPE_MISMATCH", True),
        "rate_limits": ("STATIC", False),
        "limit": ("DEFAULTS", True),
    }


def test_a_flag_that_is_handed_out_is_the_callers_own(recorder: Recorder) -> None:
    publish()
    get_flags().get_flag("banner_text").value = "changed"
    assert recorder.reads[0].flag.value == "Welcome to Northwind"


def test_an_observer_is_notified_once_for_each_flag_method_and_identity(observe: Observe) -> None:
    publish()
    once, each = Recorder(), PatientRecorder()
    observe(once, each)
    with flags_scope(identity=BOB):
        for _ in range(3):
            get_flags().is_feature_enabled("dark_mode")
            get_flags().get_feature_value("dark_mode")
            get_flags(identity=None).is_feature_enabled("dark_mode")
        with flags_scope():
            get_flags().is_feature_enabled("dark_mode")
    assert [(read.by, read.identity) for read in once.reads] == [
        ("is_feature_enabled", BOB),
        ("get_feature_value", BOB),
        ("is_feature_enabled", None),
    ]
    assert len(each.reads) == 10


def test_outside_of_a_scope_each_get_flags_is_a_scope_of_its_own(recorder: Recorder) -> None:
    publish()
    for _ in range(2):
        flags = get_flags()
        flags.is_feature_enabled("dark_mode")
        flags.is_feature_enabled("dark_mode")
    assert len(recorder.reads) == 2


def test_flags_that_a_test_sets_are_observed_and_nobodys(recorder: Recorder, settings: Any) -> None:
    request = request_for(BOB, settings)
    with override_flags(dark_mode=True):
        assert get_flags(request).is_feature_enabled("dark_mode")
    [read] = recorder.reads
    assert (read.flag.enabled, read.flag.reason, read.identity) == (True, "OVERRIDE", UNSET)


def test_nobody_is_notified_of_a_read_that_raises(recorder: Recorder, settings: Any) -> None:
    publish()
    settings.FLAGSMITH = {**settings.FLAGSMITH, "STRICT": True}
    with pytest.raises(UnknownFlag):
        get_flags().is_feature_enabled("nowhere")
    assert recorder.reads == []


@each_case("identity", [None, Identity("user_alice"), BOB])
def test_flags_that_are_observed_answer_as_others_do(identity: Identity | None, observe: Observe) -> None:
    publish(new_checkout=True)
    plain = Flags(identity)

    class Vandal(Broken):
        def observe(self, read: Read) -> None:
            read.flag.value, read.flag.enabled = "changed", not read.flag.enabled
            super().observe(read)

    observe(Vandal())
    observed = Flags(identity)
    assert observed.pin.observers
    for _ in range(2):
        assert dict(observed) == dict(plain)
    for name in [*plain, "nowhere"]:
        assert observed.is_feature_enabled(name) == plain.is_feature_enabled(name)
        assert observed.get_feature_value(name, "none") == plain.get_feature_value(name, "none")
        assert observed.get_feature_value(name, {}, type=dict) == plain.get_feature_value(name, {}, type=dict)
        assert observed.of(None)[name] == plain.of(None)[name]


def test_an_observer_that_raises_is_logged_once_a_minute_and_the_next_one_is_notified(
    observe: Observe, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    broken, recorder = Broken(), Recorder()
    observe(broken, recorder)
    for _ in range(3):
        assert get_flags().is_feature_enabled("dark_mode")
    [record] = caplog.records
    assert record.getMessage().endswith("changes no read: tests.unit.reading.test_observers.Broken")
    assert record.exc_info
    throttle._logged[Broken] -= throttle.LOG_SECONDS
    assert get_flags().is_feature_enabled("dark_mode")
    assert len(caplog.records) == 2
    assert len(broken.reads) == len(recorder.reads) == 4


def test_what_an_observer_reads_is_not_observed(observe: Observe) -> None:
    publish()

    class Reader(Recorder):
        def observe(self, read: Read) -> None:
            super().observe(read)
            get_flags().is_feature_enabled(f"{read.flag.feature_name}_2")

    reader = Reader()
    observe(reader)
    get_flags().is_feature_enabled("dark_mode")
    assert calls(reader) == [("dark_mode", "is_feature_enabled")]


def test_a_read_with_an_observer_asks_the_cache_and_identity_no_more_often(
    observe: Observe, settings: Any, recording: list[tuple[str, str]]
) -> None:
    publish()
    calls: list[HttpRequest] = []
    settings.FLAGSMITH = {**settings.FLAGSMITH, "IDENTITY": lambda request: calls.append(request) or BOB}
    costs = []
    for observers in [(), (Recorder(), PatientRecorder())]:
        observe(*observers)
        request = RequestFactory().get("/")
        get_flags()["dark_mode"]  # this process has the payload
        recording.clear()
        calls.clear()
        dict(get_flags(request))
        costs.append((list(recording), len(calls)))
    assert costs[0] == costs[1]
    assert costs[0][1] == 1
