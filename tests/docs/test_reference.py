"""The tables of the reference, compared with the code."""

from __future__ import annotations

import ast
import re
import sys
import time
from argparse import SUPPRESS, Action
from functools import cache
from io import StringIO
from typing import Any

import jinja2
import pytest
from django.core.cache import caches
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import BaseCommand

from django_flagsmith_realtime import signals
from django_flagsmith_realtime.conf import KEYS, get_config
from django_flagsmith_realtime.jinja2 import FlagsmithExtension
from django_flagsmith_realtime.signals import RobustSignal
from django_flagsmith_realtime.storage.announcements import WEBHOOK, received_now
from django_flagsmith_realtime.storage.cache import SCHEMA, cache_key
from django_flagsmith_realtime.storage.lease import OFFER_SECONDS, Lease
from django_flagsmith_realtime.storage.status import CONNECTED, Leader, Status, StreamStatus
from django_flagsmith_realtime.storage.usage import Usage, UsageBoxes
from django_flagsmith_realtime.templatetags.flagsmith import register
from tests.docs.pages import names, table
from tests.support.cases import each_case
from tests.support.documents import PREFIX, configured_store, publish
from tests.support.paths import DOCS, ROOT
from tests.support.source import modules, nodes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest's dependency there

PACKAGE = "django_flagsmith_realtime"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"dev", "docs", "test"}  # extras for those who work on the package

# Settings


SETTINGS = DOCS / "reference/settings.md"
SETTING = re.compile(r"^### `(\w+)`\n\nDefault: `([^`]+)` · (.+?)\n\n.+?(?=^##|\Z)", re.MULTILINE | re.DOTALL)


def test_the_settings_page_has_each_key_with_its_default() -> None:
    told = {key: default for key, default, _ in SETTING.findall(SETTINGS.read_text())}
    assert told == {
        key: repr(dict(item.default)) if hasattr(item.default, "keys") else repr(item.default).replace("'", '"')
        for key, item in KEYS.items()
    }, "docs/reference/settings.md: a setting is a heading ### `NAME`, then: Default: `…` · type · checks: …"


def test_the_settings_page_lists_each_key_on_top() -> None:
    top, _, _ = SETTINGS.read_text().partition("\n## ")
    listed = re.findall(r"\[`(\w+)`\]\(#(\w+)\)", top)
    assert sorted(listed) == sorted((key, key.lower()) for key in KEYS), "docs/reference/settings.md: the list on top"


def test_each_setting_names_the_checks_that_are_about_it() -> None:
    page = (DOCS / "reference/checks.md").read_text()
    rows = re.findall(r"^\| `flagsmith\.(\w+)` \| [^|]+ \| ([^|]+) \|", page, re.MULTILINE)
    assert {
        key: set(re.findall(r"\[`([EIW]\d+)`\]", about)) for key, _, about in SETTING.findall(SETTINGS.read_text())
    } == {key: {id for id, fault in rows if f"`{key}`" in fault} for key in KEYS}, (
        "docs/reference/settings.md names the checks whose row in docs/reference/checks.md names the setting"
    )


# Signals


@cache
def sent_arguments() -> dict[str, list[str]]:
    """Return the arguments that each signal is sent with."""
    found = {}
    sending = [module for module, path in modules().items() if ".send_robust(" in path.read_text()]
    for module in sending:  # to walk through all trees takes longer than all other tests of this file
        for node in nodes(module):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=signal), attr="send_robust"), args=[_, *_]):
                    found[signal] = [str(keyword.arg) for keyword in node.keywords]
    return found


def test_the_signals_table_has_each_signal_with_its_arguments() -> None:
    declared = {name for name, value in vars(signals).items() if isinstance(value, RobustSignal)}
    sent = sent_arguments()
    assert sent.keys() == declared
    rows = table(DOCS / "reference/signals.md", "signal")
    told = {names(name)[0]: [word for word in names(arguments) if word.islower()] for name, _, arguments in rows}
    assert told == sent


