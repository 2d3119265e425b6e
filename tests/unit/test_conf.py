"""The `FLAGSMITH` setting: its defaults, and what is wrong with a wrong one."""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import FrozenInstanceError
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter

from django_flagsmith_realtime import Identity, aget_flags, get_flags
from django_flagsmith_realtime.conf import (
    KEYS,
    SERVER_KEY_HINT,
    Config,
    explain,
    find_missing,
    find_problems,
    get_config,
)
from django_flagsmith_realtime.reading.reader import get_reader
from tests.support.cases import each_case

DEFAULTS = {
    "ENVIRONMENT_KEY": None,
    "API_URL": "https://edge.api.flagsmith.com/api/v1/",
    "REALTIME_URL": "https://realtime.flagsmith.com/",
    "STREAM_KEY": None,
    "WEBHOOK_SECRET": None,
    "REALTIME_TOKEN": None,
    "CACHE": "default",
    "POLL_INTERVAL": 300,
    "FALLBACK_POLL_INTERVAL": 60,
    "FRESHNESS": 0.1,
    "MAX_STALE": None,
    "REQUEST_TIMEOUT": 10,
    "STREAM_TIMEOUT": 45,
    "LEASE_SECONDS": 15,
    "LISTENER": "command",
    "IDENTITY": None,
    "DEFAULTS": {},
    "STRICT": False,
    "HOOKS": (),
    "USAGE": False,
    "SNAPSHOT_FILE": None,
    "DASHBOARD_URL": None,
    "ADMIN_PERMISSION": None,
    "HUB": None,
    "BROWSER_FLAGS": (),
    "HEADERS": {},
}
RIGHT: list[tuple[str, Any]] = [
    ("ENVIRONMENT_KEY", "ser.abc"),
    ("API_URL", "http://127.0.0.1:8000"),
    ("API_URL", "https://user:password@flagsmith.example/api/v1/"),
    ("API_URL", "http://[::1]:8000/api/v1/"),
    ("API_URL", "https://fähnchen.example/"),
    ("REALTIME_URL", None),
    ("STREAM_KEY", "abc"),
    ("WEBHOOK_SECRET", "a secret with spaces"),
    ("POLL_INTERVAL", 0),
    ("POLL_INTERVAL", 0.5),
    ("FALLBACK_POLL_INTERVAL", 1),
    ("MAX_STALE", 60),
    ("REQUEST_TIMEOUT", 0.1),
    ("LEASE_SECONDS", 8),
    ("LISTENER", "inline"),
    ("IDENTITY", "django_flagsmith_realtime.identity.from_user"),
    ("IDENTITY", lambda request: None),
    ("DEFAULTS", {"a": True, "b": "text", "c": 5, "d": {"enabled": False, "value": "x"}, "e": {"value": 1}, "f": None}),
    ("HUB", {"PUBLISH_URL": "http://127.0.0.1:8090/publish", "SUBSCRIBE_URL": "/subscribe"}),
    ("HUB", {"PUBLISH_URL": "https://me:secret@hub.example/", "SUBSCRIBE_URL": "https://hub.example/"}),
    ("BROWSER_FLAGS", "all"),
    ("BROWSER_FLAGS", {"new_checkout", "max items"}),
    ("HOOKS", ()),
    ("HOOKS", ("shop.hooks.Hook", "shop.hooks.other")),
    ("HEADERS", {"X-Gateway": "a b", "X_Empty": ""}),
]
WRONG: list[tuple[str, Any, str]] = [
    ("ENVIRONMENT_KEY", 5, "non-empty string"),
    ("ENVIRONMENT_KEY", b"ser.x", "non-empty string"),
    ("ENVIRONMENT_KEY", " ser.x", "without spaces"),
    ("ENVIRONMENT_KEY", "ser.x\n", "without spaces"),
    ("ENVIRONMENT_KEY", "ser.ü", "without spaces"),
    ("STREAM_KEY", "", "non-empty string"),
    ("STREAM_KEY", 5, "or None"),
    *[
        (key, value, "an absolute URL")
        for key in ("API_URL", "REALTIME_URL", "DASHBOARD_URL")
        for value in (
            "",
            5,
            "flagsmith.example",
            "//flagsmith.example/",
            "ftp://flagsmith.example/",
            "http://",
            "http:///path/",
            "http://host:port/",
            "http://host:99999/",
            "http://[",
            " http://host/",
            "http://ho st/",
            "http://host/\n",
            "http://ho\nst/",
            "http://host/?key=1",
            "http://host/?",
            "http://host/#part",
        )
    ],
    ("API_URL", None, "an absolute URL"),
    ("HOOKS", "shop.hooks.Hook", "a list of dotted paths"),
    ("HOOKS", [""], "a list of dotted paths"),
    ("HOOKS", None, "a list of dotted paths"),
    ("CACHE", "", "non-empty string"),
    ("CACHE", None, "non-empty string"),
    ("CACHE", ["default"], "non-empty string"),
    *[
        (key, value, words)
        for key, words in [
            ("POLL_INTERVAL", "at least 0"),
            ("FALLBACK_POLL_INTERVAL", "at least 1"),
            ("FRESHNESS", "at least 0"),
            ("MAX_STALE", "above 0, or None"),
            ("REQUEST_TIMEOUT", "above 0"),
            ("STREAM_TIMEOUT", "above 0"),
            ("LEASE_SECONDS", "at least 8"),
        ]
        for value in ("10", True, -1, float("nan"), float("inf"), 1e300, 10**400, [], {})
    ],
    ("POLL_INTERVAL", None, "at least 0"),
    ("FALLBACK_POLL_INTERVAL", 0.5, "at least 1"),
    ("MAX_STALE", 0, "above 0"),
    ("REQUEST_TIMEOUT", 0, "above 0"),
    ("STREAM_TIMEOUT", 0, "above 0"),
    ("LEASE_SECONDS", 7.9, "at least 8"),
    ("LISTENER", "thread", '"command" or "inline"'),
    ("LISTENER", None, '"command" or "inline"'),
    ("LISTENER", [], '"command" or "inline"'),
    ("IDENTITY", "", "dotted path"),
    ("IDENTITY", 5, "dotted path"),
    ("DEFAULTS", None, "a dict of flag names"),
    ("DEFAULTS", [], "a dict of flag names"),
    ("DEFAULTS", {1: True}, "a dict of flag names"),
    ("DEFAULTS", {"a": []}, "a dict of flag names"),
    ("DEFAULTS", {"a": {}}, "a dict of flag names"),
    ("DEFAULTS", {"a": float("nan")}, "a dict of flag names"),
    ("DEFAULTS", {"a": {"value": float("inf")}}, "a dict of flag names"),
    ("DEFAULTS", {"a": {"enabled": "yes"}}, "a dict of flag names"),
    ("DEFAULTS", {"a": {"enabled": True, "variant": "x"}}, "a dict of flag names"),
    ("STRICT", 1, "True or False"),
    ("STRICT", "True", "True or False"),
    ("STRICT", None, "True or False"),
    ("SNAPSHOT_FILE", "", "the path of a file"),
    ("SNAPSHOT_FILE", 5, "or None"),
    ("ADMIN_PERMISSION", "", 'such as "shop.see_flags"'),
    ("ADMIN_PERMISSION", "see_flags", 'such as "shop.see_flags"'),
    ("ADMIN_PERMISSION", ["shop.see_flags"], 'such as "shop.see_flags"'),
    ("HUB", "http://127.0.0.1:8090/", "or None"),
    ("HUB", {"PUBLISH_URL": "http://127.0.0.1:8090/publish"}, '"SUBSCRIBE_URL"'),
    ("HUB", {"PUBLISH_URL": "/publish", "SUBSCRIBE_URL": "/subscribe"}, '"PUBLISH_URL", an absolute URL'),
    ("HUB", {"PUBLISH_URL": "http://127.0.0.1:8090/publish", "SUBSCRIBE_URL": ""}, '"SUBSCRIBE_URL"'),
    ("HUB", {"PUBLISH_URL": "http://127.0.0.1:8090/publish", "SUBSCRIBE_URL": "//hub.example/"}, "or an absolute URL"),
    *[
        ("BROWSER_FLAGS", value, 'a list of flag names, or "all"')
        for value in (None, "new_checkout", True, [1], [""], {"new_checkout": True})
    ],
    ("HEADERS", None, "header names to values"),
    ("HEADERS", ["X-A: b"], "header names to values"),
    ("HEADERS", {"X-A": 5}, "header names to values"),
    ("HEADERS", {"X-A": "a\nb"}, "header names to values"),
    ("HEADERS", {"X-A": "ü"}, "header names to values"),
    ("HEADERS", {"X-A": " a"}, "header names to values"),
    ("HEADERS", {"": "a"}, "header names to values"),
    ("HEADERS", {"X A": "a"}, "header names to values"),
    ("HEADERS", {"X-A:": "a"}, "header names to values"),
    ("HEADERS", {b"X-A": "a"}, "header names to values"),
]


