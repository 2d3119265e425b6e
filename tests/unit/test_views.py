"""The health view."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import reverse

from django_flagsmith_realtime import views
from tests.support.backends import HangingCache
from tests.support.cases import each_case
from tests.support.documents import PREFIX, publish
from tests.unit.monitoring.test_health import led


class User:
    is_active = True

    def __init__(self, *, is_staff: bool) -> None:
        self.is_staff = is_staff


class BrokenUser:
    @property
    def is_staff(self) -> bool:
        raise OSError("the database of the users is away")


def ask(user: Any = None, method: str = "get") -> Any:
    request = getattr(RequestFactory(), method)("/")
    if user:
        request.user = user
    return views.health(request)


def test_it_is_where_the_documentation_says(client: Client) -> None:
    assert reverse("flagsmith-health") == "/flagsmith/health/"
    assert client.get("/flagsmith/health/").status_code == 503
    led(publish())
    assert client.get("/flagsmith/health/").json()["healthy"] is True


def test_all_is_well() -> None:
    led(publish())
    assert ask().status_code == 200


def test_no_cache_may_keep_it() -> None:
    for response in (ask(), ask(method="head")):
        assert "no-store" in response["Cache-Control"]
        assert "private" in response["Cache-Control"]


@each_case("method", ["post", "put", "delete", "patch", "options"])
def test_it_is_for_reading(method: str) -> None:
    assert ask(method=method).status_code == 405


@each_case("user", [None, User(is_staff=False), BrokenUser()])
def test_hosts_and_errors_are_for_staff(user: Any) -> None:
    led(publish())
    shown = ask(user).content.decode()
    assert "web-1" not in shown
    assert "It failed." not in shown
    shown = ask(User(is_staff=True)).content.decode()
    assert "web-1" in shown
    assert "It failed." in shown


@each_case(
    ("setting", "caches_setting"),
    [
        ({"ENVIRONMENT_KEY": 5}, None),
        ({"ENVIRONMENT_KEY": "ser.tests", "CACHE": "nowhere"}, None),
        ({"ENVIRONMENT_KEY": "ser.tests"}, {"default": {"BACKEND": "nowhere.Cache"}}),
    ],
)
def test_whatever_is_wrong_the_answer_is_503(setting: Any, caches_setting: Any) -> None:
    more = {"CACHES": caches_setting} if caches_setting else {}
    with override_settings(FLAGSMITH=setting, **more):
        assert ask().status_code == 503


def test_garbage_in_the_cache_is_no_500() -> None:
    for key in ("head", "status", "lease"):
        caches["default"].set(f"{PREFIX}:{key}", [b"\xff", {"a": object}])
    assert ask().status_code == 503


@override_settings(MIDDLEWARE=["django.contrib.auth.middleware.LoginRequiredMiddleware"])
def test_a_project_that_asks_everybody_to_log_in_lets_probes_through() -> None:
    assert views.health.login_required is False


@pytest.fixture
def hung(hanging: type[HangingCache]) -> Iterator[None]:
    hanging.open.clear()
    yield
    hanging.open.set()


def test_a_cache_that_hangs_does_not_stop_the_event_loop(hung: None) -> None:
    async def ask_while_it_hangs() -> int:
        asking = asyncio.ensure_future(AsyncClient().get("/flagsmith/health/"))
        while not HangingCache.asked:
            await asyncio.sleep(0)
        HangingCache.open.set()  # the loop goes on
        return (await asking).status_code

    assert asyncio.run(ask_while_it_hangs()) == 503
