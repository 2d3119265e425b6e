"""What users call, and what they may do with what they get."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template, engines
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from flagsmith.models import Flag
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import django_flagsmith_realtime
from django_flagsmith_realtime import Flags, Identity, aget_flags, get_flags
from django_flagsmith_realtime.decorators import flag_enabled
from django_flagsmith_realtime.environment.defaults import default_flag
from django_flagsmith_realtime.environment.snapshot import parse_document
from django_flagsmith_realtime.exceptions import FlagsmithError, UnknownFlag
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from django_flagsmith_realtime.reading import flags as flags_module
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.test import override_flags
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.documents import RECORDED, configured_store, publish
from tests.support.processes import RedisServer
from tests.support.strategies import texts

GOLD = Identity("somebody", {"plan": "gold"})
ALICE = Identity("user_alice")


def get_flags_in_a_loop(*args: Any, **kwargs: Any) -> Flags:
    return asyncio.run(aget_flags(*args, **kwargs))


both_ways = each_case("read", [get_flags, get_flags_in_a_loop])


def configure(settings: Any, **keys: Any) -> None:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", **keys}


def test_the_package_lists_its_names() -> None:
    names = django_flagsmith_realtime.__all__
    assert set(names) < set(dir(django_flagsmith_realtime))
    assert [name for name in names if getattr(django_flagsmith_realtime, name).__name__ != name] == []


class TestFlags:
    @both_ways
    def test_they_are_a_mapping_of_names_to_flags(self, read: Callable[..., Flags]) -> None:
        publish()
        flags = read()
        names = [state["feature"]["name"] for state in RECORDED["feature_states"]]
        assert isinstance(flags, Mapping)
        assert list(flags) == names
        assert len(flags) == len(names)
        assert "new_checkout" in flags
        assert "typo" not in flags
        assert [flag.feature_name for flag in flags.values()] == names
        assert dict(flags.items())["banner_text"].value == "Welcome to Northwind"
        assert flags["banner_text"] == flags.get_flag("banner_text")

    @both_ways
    def test_each_kind_of_value_comes_as_it_is(self, read: Callable[..., Flags]) -> None:
        publish()
        flags = read()
        for state in RECORDED["feature_states"]:
            name, value = state["feature"]["name"], state["feature_state_value"]
            assert flags.get_feature_value(name) == value
            assert type(flags.get_feature_value(name)) is type(value)
            assert flags.is_feature_enabled(name) is state["enabled"]

    def test_the_calls_default_stands_in_for_a_flag_without_a_value_and_not_for_one_that_is_off(self) -> None:
        publish()
        assert get_flags()["api_base_url"].enabled is False
        assert get_flags().get_feature_value("api_base_url", "x") == "https://api.northwind.example/v2"
        assert get_flags().get_feature_value("dark_mode", default="none") == "none"
        assert get_flags().get_feature_value("dark_mode") is None
        assert get_flags().get_feature_value("empty_string", default="none") == ""

    def test_they_are_read_only(self) -> None:
        publish()
        with pytest.raises(TypeError):
            get_flags()["dark_mode"] = None  # type: ignore[index]
        with pytest.raises(TypeError):
            del get_flags()["dark_mode"]  # type: ignore[attr-defined]

    @both_ways
    def test_no_snapshot_at_all_is_no_flags(self, read: Callable[..., Flags]) -> None:
        flags = read()
        assert len(flags) == 0
        assert list(flags) == []
        assert flags.all_flags() == []
        assert flags.snapshot is None
        assert not flags.is_feature_enabled("new_checkout")
        assert flags.get_feature_value("banner_text", "Welcome") == "Welcome"
        assert flags["anything"].is_default
        assert read(identity=GOLD).is_feature_enabled("new_checkout") is False

    def test_their_repr_carries_no_personal_data(self) -> None:
        publish()
        assert repr(get_flags()) == "<Flags of the environment>"
        assert repr(get_flags(identity=Identity("ann@example.com"))) == "<Flags of an identity>"

    def test_both_kinds_of_call_take_the_same_arguments(self) -> None:
        import inspect

        assert inspect.signature(get_flags) == inspect.signature(aget_flags)


class TestOwnCopies:
    """A caller that changes a flag it was given changes nobody else's."""

    @each_case("identity", [None, GOLD])
    @each_case(
        "take",
        [
            lambda flags: flags.get_flag("banner_text"),
            lambda flags: flags["banner_text"],
            lambda flags: flags.get("banner_text"),
            lambda flags: next(flag for flag in flags.all_flags() if flag.feature_name == "banner_text"),
            lambda flags: next(flag for flag in flags.values() if flag.feature_name == "banner_text"),
        ],
    )
    def test_of_a_call(self, identity: Identity | None, take: Callable[[Flags], Flag]) -> None:
        publish()
        flags = get_flags(identity=identity)
        before = flags.get_feature_value("banner_text")
        mine = take(flags)
        mine.value, mine.enabled, mine.feature_name = "vandalised", False, "x"
        for other in (flags, get_flags(identity=identity)):
            assert other.get_feature_value("banner_text") == before
            assert other.is_feature_enabled("banner_text") is True
            assert take(other).feature_name == "banner_text"

    def test_of_a_template(self) -> None:
        publish()
        context = Context()
        Template('{% load flagsmith %}{% get_flag "banner_text" as banner %}').render(context)
        context["banner"].value = "vandalised"
        assert get_flags().get_feature_value("banner_text") == "Welcome to Northwind"

    def test_of_an_unknown_flag(self, settings: Any) -> None:
        configure(settings, DEFAULTS={"later": "soon"})
        get_flags()["later"].value = "vandalised"
        assert get_flags().get_feature_value("later") == "soon"