def configured(**keys: Any) -> Config:
    with override_settings(FLAGSMITH=keys):
        return get_config()


# Values


def test_the_keys_and_their_defaults_are_the_documented_ones() -> None:
    assert set(KEYS) == set(DEFAULTS)
    config = configured()
    assert {key: getattr(config, key.lower()) for key in DEFAULTS} == DEFAULTS
    with override_settings(FLAGSMITH={}):
        del settings.FLAGSMITH
        assert get_config() == config == Config()


def test_the_setting_is_read_live_and_again_only_when_it_changes() -> None:
    with pytest.raises(ImproperlyConfigured):
        configured(POLL_INTERVAL=-1)
    with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": "ser.a", "POLL_INTERVAL": 5}):
        assert get_config().poll_interval == 5
        assert get_config() is get_config()
        with override_settings(FLAGSMITH={"POLL_INTERVAL": 6}):
            assert (get_config().poll_interval, get_config().environment_key) == (6, None)
        assert get_config().poll_interval == 5
        config = get_config()
        with override_settings(LANGUAGE_CODE="de"):
            assert get_config() is config


@each_case(("key", "value"), RIGHT)
def test_a_right_value_is_taken(key: str, value: Any) -> None:
    assert find_problems({key: value}) == []
    found = getattr(configured(**{key: value}), key.lower())
    assert found == (f"{value}/" if value == "http://127.0.0.1:8000" else value)


