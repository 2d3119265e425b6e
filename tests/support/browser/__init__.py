"""A real Chromium without a window."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webdriver import WebDriver

from tests.support.processes import require

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


@contextmanager
def chromium(width: int = 1280, height: int = 900, *, options: Sequence[str] = ()) -> Iterator[WebDriver]:
    """Start a browser that knows nothing of any other; end it with the block."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        settings = webdriver.ChromeOptions()
        settings.binary_location = require("chromium")
        for option in (*OPTIONS, *options, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            settings.add_argument(option)
        settings.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options=settings, service=Service(require("chromedriver")))
        try:
            yield browser
        finally:
            browser.quit()


def complaints(browser: WebDriver) -> list[str]:
    """Return what the pages' console says that is worse than information."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]


def lay_out(
    browser: WebDriver, width: float = 1280, height: float = 900, *, scale: float = 1, scheme: str = "light"
) -> None:
    """Give the current window a size, a color scheme, no scrollbars and no motion."""
    metrics = {"width": round(width), "height": round(height), "deviceScaleFactor": scale, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    media = {"features": [{"name": name, "value": value} for name, value in features.items()]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