class TestUnknownFlags:
    def test_they_are_off_and_logged_once_per_name(self, caplog: pytest.LogCaptureFixture) -> None:
        publish()
        for _ in range(3):
            assert get_flags().is_feature_enabled("typo") is False
            assert get_flags().get_feature_value("typo") is None
            assert get_flags()["typo"].reason == "ERROR; code=FLAG_NOT_FOUND"
        get_flags().is_feature_enabled("other_typo")
        messages = [record.getMessage() for record in caplog.records]
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
        assert "'typo'" in messages[0]
        assert "Production" in messages[0]
        assert "ser." not in caplog.text

    def test_a_missing_snapshot_is_logged_with_the_command_to_run(self, caplog: pytest.LogCaptureFixture) -> None:
        get_flags().is_feature_enabled("new_checkout")
        assert "flagsmith_status" in caplog.text

    def test_the_calls_default_comes_before_defaults(self, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
        configure(settings, DEFAULTS={"later": "from settings"})
        flags = get_flags()
        assert flags.get_feature_value("later", "from the call") == "from the call"
        assert flags.get_feature_value("later") == "from settings"
        assert flags.get_feature_value("typo", "from the call") == "from the call"
        assert flags.get_feature_value("later", "") == ""
        assert caplog.records == []

    @each_case(
        ("form", "enabled", "value"),
        [
            (True, True, None),
            (False, False, None),
            ("text", True, "text"),
            (0, True, 0),
            (None, True, None),
            ({"value": "text"}, True, "text"),
            ({"enabled": False}, False, None),
            ({"enabled": False, "value": 7}, False, 7),
        ],
    )
    def test_defaults_come_in_three_forms(self, settings: Any, form: Any, enabled: bool, value: Any) -> None:
        configure(settings, DEFAULTS={"later": form})
        flag = get_flags()["later"]
        assert (flag.enabled, flag.value, flag.feature_name, flag.is_default) == (enabled, value, "later", True)
        assert default_flag("later", form) == flag

    def test_a_flag_that_flagsmith_knows_needs_no_default(self, settings: Any) -> None:
        configure(settings, DEFAULTS={"banner_text": "default", "new_checkout": True})
        publish(banner_text="published", new_checkout=False)
        assert get_flags().get_feature_value("banner_text") == "published"
        assert get_flags().is_feature_enabled("new_checkout") is False

    @each_case(
        "read_unknown",
        [
            lambda flags: flags.is_feature_enabled("typo"),
            lambda flags: flags.get_feature_value("typo"),
            lambda flags: flags.get_flag("typo"),
            lambda flags: flags["typo"],
        ],
    )
    def test_strict_raises_and_names_the_remedy(self, settings: Any, read_unknown: Callable[[Flags], Any]) -> None:
        configure(settings, STRICT=True, DEFAULTS={"later": True})
        publish()
        with pytest.raises(UnknownFlag, match=r"'typo'.*'Production'.*FLAGSMITH\['DEFAULTS'\]") as raised:
            read_unknown(get_flags())
        assert isinstance(raised.value, LookupError)
        assert isinstance(raised.value, FlagsmithError)
        assert get_flags().get_feature_value("typo", "default") == "default"
        assert get_flags().is_feature_enabled("later") is True
        assert "typo" not in get_flags()

    def test_a_name_that_was_read_too_early_is_still_reported_later(self, caplog: pytest.LogCaptureFixture) -> None:
        get_flags().is_feature_enabled("typo")
        publish()
        get_reader().current()
        get_flags().is_feature_enabled("typo")
        assert len(caplog.records) == 2

    def test_names_from_outside_do_not_fill_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(flags_module, "MAX_LOGGED", 3)
        for number in range(10):
            get_flags().is_feature_enabled(f"typo {number}")
        assert len(flags_module._logged) == 3


class TestTypes:
    def test_a_value_is_what_flagsmith_has_whatever_the_type_of_the_default(self) -> None:
        publish()
        assert get_flags().get_feature_value("max_cart_items", "many") == 25
        assert get_flags().get_feature_value("banner_text", 7) == "Welcome to Northwind"

    @each_case(
        ("value", "kind", "expected"),
        [
            ('{"a": [1, 2.5, null]}', dict, {"a": [1, 2.5, None]}),
            ("[1, 2]", list, [1, 2]),
            ("text", str, "text"),
            (25, int, 25),
            (25, float, 25.0),
        ],
    )
    def test_a_value_of_the_type_that_is_asked_for(self, value: Any, kind: type, expected: Any) -> None:
        publish(banner_text=value)
        seen = get_flags().get_feature_value("banner_text", type=kind)
        assert (seen, type(seen)) == (expected, kind)

    @each_case(
        ("value", "kind", "why"),
        [
            ("abc", int, "of type str, not int"),
            ("25", int, "of type str, not int"),
            (25, str, "of type int, not str"),
            (25, bool, "of type int, not bool"),
            (25, dict, "of type int, not dict"),
            ("[1]", dict, "of type list, not dict"),
            ("{}", list, "of type dict, not list"),
            ("{'a': 1}", dict, "it isn't JSON"),
            ("", dict, "it isn't JSON"),
            ("[" * 100_000, list, "it isn't JSON"),
            ("9" * 5_000, list, "it isn't JSON"),
            (10**400, float, "too large"),
        ],
    )
    def test_another_type_is_logged_once_and_the_default_stands_in(
        self, value: Any, kind: type, why: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(banner_text=value)
        flags_module._logged.clear()
        caplog.clear()
        default = kind()
        for _ in range(2):
            assert get_flags().get_feature_value("banner_text", default, type=kind) is default
            assert get_flags().get_feature_value("banner_text", type=kind) is None
        [record] = caplog.records
        assert "'banner_text'" in record.getMessage()
        assert why in record.getMessage()

    def test_a_bool_is_no_integer(self, settings: Any) -> None:
        publish()
        assert get_flags().get_feature_value("bool_value", 5, type=int) == 5
        assert get_flags().get_feature_value("bool_value", False, type=bool) is True

    def test_it_goes_for_defaults_too(self, settings: Any) -> None:
        configure(settings, DEFAULTS={"limits": '{"items": 5}', "wrong": "text"})
        assert get_flags().get_feature_value("limits", type=dict) == {"items": 5}
        assert get_flags().get_feature_value("wrong", type=dict) is None
        assert get_flags().get_feature_value("unknown", {"items": 1}, type=dict) == {"items": 1}

    def test_what_is_decoded_is_the_callers_own(self) -> None:
        publish(banner_text='{"a": 1}')
        get_flags().get_feature_value("banner_text", type=dict)["a"] = "vandalised"
        assert get_flags().get_feature_value("banner_text", type=dict) == {"a": 1}

    @each_case("kind", ["dict", tuple, bytes, object, 7])
    def test_other_types_are_an_error_that_names_those_that_there_are(self, kind: Any) -> None:
        publish()
        with pytest.raises(TypeError, match="one of bool, int, float, str, dict, list"):
            get_flags().get_feature_value("banner_text", type=kind)


class TestIdentity:
    @both_ways
    def test_overrides_and_segments_are_those_of_the_identity(self, read: Callable[..., Flags]) -> None:
        publish()
        assert read(identity=GOLD).get_feature_value("banner_text") == "Welcome back, gold member"
        assert read(identity=GOLD).is_feature_enabled("new_checkout") is True
        assert read(identity=ALICE).get_feature_value("banner_text") == "Hello Alice"
        assert read(identity=Identity("user_bob")).get_flag("max_cart_items").enabled is False
        assert read().get_feature_value("banner_text") == "Welcome to Northwind"

    def test_a_variant_stays_with_the_identity(self) -> None:
        publish()
        variants = {
            get_flags(identity=Identity(str(number))).get_feature_value("checkout_button") for number in range(50)
        }
        assert len(variants) == 3
        again = {get_flags(identity=Identity("7")).get_flag("checkout_button").variant for _ in range(5)}
        assert len(again) == 1

    def test_an_unknown_flag_goes_the_same_way(self, settings: Any) -> None:
        configure(settings, DEFAULTS={"later": "soon"})
        publish()
        assert get_flags(identity=GOLD).get_feature_value("later") == "soon"
        assert get_flags(identity=GOLD)["typo"].enabled is False

    def test_an_identity_can_be_sent_to_a_task_and_is_frozen_with_its_traits(self) -> None:
        publish()
        traits = {"plan": "gold"}
        identity = Identity("somebody", traits)
        traits["plan"] = "free"
        assert identity == GOLD
        assert get_flags(identity=identity).is_feature_enabled("new_checkout") is True
        with pytest.raises(FrozenInstanceError):
            identity.identifier = "x"  # type: ignore[misc]
        assert pickle.loads(pickle.dumps(GOLD)) == GOLD

    @pytest.mark.slow
    @examples(deadline=None, max_examples=50)
    @given(
        traits=st.dictionaries(
            st.sampled_from(["plan", "email", "country", "blocked", "age", "app_version", "user_number"]),
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | texts()
            | st.dates()
            | st.decimals()
            | st.binary()
            | st.just("9" * 5_000)
            | st.just(10**400)
            | st.lists(texts())
            | st.dictionaries(texts(), texts()),
        ),
        identifier=texts(),
    )
    def test_a_read_does_not_fail_whatever_the_traits_are(self, traits: dict[str, Any], identifier: str) -> None:
        publish()
        flags = get_flags(identity=Identity(identifier, traits))
        for name in flags:
            assert isinstance(flags.is_feature_enabled(name), bool)

    def test_what_the_sdk_cannot_evaluate_is_the_environments_and_logged_without_the_trait(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish()
        secret = "1234567890" * 500
        for _ in range(2):
            flags = get_flags(identity=Identity("somebody", {"plan": secret}))
            assert flags.get_feature_value("banner_text") == "Welcome to Northwind"
        assert [record.getMessage() for record in caplog.records] == [
            "Flag 'banner_text' is the environment's, not the identity's: ValueError"
        ]
        assert caplog.records[0].exc_info is None

    @each_case(
        ("operator", "value", "trait", "matches"),
        [
            ("EQUAL", "gold", "gold", True),
            ("EQUAL", "7", 7, True),
            ("EQUAL", "7", "7", True),
            ("EQUAL", "7.5", 7.5, True),
            ("GREATER_THAN", "7", 7.5, True),
            ("GREATER_THAN", "6.5", 7, False),  # the segment's value is read as the trait's type
            ("EQUAL", "true", True, True),
            ("EQUAL", "false", False, True),
            ("EQUAL", "1", True, True),
            ("EQUAL", "false", True, False),
            ("IS_SET", None, None, False),
            ("IS_NOT_SET", None, None, True),
            ("IS_SET", None, False, True),
            ("CONTAINS", "beta", ["alpha", "beta"], True),
            ("CONTAINS", "gamma", ["alpha", "beta"], False),
            ("CONTAINS", "'plan': 'gold'", {"plan": "gold"}, True),
            ("IS_SET", None, {}, True),
            ("EQUAL", "gold", {"value": "gold", "transient": True}, True),
            ("IN", "1,2", 2, True),
            ("IN", "1,2", [2], False),
        ],
    )
    def test_traits_of_any_json_type_are_compared_as_the_sdk_does(
        self, operator: str, value: Any, trait: Any, matches: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        body = recordings.document()
        condition = body["project"]["segments"][0]["rules"][0]["rules"][0]["conditions"][0]
        assert condition["property_"] == "plan"
        condition.update(operator=operator, value=value)
        store = configured_store()
        store.publish(parse_document(body), after=None)
        expected = "Welcome back, gold member" if matches else "Welcome to Northwind"
        assert get_flags(identity=Identity("x", {"plan": trait})).get_feature_value("banner_text") == expected
        assert caplog.records == []

    def test_a_segment_with_a_broken_pattern_does_not_break_reads(self) -> None:
        body = recordings.document()
        condition = body["project"]["segments"][0]["rules"][0]["rules"][0]["conditions"][0]
        condition.update(operator="REGEX", value="(")
        store = configured_store()
        store.publish(parse_document(body), after=None)
        assert get_flags(identity=GOLD).get_feature_value("banner_text") == "Welcome to Northwind"


class TestNoNetwork:
    @pytest.fixture
    def only(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
        """Note where sockets connect to."""
        connected: list[Any] = []
        connect = socket.socket.connect

        def note(self: socket.socket, address: Any) -> None:
            connected.append(address)
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", note)
        return connected

    def test_a_read_connects_to_nothing_but_the_cache(
        self, redis_server: RedisServer, settings: Any, only: list[Any]
    ) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        get_flags().is_feature_enabled("new_checkout")
        publish()
        get_reader().current()
        get_flags(identity=GOLD).all_flags()
        asyncio.run(aget_flags(identity=ALICE)).all_flags()
        get_flags().is_feature_enabled("typo")
        assert {address[:2] for address in only} == {("127.0.0.1", redis_server.port)}


# Names


class Name(str):
    """A name whose text isn't what `str()` returns, as of the members of some enums."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another name"


def test_a_name_is_its_text_wherever_it_is_written() -> None:
    publish(new_checkout=True)
    engine = engines["django"]
    on = engine.from_string("{% load flagsmith %}{% flag name %}on{% endflag %}{% get_flag name as f %}{{ f.enabled }}")
    for name in (Name("new_checkout"), SafeString("new_checkout"), gettext_lazy("new_checkout")):
        flags = get_flags()
        assert flags.is_feature_enabled(name)
        assert flags.get_flag(name).feature_name == "new_checkout"
        assert name in flags
        assert on.render({"name": name}) == "onTrue"
        assert flag_enabled(name)(lambda request: "view")(HttpRequest()) == "view"
        with override_flags({name: False}):
            assert not get_flags().is_feature_enabled("new_checkout")
            assert [type(each) for each in get_flags()] == [str]


# Copies of a request


@each_case("copied", [copy.copy, copy.deepcopy, lambda request: pickle.loads(pickle.dumps(request))])
def test_a_request_can_be_copied_before_and_after_it_reads_flags(copied: Any) -> None:
    publish(new_checkout=True)

    def view(request: Any) -> HttpResponse:
        before = copied(request)
        assert request.flags.is_feature_enabled("new_checkout")
        for made in (before, copied(request)):
            assert made.flags.is_feature_enabled("new_checkout")
            assert get_flags(made).is_feature_enabled("new_checkout")
            assert asyncio.run(made.aflags()).is_feature_enabled("new_checkout")
        return HttpResponse()

    FlagsmithMiddleware(view)(HttpRequest())


@each_case("copied", [copy.copy, copy.deepcopy, lambda flags: pickle.loads(pickle.dumps(flags))])
def test_a_copy_of_flags_is_for_the_same_identity(copied: Any) -> None:
    publish()
    flags = get_flags(identity=Identity("42", {"plan": "gold"}))
    assert copied(flags).get_flag("banner_text") == flags.get_flag("banner_text") != get_flags().get_flag("banner_text")
    assert copied(flags).identity == flags.identity


def test_a_copy_of_a_request_sees_the_snapshot_of_the_request() -> None:
    publish(new_checkout=True)
    request = HttpRequest()
    assert get_flags(request).is_feature_enabled("new_checkout")
    publish(new_checkout=False)
    assert get_flags(copy.deepcopy(request)).is_feature_enabled("new_checkout")