@each_case(
    ("keys", "values", "expected"),
    [
        (["ENVIRONMENT_KEY", "WEBHOOK_SECRET", "REALTIME_TOKEN"], [""], None),  # an empty environment variable
        (["API_URL", "REALTIME_URL"], ["http://host/v1", "http://host/v1/", "http://host/v1//"], "http://host/v1/"),
        (["SNAPSHOT_FILE"], ["/a/flags.json", Path("/a/flags.json")], Path("/a/flags.json")),
    ],
)
def test_a_value_may_be_written_in_several_ways(keys: list[str], values: list[Any], expected: Any) -> None:
    for key, value in product(keys, values):
        assert find_problems({key: value}) == []
        assert getattr(configured(**{key: value}), key.lower()) == expected


def test_the_configuration_is_frozen() -> None:
    headers = {"X-A": "b"}
    config: Any = configured(HEADERS=headers, DEFAULTS={"a": True})
    with pytest.raises(FrozenInstanceError):
        config.strict = True
    with pytest.raises(TypeError):
        config.defaults["b"] = True
    with pytest.raises(TypeError):
        config.headers["X-B"] = "c"
    headers["X-A"] = "changed"
    assert config.headers == {"X-A": "b"}


def test_the_repr_shows_no_secret() -> None:
    shown = repr(configured(ENVIRONMENT_KEY="ser.secret", STREAM_KEY="secret", HEADERS={"Authorization": "secret"}))
    assert "secret" not in shown
    assert "poll_interval=300" in shown
    assert "secret" not in repr(configured(API_URL="https://me:secret@host/", REALTIME_URL="https://secret@host/"))


# Problems


@each_case(("key", "value", "remedy"), WRONG)
def test_a_wrong_value_is_a_problem_with_key_and_remedy(key: str, value: Any, remedy: str) -> None:
    (problem,) = find_problems({key: value})
    assert problem.id == "flagsmith.E004"
    assert f"FLAGSMITH['{key}']" in problem.msg
    assert remedy in problem.hint
    with pytest.raises(ImproperlyConfigured) as caught:
        configured(**{key: value})
    assert str(caught.value) == explain(problem) == f"{problem.msg} {problem.hint}"


def test_a_wrong_value_is_shown_unless_it_is_a_secret() -> None:
    assert "is 'soon'." in find_problems({"POLL_INTERVAL": "soon"})[0].msg
    for key in ("ENVIRONMENT_KEY", "STREAM_KEY"):
        assert "secret" not in str(find_problems({key: " secret"})[0])
    assert "secret" not in str(find_problems({"HEADERS": {"X-A": "secret\n"}})[0])


def test_the_documentation_s_placeholder_is_a_problem_of_its_own() -> None:
    (problem,) = find_problems({"ENVIRONMENT_KEY": "ser.…"})
    assert problem.msg == "FLAGSMITH['ENVIRONMENT_KEY'] is the documentation's 'ser.…'."
    assert problem.hint == SERVER_KEY_HINT


@each_case("key", ["pub.abc", "abc", "SER.abc", "ser_abc"])
def test_a_client_side_key_is_a_problem_that_says_where_to_find_the_right_one(key: str) -> None:
    (problem,) = find_problems({"ENVIRONMENT_KEY": key})
    assert problem.id == "flagsmith.E002"
    assert "FLAGSMITH['ENVIRONMENT_KEY']" in problem.msg
    assert key not in str(problem)
    assert problem.hint == SERVER_KEY_HINT
    assert '"ser."' in problem.hint
    with pytest.raises(ImproperlyConfigured, match="ENVIRONMENT_KEY"):
        configured(ENVIRONMENT_KEY=key)


