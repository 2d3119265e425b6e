"""Pytest's functions and classes, with the fixture, and pytest-asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest
import sockets
from django.test import AsyncClient, Client
from pytest_django.live_server_helper import LiveServer

from django_flagsmith_realtime import aget_flags, get_flags
from django_flagsmith_realtime.test import override_flags

Set = Callable[..., None]


@pytest.mark.parametrize("number", range(20))
def test_the_fixture_holds_until_the_end_of_the_test(client: Client, flagsmith_flags: Set, number: int) -> None:
    assert client.get("/").content == b"old|none|from DEFAULTS"
    flagsmith_flags(new_checkout=True, banner=number)
    assert client.get("/").content == f"new|{number}|from DEFAULTS".encode()
    flagsmith_flags({"banner": "again"})
    assert client.get("/").content == b"new|again|from DEFAULTS"


@override_flags(new_checkout=True)
def test_a_decorated_function(client: Client, flagsmith_flags: Set) -> None:
    flagsmith_flags(banner="fixture")
    assert client.get("/").content == b"new|fixture|from DEFAULTS"


@override_flags(new_checkout=True)
class TestClass:
    def test_a_method(self, client: Client) -> None:
        assert client.get("/").content == b"new|none|from DEFAULTS"

    @override_flags(banner="method")
    async def test_a_coroutine(self, async_client: AsyncClient) -> None:
        assert (await async_client.get("/async/")).content == b"new|method|from DEFAULTS"

    async def test_the_fixture(self, async_client: AsyncClient, flagsmith_flags: Set) -> None:
        flagsmith_flags(banner="fixture")
        assert (await async_client.get("/")).content == b"new|fixture|from DEFAULTS"
        assert (await aget_flags()).get_feature_value("banner") == "fixture"


@pytest.fixture
async def afixture(flagsmith_flags: Set) -> Any:
    flagsmith_flags(banner="fixture of a fixture")
    return (await aget_flags()).get_feature_value("banner")


async def test_an_async_fixture(afixture: Any, async_client: AsyncClient) -> None:
    assert afixture == "fixture of a fixture"
    assert (await async_client.get("/async/")).content == b"old|fixture of a fixture|from DEFAULTS"


async def test_coroutines_beside_each_other(async_client: AsyncClient) -> None:
    async def look(text: str) -> bool:
        with override_flags(banner=text):
            await asyncio.sleep(0)
            pages = [(await async_client.get(url)).content for url in ("/", "/async/")]
            return pages == [f"old|{text}|from DEFAULTS".encode()] * 2

    assert await asyncio.gather(*(look(str(number)) for number in range(20))) == [True] * 20


@pytest.mark.django_db(transaction=True)
def test_a_live_server(live_server: LiveServer, flagsmith_flags: Set) -> None:
    sockets.live_servers.add(live_server.thread.port)
    for text in ("one", "two"):
        flagsmith_flags(banner=text, new_checkout=text == "two")
        for url in ("/", "/async/"):
            with urlopen(f"{live_server.url}{url}", timeout=10) as response:
                state = "new" if text == "two" else "old"
                assert response.read() == f"{state}|{text}|from DEFAULTS".encode()


def test_nothing_is_left(client: Client) -> None:
    assert list(get_flags()) == []
    assert client.get("/").content == b"old|none|from DEFAULTS"