def test_the_signals_docstring_has_each_signal_with_its_arguments() -> None:
    told = dict(re.findall(r"`(\w+)\(sender, ([^)]+)\)`", signals.__doc__ or ""))
    assert {name: arguments.split(", ") for name, arguments in told.items()} == sent_arguments()


# Commands

COMMANDS = sorted(name for name, app in get_commands().items() if app == PACKAGE)
COMMON = {action.dest for action in BaseCommand().create_parser("manage.py", "x")._actions}


def told_name(action: Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    name = action.option_strings[-1] if action.option_strings else ""
    return " ".join(filter(None, (name, metavar if action.nargs != 0 else "")))


@each_case("command", COMMANDS)
def test_each_commands_arguments_are_told(command: str) -> None:
    parser = load_command_class(PACKAGE, command).create_parser("manage.py", command)
    own = [action for action in parser._actions if action.dest not in COMMON and action.help != SUPPRESS]
    section = f"`manage.py {command}`"
    heading = "argument" if any(not action.option_strings for action in own) else "option"
    told = [cells[0].strip("`") for cells in table(DOCS / "reference/commands.md", heading, section)]
    assert told == list(map(told_name, own))


def test_the_example_of_flagsmith_flags_is_what_it_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    [(command, told)] = re.findall(
        r"^\$ python manage.py (flagsmith_flags [^\n]*)\n(.*?)^```$",
        (DOCS / "reference/commands.md").read_text(),
        re.M | re.S,
    )
    publish()
    output = StringIO()
    call_command(*command.split(), stdout=output)
    printed = re.sub(r"published (just now|\d+ s ago)", "published 5 min ago", output.getvalue()).splitlines()
    assert [line for line in told.splitlines() if line not in (*printed, "…")] == []


# Templates


def test_the_tags_table_has_each_tag() -> None:
    told = [re.findall(r"{% (\w+) ", cells[0])[0] for cells in table(DOCS / "howto/templates.md", "tag")]
    assert sorted(told) == sorted(register.tags)


def test_the_jinja2_table_has_each_name() -> None:
    environment = jinja2.Environment(extensions=[FlagsmithExtension])
    added = environment.globals.keys() - jinja2.Environment().globals.keys()
    told = {re.findall(r"`(\w+)", cells[0])[0] for cells in table(DOCS / "howto/templates.md", "name")}
    assert told == {*FlagsmithExtension.tags, *added} == register.tags.keys(), "they are the tags' twins"


# Cache keys

LASTS = {
    "forever": None,
    "an hour": 3_600,
    "ten minutes": 600,
    "5 s": 5,
    "30 s": 30,
    "`LEASE_SECONDS` less three": 12,
    "as the lease": 12,
}


def stored_keys() -> dict[str, float | None]:
    """Return the key and the life of all that a listener may keep in the cache, each written once."""
    store = configured_store()
    snapshot = publish()
    store.mark_signaled(snapshot.head)
    store.write_events(None, ())
    store.write_history([])
    store.write_nudge()
    store.announce(received_now(WEBHOOK), digest="DIGEST")
    store.write_stream_time("key", 1)
    store.write_open_streams("process", 1)
    store.write_status(Status(0.0, Leader("host", 1, 0.0), StreamStatus(CONNECTED, 0.0)))
    store.write_usage(Usage(since=0.0))
    boxes = UsageBoxes(store.cache)
    boxes.collect()
    boxes.put(str(boxes.open_round()), {})
    lease = Lease("default", get_config().namespace, seconds=15)
    lease.acquire()
    lease.write_standby()
    lease.cache.connection.set(cache_key(lease.cache.namespace, "offer"), lease.token, OFFER_SECONDS)
    kept: Any = caches["default"]
    lives = {key.removeprefix(f":1:{PREFIX}:"): ends for key, ends in kept._expire_info.items()}
    lease.release()
    return {key: ends and round(ends - time.time()) for key, ends in lives.items()}


def test_the_cache_keys_table_has_each_with_its_life() -> None:
    rows = table(DOCS / "reference/cache-keys.md", "key")
    told = {names(key)[0]: LASTS[lasts.partition(" while")[0]] for key, _, lasts in rows}
    stored = {
        re.sub(r"(?<=usage:)\w+:\d+", "ROUND:NUMBER", named): life
        for key, life in stored_keys().items()
        for named in [re.sub(r"(?<=stream:)\w+", "DIGEST", re.sub(r"(?<=payload:)\d+", "SEQUENCE", key))]
    }
    assert told == stored


def test_the_cache_keys_page_says_which_schema_it_is() -> None:
    assert f"`flagsmith:{SCHEMA}:`" in (DOCS / "reference/cache-keys.md").read_text()


# What Flagsmith bills

DAYS, SDK_SECONDS = 30, 60


def test_the_calculators_table_is_what_its_formulas_say() -> None:
    seconds = DAYS * 86_400
    for cells in table(DOCS / "explanation/billing.md", "processes"):
        processes, changes, *told = (int(cell.replace(",", "")) for cell in cells)
        updates = DAYS * changes
        assert told == [
            seconds // KEYS["POLL_INTERVAL"].default + updates,
            seconds // 3_600 + updates,
            seconds // KEYS["FALLBACK_POLL_INTERVAL"].default,
            processes * updates,
            processes * seconds // SDK_SECONDS,
        ]


# Versions


def requirements(lines: list[str]) -> list[tuple[str, str]]:
    """Return the name and the lower bound of each requirement."""
    return [tuple(re.split(r">=|,", line)[:2]) for line in lines]  # type: ignore[misc]


def test_the_dependencies_table_has_each_with_its_lowest_version() -> None:
    rows = table(DOCS / "reference/versions.md", "dependency")
    told = [(names(name)[0], lowest.partition(",")[0]) for name, lowest, _ in rows]
    assert told == requirements(PROJECT["dependencies"])


def test_the_extras_table_has_each_extra_for_users_with_what_it_brings() -> None:
    extras = {name: lines for name, lines in PROJECT["optional-dependencies"].items() if name not in OURS}
    rows = table(DOCS / "reference/versions.md", "extra")
    told = {names(extra)[0]: [(names(brings)[0], brings.rpartition(" ")[2])] for extra, brings, _ in rows}
    assert told == {name: requirements(lines) for name, lines in extras.items()}


def test_the_classifiers_and_the_page_name_the_versions_that_tox_runs() -> None:
    _, _, tox = (ROOT / "tox.ini").read_text().partition("env_list =")
    environments = tox.partition("[testenv]")[0]
    pythons = {f"3.{minor}" for minor in re.findall(r"\b3(\d\d)\b", environments.replace("py", ""))}
    djangos = {f"{major}.{minor}" for major, minor in re.findall(r"\b(\d)(\d)\b", environments.replace("django", ""))}
    classifiers = "\n".join(PROJECT["classifiers"])
    assert set(re.findall(r"Python :: (3\.\d+)", classifiers)) == pythons
    assert set(re.findall(r"Django :: (\d\.\d)", classifiers)) == djangos
    for page in (ROOT / "README.md", DOCS / "reference/versions.md"):
        told = re.search(r"Django ((?:\d\.\d[, and]*)+)", page.read_text())
        assert told and set(re.findall(r"\d\.\d", told[1])) == djangos, page


def test_the_lowest_versions_that_are_tested_are_those_of_pyproject_toml() -> None:
    extras = (lines for name, lines in PROJECT["optional-dependencies"].items() if name not in OURS)
    wanted = requirements(sum(extras, PROJECT["dependencies"]))
    tested = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "tests/lowest.txt").read_text(), re.MULTILINE))
    assert {name: (tested[name] + ".0").startswith(f"{bound}.") for name, bound in wanted} == dict.fromkeys(
        tested, True
    )
