"""Flagsmith's client for JavaScript in a browser: its flags are ours, and our stream is its real time."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.live.site import CLIENT, WITHIN, PageSite
from tests.support.browser import complaints
from tests.support.documents import RECORDED, publish
from tests.support.live_site import sdk_stream
from tests.support.processes import wait_until

pytestmark = pytest.mark.xdist_group("npm")

KEY = RECORDED["api_key"]
SCRIPT = f"""
import flagsmith from "flagsmith";

window.flagsmith = flagsmith;
window.changes = [];
flagsmith.init({{
  environmentID: "{KEY}",
  api: "/flagsmith/api/v1/",
  eventSourceUrl: "/flagsmith/",
  realtime: true,
  onChange: () => window.changes.push(flagsmith.getValue("banner_text")),
}});
"""


def open_page(site: PageSite, browser: WebDriver) -> None:
    """Open a page with the client, and wait until it has flags and its stream."""
    opened = len(site.requests(sdk_stream(KEY)))
    site.write(CLIENT, client=SCRIPT)
    browser.get(f"{site.url}/page/")
    wait_until(lambda: banner(browser) is not None, "the first flags", WITHIN)
    wait_until(lambda: len(site.requests(sdk_stream(KEY))) > opened, "the stream", WITHIN)


def banner(browser: WebDriver) -> Any:
    return browser.execute_script("return window.flagsmith?.getValue('banner_text', { skipAnalytics: true })")


def test_it_starts_with_our_flags_and_sees_a_change_without_a_reload(site: PageSite, browser: WebDriver) -> None:
    publish(banner_text="Good morning", new_checkout=False)
    open_page(site, browser)
    assert banner(browser) == "Good morning"
    assert browser.execute_script("return window.flagsmith.hasFeature('new_checkout')") is False
    publish(banner_text="Good evening", new_checkout=True)
    wait_until(lambda: banner(browser) == "Good evening", "the change", WITHIN)
    assert browser.execute_script("return window.flagsmith.hasFeature('new_checkout')") is True
    assert complaints(browser) == []


def test_each_session_gets_its_own_flags_whoever_the_page_says_it_is(site: PageSite, browser: WebDriver) -> None:
    publish(banner_text="Good morning")
    browser.get(f"{site.url}/login/user_alice/")
    open_page(site, browser)
    assert banner(browser) == "Hello Alice", "as her override in Flagsmith says"
    browser.get(f"{site.url}/login/user_bob/")
    open_page(site, browser)
    assert banner(browser) == "Good morning"
    browser.execute_async_script("window.flagsmith.identify('user_alice').then(arguments[0])")
    assert banner(browser) == "Good morning", "he gets no flags of hers by her name"
    publish(banner_text="Good evening")
    wait_until(lambda: banner(browser) == "Good evening", "the change", WITHIN)


HOLD_THE_SECOND_ANSWER = """
const times = new Set();
let release;
const held = new Promise((resolve) => (release = resolve));
let asked = 0;

async function fetchSlowly(...request) {
  const response = await fetch(...request);
  if (++asked === 2) await held;
  return response;
}

function watch(stream) {
  stream.addEventListener("environment_updated", ({ data }) => {
    times.add(data);
    if (times.size === 3) setTimeout(release, 0);
  });
}
"""


def test_a_change_that_comes_while_the_client_loads_the_one_before_is_seen_too(
    site: PageSite, browser: WebDriver
) -> None:
    publish(banner_text="1")
    script = HOLD_THE_SECOND_ANSWER + SCRIPT.replace("realtime: true,", "realtime: true,\n  fetch: fetchSlowly,")
    site.write(CLIENT, client=script + "watch(flagsmith.eventSource);")
    browser.get(f"{site.url}/page/")
    wait_until(lambda: banner(browser) == "1", "the first flags", WITHIN)
    flags = len(site.requests("/flags/"))
    publish(banner_text="2")
    wait_until(lambda: len(site.requests("/flags/")) > flags, "the request for the second", WITHIN)
    publish(banner_text="3")
    wait_until(lambda: banner(browser) == "3", "the third", WITHIN)
    assert browser.execute_script("return window.changes") == ["1", "2", "3"]