@each_case("key", ["BEHAVIOR_ON_FIRE", "", 5, ("??",)])
def test_an_unknown_key_is_a_problem_that_lists_the_known(key: object) -> None:
    (problem,) = find_problems({key: "x"})
    assert problem.id == "flagsmith.E003"
    assert f"FLAGSMITH[{key!r}]" in problem.msg
    assert all(known in problem.hint for known in KEYS)


@each_case("known", KEYS)
def test_a_misspelled_key_suggests_the_known_one(known: str) -> None:
    for misspelled in (known.lower(), known[1:], f"{known}S"):
        (problem,) = find_problems({misspelled: "x"})
        assert problem.hint.startswith("Did you mean ") and repr(known) in problem.hint


@each_case("setting", [None, [], "ser.x", 5, {"API_URL"}])
def test_a_setting_that_is_not_a_dict_is_a_problem(setting: object) -> None:
    (problem,) = find_problems(setting)
    assert problem.id == "flagsmith.E005"
    assert type(setting).__name__ in problem.msg
    with override_settings(FLAGSMITH=setting), pytest.raises(ImproperlyConfigured, match="FLAGSMITH is"):
        get_config()


def test_any_mapping_will_do() -> None:
    setting = MappingProxyType({"POLL_INTERVAL": 5})
    with override_settings(FLAGSMITH=setting):
        assert get_config().poll_interval == 5


def test_every_problem_is_found_at_once() -> None:
    problems = find_problems({"POLL_INTERVAL": -1, "unknown": 1, "ENVIRONMENT_KEY": "pub"})
    assert [problem.id for problem in problems] == ["flagsmith.E004", "flagsmith.E003", "flagsmith.E002"]


@each_case("keys", [{}, {"ENVIRONMENT_KEY": None}, {"ENVIRONMENT_KEY": ""}])
def test_a_missing_key_is_a_problem_for_a_listener(keys: Any) -> None:
    (problem,) = find_missing(configured(**keys))
    assert problem.id == "flagsmith.W001"
    assert "FLAGSMITH['ENVIRONMENT_KEY'] is missing" in problem.msg
    assert problem.hint.startswith(SERVER_KEY_HINT)
    assert "SNAPSHOT_FILE" in problem.hint
    assert find_missing(configured(ENVIRONMENT_KEY="ser.x")) == []


@each_case("more", [{"POLL": 3}, {"CACHE": "nope"}])
def test_an_error_report_of_a_wrong_setting_does_not_show_the_key(more: dict[str, object]) -> None:
    with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": "ser.PRIVATE", **more}, DEBUG=False):
        try:
            get_reader(get_config())
        except ImproperlyConfigured:
            report = ExceptionReporter(RequestFactory().get("/"), *sys.exc_info(), is_email=True)
        frames = report.get_traceback_data()["frames"]
    ours = [frame for frame in frames if "django_flagsmith_realtime" in frame["filename"]]
    assert ours
    assert [frame["function"] for frame in ours if "PRIVATE" in str(frame["vars"])] == []


WRONG = [
    {"ENVIRONMENT_KEY": "client-side", "DEFAULTS": {"new_checkout": True}},
    {"ENVIRONMENT_KEY": "ser.tests", "NOPE": 1, "DEFAULTS": {"new_checkout": True}},
    {"ENVIRONMENT_KEY": "ser.tests", "CACHE": "nope", "DEFAULTS": {"new_checkout": True}},
    {"ENVIRONMENT_KEY": "ser.tests", "API_URL": "", "DEFAULTS": {"new_checkout": True}},
]


@each_case("setting", WRONG)
def test_a_read_with_a_wrong_setting_logs_it_once_and_gives_defaults(setting: Any) -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("django_flagsmith_realtime.conf")
    logger.addHandler(handler)
    with override_settings(FLAGSMITH=setting):
        for _ in range(3):
            assert get_flags().is_feature_enabled("new_checkout") is True
            assert asyncio.run(aget_flags()).is_feature_enabled("gift_cards") is False
            assert get_flags(HttpRequest()).is_feature_enabled("new_checkout") is True
            assert get_flags(identity=Identity("42")).snapshot is None
    logger.removeHandler(handler)
    [record] = records
    assert record.levelname == "ERROR"
    assert "FLAGSMITH['" in record.getMessage()


@each_case("setting", ["nonsense", {"DEFAULTS": 5}, {"DEFAULTS": {"a": object()}}])
def test_a_read_fails_under_no_setting(setting: Any) -> None:
    with override_settings(FLAGSMITH=setting):
        assert get_flags().is_feature_enabled("new_checkout") is False


def test_files_of_different_projects_do_not_share_keys() -> None:
    assert Config(snapshot_file=Path("/a.json")).namespace != Config(snapshot_file=Path("/b.json")).namespace
