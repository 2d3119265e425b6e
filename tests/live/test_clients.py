"""Flagsmith's Python SDK and our own listener at the stream of a site."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flagsmith import Flagsmith
from standin.server import StandIn

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.storage.store import Store
from tests.support.listening import listening
from tests.support.live_site import UVICORN, LiveSite, Streams, sdk_stream
from tests.support.processes import Command, RedisServer, wait_until


@pytest.fixture
def site(cache: dict[str, Any], standin: StandIn) -> Iterator[LiveSite]:
    """A site that logs each request, and whose listener runs in the test."""
    arguments = (each.replace("warning", "info") for each in UVICORN)
    with LiveSite(cache, *arguments, **standin.setting) as site, listening(**standin.setting):
        wait_until(lambda: standin.counts.open_streams == 1)
        yield site


def opened(site: LiveSite) -> int:
    """Return how often a client has opened the site's stream for SDKs."""
    return site.log().count("/stream HTTP/1.1")


def test_flagsmiths_python_sdk_fetches_once_for_each_change_and_never_reconnects(
    site: LiveSite, standin: StandIn
) -> None:
    sdk = Flagsmith(
        environment_key=standin.server_key,
        api_url=standin.api_url,
        realtime_api_url=f"{site.url}/flagsmith/",
        enable_local_evaluation=True,
        enable_realtime_updates=True,
    )

    def has_seen(text: str) -> bool:
        return bool(sdk.get_environment_flags().get_feature_value("banner_text") == text)

    wait_until(lambda: opened(site) == 1)
    with closing(Streams(site)) as streams:
        streams.open(sdk_stream(standin.client_key), 1)
        for number, text in enumerate(("one", "two", "three"), start=1):
            before = standin.counts.environment_document
            standin.set_flag("banner_text", value=text)
            wait_until(lambda text=text: has_seen(text))
            # Each time is sent twice; the one of the start too.
            wait_until(lambda: streams.read() and streams.texts[0].count(b"environment_updated") >= 2 * number)  # noqa: B023
            assert standin.counts.environment_document - before == 2, "one by the listener, one by the SDK"
    assert opened(site) == 2, "the SDK's and the test's own"
    assert standin.counts.open_streams == 1, "the SDK needs none of Flagsmith's"
    sdk.event_stream_thread.stop()


def test_our_own_listener_follows_the_stream_of_another_site(
    site: LiveSite, standin: StandIn, redis_server: RedisServer, cache: dict[str, Any], settings: Any, tmp_path: Path
) -> None:
    second = {**redis_server.cache(), "LOCATION": redis_server.url(1)}
    settings.CACHES = {"default": cache, "second": second}
    setting = {**standin.setting, "REALTIME_URL": f"{site.url}/flagsmith/"}
    listener = Command(setting=setting, cache=second, log=tmp_path / "listener.log")
    store = Store("second", get_config().namespace)

    def value() -> Any:
        head = store.read_head()
        environment = head and store.read_environment(head.sequence)
        return environment and environment.flags["banner_text"].value

    try:
        wait_until(lambda: opened(site) == 1)
        for text in ("one", "two", "three"):
            standin.set_flag("banner_text", value=text)
            wait_until(lambda text=text: value() == text)
        assert opened(site) == 1
        assert standin.counts.open_streams == 1, "the other site's"
    finally:
        store.close()
        listener.process.terminate()
        listener.process.wait(10)
