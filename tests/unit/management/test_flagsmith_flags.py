"""`manage.py flagsmith_flags`, called in this process and as a project's process."""

from __future__ import annotations

import json
import logging
import re
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_flagsmith_realtime import Identity, get_flags
from django_flagsmith_realtime.environment.snapshot import parse_document
from django_flagsmith_realtime.storage.usage import DAY, Usage
from tests.support.backends import use
from tests.support.cases import each_case
from tests.support.documents import RECORDED, configured_store, publish
from tests.support.processes import RedisServer


@pytest.fixture(autouse=True)
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def configure(settings: Any, **keys: Any) -> None:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", **keys}


def said(*arguments: str, **options: Any) -> str:
    output = StringIO()
    call_command("flagsmith_flags", *arguments, stdout=output, **options)
    return output.getvalue()


def plain(*arguments: str) -> Any:
    return json.loads(said("--json", *arguments))


def refused(*arguments: str, **options: Any) -> str:
    with pytest.raises(CommandError) as raised:
        said(*arguments, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# What it shows


def test_a_table_of_all_flags_in_the_order_of_their_names() -> None:
    version = publish(new_checkout=True).version
    header, empty, headings, *lines = said().splitlines()
    assert re.fullmatch(
        rf"Environment Production, version {version[:8]}, published (just now|\d+ s ago), 22 flags", header
    )
    assert (empty, headings.split()) == ("", ["flag", "state", "reason", "variant", "value"])
    assert [line.split()[0] for line in lines] == sorted(get_flags())
    rows = {line.split()[0]: line.split(maxsplit=3) for line in lines}
    assert rows["banner_text"] == ["banner_text", "on", "STATIC", '"Welcome to Northwind"']
    assert rows["gift_cards"] == ["gift_cards", "off", "STATIC"]
    assert max(map(len, lines)) == 100, "cut at the width of the terminal"


def test_an_identity_shows_why() -> None:
    publish()
    header, _, _, *lines = said("--identity", "visitor-29", "--trait", "plan=gold").splitlines()
    assert header.endswith("22 flags, for 'visitor-29'")
    [banner] = [line for line in lines if line.startswith("banner_text ")]
    assert "TARGETING_MATCH; segment=gold_members" in banner
    assert '"Welcome back, gold' in banner


def test_with_usage_it_says_when_a_flag_was_last_read(settings: Any) -> None:
    publish()
    settings.FLAGSMITH = {**settings.FLAGSMITH, "USAGE": True}
    assert "idle_days" not in plain("banner_text")["banner_text"], "nothing was counted yet"
    now = time.time()
    configured_store().write_usage(Usage(since=now - 20 * DAY).add({"banner_text": 7}, now - 2 * DAY))
    assert "\nusage    last read 2 d ago, 1.0 reads a day\n" in said("banner_text")
    shown = plain()
    assert (shown["banner_text"]["idle_days"], shown["banner_text"]["reads_per_day"]) == (2, 1.0)
    assert (shown["gift_cards"]["idle_days"], shown["gift_cards"]["reads_per_day"]) == (20, 0.0)


@each_case("identifier", [None, "user_alice", "visitor-5", "gold"])
def test_json_is_what_a_request_sees(identifier: str | None) -> None:
    publish()
    traits = {"plan": "gold", "age": 40} if identifier == "gold" else {}
    arguments = [] if identifier is None else ["--identity", identifier]
    for key, value in traits.items():
        arguments += ["--trait", f"{key}={json.dumps(value)}"]
    flags = get_flags(identity=None if identifier is None else Identity(identifier, traits))
    assert plain(*arguments) == {
        flag.feature_name: {
            "enabled": flag.enabled,
            "value": flag.value,
            "variant": flag.variant,
            "reason": flag.reason,
        }
        for flag in flags.all_flags()
    }
    assert plain("long_text", *arguments)["long_text"]["value"] == flags.get_feature_value("long_text")


def test_reasons_of_every_kind_come_up() -> None:
    publish()
    assert plain("new_checkout")["new_checkout"]["reason"] == "STATIC"
    alice = plain("--identity", "user_alice")
    assert alice["new_checkout"]["reason"] == "TARGETING_MATCH; segment=identity_overrides"
    buttons = [plain("checkout_button", "--identity", str(n))["checkout_button"] for n in range(20)]
    assert {button["reason"] for button in buttons} == {"SPLIT; weight=30.0", "SPLIT; weight=20.0", "STATIC"}


def test_one_flag_is_shown_whole() -> None:
    publish(banner_text="one\ntwo " + "x" * 300)
    assert said("banner_text").splitlines()[2:] == [
        "banner_text is on",
        "reason   STATIC",
        "value    one",
        "         two " + "x" * 300,
    ]


def test_defaults_that_flagsmith_does_not_know_are_shown_with_the_others(settings: Any) -> None:
    configure(settings, DEFAULTS={"later": {"enabled": False, "value": "soon"}, "dark_mode": False}, STRICT=True)
    publish()
    assert plain("later") == {"later": {"enabled": False, "value": "soon", "variant": None, "reason": "DEFAULTS"}}
    assert plain()["dark_mode"]["enabled"] is True
    assert len(plain()) == 23
    assert "later is off\nreason   DEFAULTS\nvalue    soon\n" in said("later")


def test_states_are_colored_as_djangos_commands_are() -> None:
    publish()
    assert "\x1b[" not in said()
    colored = said(force_color=True)
    assert "\x1b[32;1mon   \x1b[0m" in colored
    assert "\x1b[" not in said(force_color=True, json=True)


def test_it_asks_flagsmith_nothing_and_the_cache_once(recording: list[tuple[str, str]]) -> None:
    publish()
    recording.clear()
    said("--identity", "42")
    assert recording == [("get", "head"), ("get", "payload")]


# Arguments


def test_traits_reach_the_evaluation() -> None:
    publish()
    arguments = ("max_cart_items", "--identity", "x", "--trait", "country=DE", "--trait")
    assert plain(*arguments, "age=18")["max_cart_items"]["value"] == 100
    assert plain(*arguments, "age=17")["max_cart_items"]["value"] == 25


@each_case(
    ("arguments", "words"),
    [
        (["--trait", "plan=gold"], "name it with --identity ID"),
        (["--identity", ""], "--identity is empty"),
        (["--identity", "x", "--trait", "plan"], "--trait: 'plan' is not key=value"),
        (["--identity", "x", "--trait", "=gold"], "--trait: '=gold' is not key=value"),
        (["--identity", "x", "--trait", ""], "--trait: '' is not key=value"),
        (["--identity", "x", "--trait", "a=1", "--trait", "a=2"], "--trait: 'a' is there twice"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], words: str) -> None:
    publish()
    assert words in refused(*arguments)


@each_case(
    ("name", "hint"),
    [
        ("new_chekout", "Did you mean 'new_checkout'"),
        ("NEW_CHECKOUT", "Did you mean 'new_checkout'"),
        ("zzz", "flagsmith_flags, without a name, shows all"),
        ("", "flagsmith_flags, without a name, shows all"),
    ],
)
def test_an_unknown_name_is_refused_with_those_that_come_close(name: str, hint: str) -> None:
    publish()
    assert refused(name).startswith(f"There is no flag {name!r}. ")
    assert hint in refused(name, "--json")


# Nothing to show


def test_an_empty_cache_says_what_to_do(settings: Any, tmp_path: Path) -> None:
    use(settings, "django.core.cache.backends.filebased.FileBasedCache", LOCATION=str(tmp_path))
    assert "no flags in the cache 'default' yet. Run manage.py flagsmith_listen" in refused()
    assert "DEFAULTS" not in refused()
    configure(settings, DEFAULTS={"later": True})
    assert "Until then, requests see FLAGSMITH['DEFAULTS']." in refused("later")


def test_a_cache_of_one_process_says_so() -> None:
    with pytest.raises(CommandError, match="The cache 'default' lives in one process"):
        said()


def test_a_cache_that_is_down_says_so(settings: Any, redis_server: RedisServer) -> None:
    settings.CACHES = {"default": redis_server.cache()}
    redis_server.kill()
    assert "The cache failed: ConnectionError" in refused()
    assert "Is the server that CACHES names running?" in refused()


@each_case(
    ("setting", "words"),
    [
        ({"POLL_INTERVALL": 3}, "FLAGSMITH['POLL_INTERVALL'] is not a known key. Did you mean 'POLL_INTERVAL'"),
        ({"CACHE": "flags"}, "FLAGSMITH['CACHE'] is 'flags', which is not in CACHES"),
        ({"ENVIRONMENT_KEY": None}, "FLAGSMITH['ENVIRONMENT_KEY'] is missing"),
    ],
)
def test_a_wrong_setting_is_one_line(settings: Any, setting: dict[str, Any], words: str) -> None:
    configure(settings, **setting)
    assert words in refused()


def test_the_snapshot_file_is_read_where_the_cache_is_empty(settings: Any, tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(RECORDED))
    configure(settings, SNAPSHOT_FILE=str(path))
    assert ", written to SNAPSHOT_FILE " in said().splitlines()[0]
    assert plain("banner_text")["banner_text"]["value"] == "Welcome to Northwind"


def test_an_identity_that_cannot_be_evaluated_is_shown_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    document = json.loads(json.dumps(RECORDED))
    condition = document["project"]["segments"][0]["rules"][0]["rules"][0]["conditions"][0]
    condition.update(operator="MODULO", value="0|0", property_="age")
    configured_store().publish(parse_document(document), after=None)
    assert plain("banner_text", "--identity", "x", "--trait", "age=7")["banner_text"]["reason"] == "STATIC"
    assert caplog.records[0].levelno == logging.WARNING
    assert "'banner_text' is the environment's, not the identity's" in caplog.text
