"""The system checks."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings

from django_flagsmith_realtime.checks import RESERVED
from django_flagsmith_realtime.conf import KEYS

GOOD = {"ENVIRONMENT_KEY": "ser.tests"}


def messages(setting: Any) -> list[CheckMessage]:
    with override_settings(FLAGSMITH=setting):
        return [message for message in run_checks() if str(message.id).startswith("flagsmith.")]


def test_good_settings_are_silent() -> None:
    assert messages(GOOD) == []


@pytest.mark.parametrize(
    ("setting", "id", "named", "remedy"),
    [
        ({}, "flagsmith.E001", "ENVIRONMENT_KEY", "Create a server-side key"),
        ({"ENVIRONMENT_KEY": None}, "flagsmith.E001", "ENVIRONMENT_KEY", "Create a server-side key"),
        ({"ENVIRONMENT_KEY": "abc"}, "flagsmith.E002", "client-side key", "Create a server-side key"),
        ({**GOOD, "URL": ""}, "flagsmith.E003", "FLAGSMITH['URL']", "API_URL"),
        ({**GOOD, "API_URL": 3}, "flagsmith.E004", "FLAGSMITH['API_URL'] is 3", "an absolute URL"),
        (["ser.tests"], "flagsmith.E005", "list, not a dict", "ENVIRONMENT_KEY"),
        ({**GOOD, "IDENTITY": "tests.nowhere.ask"}, "flagsmith.E007", "No module named 'tests.nowhere'", "from_user"),
        (
            {**GOOD, "IDENTITY": "tests.test_checks.nothing"},
            "flagsmith.E007",
            "'tests.test_checks.nothing'",
            "from_user",
        ),
        ({**GOOD, "IDENTITY": "tests.test_checks.GOOD"}, "flagsmith.E007", "not callable", "from_user"),
        ({**GOOD, "IDENTITY": "alice"}, "flagsmith.E007", "'alice'", "from_user"),
        ({**GOOD, "CACHE": "flags"}, "flagsmith.E006", "'flags'", "name one of: default"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(setting: Any, id: str, named: str, remedy: str) -> None:
    [message] = messages(setting)
    assert message.id == id
    assert message.is_serious()
    assert named in message.msg
    assert remedy in str(message.hint)


def test_each_problem_is_reported() -> None:
    found = messages({**GOOD, "API_URL": "", "POLL_INTERVAL": -1, "STRICT": "yes"})
    assert [message.id for message in found] == ["flagsmith.E004"] * 3


@pytest.mark.parametrize(
    "named", [None, "django_flagsmith_realtime.identity.from_user", "tests.test_checks.messages", messages]
)
def test_a_callable_that_names_identities_is_silent(named: Any) -> None:
    assert messages({**GOOD, "IDENTITY": named}) == []


@pytest.mark.parametrize("key", RESERVED)
def test_a_key_that_does_nothing_yet_draws_a_warning(key: str) -> None:
    default = KEYS[key].default
    [message] = messages({**GOOD, key: default})
    assert message.id == "flagsmith.W001"
    assert key in message.msg
