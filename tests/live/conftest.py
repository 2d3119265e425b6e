from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.live.site import PageSite, install_packages
from tests.support.browser import chromium
from tests.support.processes import RedisServer


@pytest.fixture
def cache(redis_server: RedisServer, settings: Any) -> dict[str, Any]:
    """An entry of `CACHES` that test and sites share."""
    settings.CACHES = {"default": redis_server.cache()}
    return redis_server.cache()


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What package-lock.json names, installed by npm outside of the repository."""
    return install_packages(tmp_path_factory.mktemp("npm"))


@pytest.fixture(scope="module")
def running_site(redis_process: RedisServer, node_modules: Path) -> Iterator[PageSite]:
    with PageSite(redis_process.cache(), node_modules, BROWSER_FLAGS="all") as site:
        yield site


@pytest.fixture
def site(running_site: PageSite, cache: dict[str, Any]) -> PageSite:
    """A site whose cache is empty; what the test publishes, it serves."""
    return running_site


@pytest.fixture(scope="module")
def chromium_browser() -> Iterator[WebDriver]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(chromium_browser: WebDriver) -> Iterator[WebDriver]:
    """A browser that nobody has logged in with; its page is closed when the test ends."""
    chromium_browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    yield chromium_browser
    chromium_browser.get("about:blank")
