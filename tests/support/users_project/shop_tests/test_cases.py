"""Django's test classes."""

from __future__ import annotations

from urllib.request import urlopen

import sockets
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase

from django_flagsmith_realtime import aget_flags, get_flags
from django_flagsmith_realtime.test import override_flags


class NothingIsSet(SimpleTestCase):
    def test_all_flags_are_off(self) -> None:
        self.assertEqual(self.client.get("/").content, b"old|none|from DEFAULTS")
        self.assertEqual(sockets.refused, [])

    async def test_all_flags_are_off_for_coroutines(self) -> None:
        response = await self.async_client.get("/async/")
        self.assertEqual(response.content, b"old|none|from DEFAULTS")
        self.assertEqual(sockets.refused, [])


@override_flags(new_checkout=True, banner="class")
class OfClass(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.user = User.objects.create_user("alice")
        cls.seen = get_flags().get_feature_value("banner")

    def test_of_the_class(self) -> None:
        self.assertEqual(self.seen, "class")
        self.assertEqual(self.client.get("/").content, b"new|class|from DEFAULTS")

    @override_flags(banner="method", footer="set")
    def test_of_the_method_for_a_user(self) -> None:
        self.client.force_login(self.user)
        self.assertEqual(self.client.get("/").content, b"new|method|set")

    @override_flags(banner="method")
    async def test_of_a_coroutine(self) -> None:
        await self.async_client.aforce_login(self.user)
        for url in ("/", "/async/"):
            response = await self.async_client.get(url)
            self.assertEqual(response.content, b"new|method|from DEFAULTS")
        self.assertEqual((await aget_flags()).get_feature_value("banner"), "method")
        self.assertEqual(await sync_to_async(lambda: get_flags().get_feature_value("banner"))(), "method")

    def test_of_a_block(self) -> None:
        with override_flags(new_checkout=False):
            self.assertEqual(self.client.get("/").content, b"old|class|from DEFAULTS")
        self.assertEqual(self.client.get("/").content, b"new|class|from DEFAULTS")

    def tearDown(self) -> None:
        self.assertEqual(sockets.refused, [])


@override_flags({"new_checkout": {"enabled": True}})
class OfLiveServer(LiveServerTestCase):
    def get(self, url: str) -> bytes:
        sockets.live_servers.add(self.server_thread.port)
        with urlopen(self.live_server_url + url, timeout=10) as response:
            return bytes(response.read())

    def test_the_servers_threads_see_the_class(self) -> None:
        self.assertEqual(self.get("/"), b"new|none|from DEFAULTS")

    @override_flags(banner="method")
    def test_the_servers_threads_see_the_method_and_the_block(self) -> None:
        for url in ("/", "/async/"):
            self.assertEqual(self.get(url), b"new|method|from DEFAULTS")
            with override_flags(new_checkout=False, banner="block"):
                self.assertEqual(self.get(url), b"old|block|from DEFAULTS")
            self.assertEqual(self.get(url), b"new|method|from DEFAULTS")

    @override_flags(banner="coroutine")
    async def test_the_servers_threads_see_a_coroutine(self) -> None:
        self.assertEqual(await sync_to_async(self.get)("/"), b"new|coroutine|from DEFAULTS")

    def tearDown(self) -> None:
        self.assertEqual(sockets.refused, [])


class OfTransactions(TransactionTestCase):
    @override_flags(banner="text")
    def test_it(self) -> None:
        self.assertEqual(self.client.get("/").content, b"old|text|from DEFAULTS")
