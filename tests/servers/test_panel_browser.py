"""The toolbar's panel in a browser."""

from __future__ import annotations

from pathlib import Path

from tests.support.browser import chromium, complaints, lay_out
from tests.support.browser.axe import violations
from tests.support.demo import running_demo
from tests.support.demo_browser import open_panel

CONTENT = {"include": [{"fromShadowDom": ["#djDebugRoot", "#FlagsmithPanel .djDebugPanelContent"]}]}


def test_the_panel_of_the_running_shop_is_open_to_everybody(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--settings", "storefront.toolbar") as demo, chromium() as browser:
        for width, scheme in ((1280, "light"), (1280, "dark"), (400, "light")):
            lay_out(browser, width, scheme=scheme)
            browser.get(demo.shop_url)
            open_panel(browser)
            assert violations(browser, CONTENT) == []
        assert complaints(browser) == []
