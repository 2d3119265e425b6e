"""`manage.py flagsmith_listen`; tests/servers/test_commands.py has it as a process."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from standin.server import StandIn

from django_flagsmith_realtime.storage import cache as storage_cache
from tests.support.cases import each_case
from tests.support.documents import KEY
from tests.support.processes import RedisServer

LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
DUMMY = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}


@pytest.fixture
def once(standin: StandIn, tmp_path: Path) -> Callable[..., str]:
    """Run `flagsmith_listen --once` in this process and return what it printed."""

    def once(*, cache: dict[str, Any] | None = None, **more: Any) -> str:
        shared = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path / "cache")}
        output = StringIO()
        with override_settings(
            CACHES={"default": cache or shared}, FLAGSMITH={**standin.setting, "FRESHNESS": 0, **more}
        ):
            call_command("flagsmith_listen", "--once", stdout=output)
        return output.getvalue()

    return once


def test_once_fails_where_what_it_writes_can_not_be_read_back(
    once: Callable[..., str], standin: StandIn, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_cache, "READ_BACK_DELAYS", (0.0,))
    with pytest.raises(CommandError, match="decode_responses, which must be off"):
        once(cache=redis_server.cache(decode_responses=True))
    assert standin.counts.environment_document == 0


def test_once_publishes_what_is_new_and_opens_no_stream(once: Callable[..., str], standin: StandIn) -> None:
    assert once().startswith("Published version ")
    assert once() == "Nothing changed\n"
    standin.set_flag("banner_text", value="Sale")
    assert once().startswith("Published version ")
    assert (standin.counts.environment_document, standin.counts.stream) == (3, 0)


@each_case(
    ("setting", "said"),
    [
        ({"ENVIRONMENT_KEY": "ser.wrong"}, "refused the request (403): check FLAGSMITH['ENVIRONMENT_KEY']"),
        ({"ENVIRONMENT_KEY": "client-side"}, "client-side key"),
        ({"ENVIRONMENT_KEY": None}, "FLAGSMITH['ENVIRONMENT_KEY'] is missing: all flags are what DEFAULTS says"),
        ({"API_URL": "http://127.0.0.1:1/"}, "127.0.0.1:1 refused the connection"),
        ({"POLL_INTERVALL": 3}, "FLAGSMITH['POLL_INTERVALL'] is not a known key"),
        ({"POLL_INTERVAL": "often"}, "FLAGSMITH['POLL_INTERVAL'] is 'often'. Set it to a number of seconds"),
        ({"CACHE": "flags"}, "FLAGSMITH['CACHE'] is 'flags', which is not in CACHES"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(once: Callable[..., str], setting: dict[str, Any], said: str) -> None:
    with pytest.raises(CommandError) as raised:
        once(**setting)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)


@each_case("cache", [LOCMEM, DUMMY])
def test_a_cache_of_one_process_is_refused_with_the_lines_to_paste(
    once: Callable[..., str], cache: dict[str, Any]
) -> None:
    with pytest.raises(CommandError) as raised:
        once(cache=cache)
    pasted = str(raised.value).partition("\nCACHES = ")[2]
    assert '"BACKEND": "django.core.cache.backends.redis.RedisCache"' in pasted
    namespace: dict[str, Any] = {"FLAGSMITH": {}}
    exec(f"CACHES = {pasted}", namespace)  # the lines are valid Python
    assert namespace["FLAGSMITH"]["CACHE"] in namespace["CACHES"]
