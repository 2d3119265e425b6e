"""`manage.py flagsmith_status`."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import CommandError, call_command

from django_flagsmith_realtime.management.commands.flagsmith_status import EXIT_CODES, Command
from django_flagsmith_realtime.storage.status import Content
from tests.support.backends import use
from tests.support.cases import each_case
from tests.support.documents import PREFIX, configured_store, publish
from tests.unit.storage.test_status import FULL


@pytest.fixture(autouse=True)
def shared(settings: Any) -> None:
    use(settings, "tests.support.backends.SharedCache")


def lead(age: float = 0) -> None:
    now, snapshot = time.time(), publish()
    content = Content(snapshot.version, 22, "Production", now - age)
    configured_store().write_status(replace(FULL, written_at=now, content=content))
    caches["default"].set(f"{PREFIX}:lease", "web-1:42:token")


def run(*arguments: str) -> tuple[int, str]:
    """Return the exit code and what was printed."""
    output, code = StringIO(), 0
    try:
        call_command("flagsmith_status", *arguments, stdout=output, no_color=True)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, output.getvalue()


def test_all_is_well() -> None:
    lead()
    code, said = run()
    assert code == 0
    assert said.startswith("Health      good")


def test_each_problem_has_an_exit_code_which_the_help_names(settings: Any) -> None:
    assert all(f"{code} " in Command.help for code in EXIT_CODES.values())
    lead(age=60)
    assert run("--max-age", "10")[0] == EXIT_CODES["stale"] == 5
    caches["default"].delete(f"{PREFIX}:lease")
    assert run("--max-age", "10")[0] == EXIT_CODES["no listener"] == 4
    caches["default"].delete(f"{PREFIX}:head")
    assert run()[0] == EXIT_CODES["no snapshot"] == 3
    settings.CACHES = {"default": {"BACKEND": "nowhere.Cache"}}
    assert run()[0] == EXIT_CODES["cache"] == 6


def test_json_is_for_machines() -> None:
    lead()
    code, said = run("--json")
    assert code == 0
    assert json.loads(said).keys() >= {"leader", "stream", "snapshot", "requests"}


@each_case("value", ["soon", "-1", "nan", "inf", ""])
@each_case("option", ["--max-age", "--interval"])
def test_a_wrong_number_is_named(option: str, value: str) -> None:
    with pytest.raises(CommandError, match="is not a number of seconds, 0 or more"):
        run(f"{option}={value}")


@each_case(
    ("setting", "said"),
    [({}, "ENVIRONMENT_KEY"), ({"ENVIRONMENT_KEY": "ser.tests", "CACHE": "nowhere"}, "'nowhere'")],
)
def test_settings_that_cannot_work_are_named(settings: Any, setting: Any, said: str) -> None:
    settings.FLAGSMITH = setting
    with pytest.raises(CommandError, match=said):
        run()


def test_a_process_that_listens_for_itself_is_asked_elsewhere(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with pytest.raises(CommandError, match='set FLAGSMITH\\["LISTENER"\\] = "inline"'):
        run()
    settings.FLAGSMITH = {**settings.FLAGSMITH, "LISTENER": "inline"}
    with pytest.raises(CommandError, match="health/ shows the status"):
        run()
