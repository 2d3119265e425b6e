"""OpenFeature's own provider for OFREP in a browser."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.live.site import CLIENT, WITHIN, PageSite, hidden
from tests.support.browser import complaints
from tests.support.documents import publish
from tests.support.live_site import PAGE_STREAM
from tests.support.processes import wait_until

pytestmark = pytest.mark.xdist_group("npm")

FLAGS = "/flagsmith/ofrep/v1/evaluate/flags"
SCRIPT = """
import { OpenFeature, ProviderEvents } from "@openfeature/web-sdk";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";

window.changes = [];
const client = OpenFeature.getClient();
const banner = () => client.getStringValue("banner_text", "none");
await OpenFeature.setProviderAndWait(
  new OFREPWebProvider({ baseUrl: location.origin + "/flagsmith", cacheMode: "disabled" }),
);
window.first = banner();
client.addHandler(ProviderEvents.ConfigurationChanged, ({ flagsChanged }) => window.changes.push([banner(), flagsChanged]));
"""


def first(browser: WebDriver) -> Any:
    """Return the value with which the page began."""
    return wait_until(lambda: browser.execute_script("return window.first"), "the first flags", WITHIN)


def changes(browser: WebDriver) -> Any:
    """Return the value at each event of the provider, and the names of the flags that it said have changed."""
    return browser.execute_script("return window.changes")


def open_page(site: PageSite, browser: WebDriver, script: str = SCRIPT) -> None:
    """Open a page with the provider, and wait until it has flags and its stream."""
    opened = len(site.requests(PAGE_STREAM))
    site.write(CLIENT, client=script)
    browser.get(f"{site.url}/page/")
    first(browser)
    wait_until(lambda: len(site.requests(PAGE_STREAM)) > opened, "the stream", WITHIN)


def test_a_change_is_an_event_of_the_provider(site: PageSite, browser: WebDriver) -> None:
    publish(banner_text="Good morning")
    before = len(site.requests(FLAGS))
    open_page(site, browser)
    assert first(browser) == "Good morning"
    wait_until(lambda: len(site.requests(FLAGS)) == before + 2, "the request of a page that came amid changes", WITHIN)
    publish(banner_text="Good evening")
    wait_until(lambda: changes(browser), "the event", WITHIN)
    assert changes(browser) == [["Good evening", ["banner_text"]]]
    assert complaints(browser) == []


def test_a_tab_that_is_shown_again_asks_once_and_gets_what_has_changed(site: PageSite, browser: WebDriver) -> None:
    publish(banner_text="Good morning")
    before = len(site.requests(FLAGS))
    open_page(site, browser)
    wait_until(lambda: len(site.requests(FLAGS)) == before + 2, "the request of a page that came amid changes", WITHIN)
    with hidden(browser):
        pass
    wait_until(lambda: len(site.requests(FLAGS)) == before + 3, "the request of the shown tab", WITHIN)
    assert [status for _, _, status in site.requests(FLAGS)[before:]] == [200, 304, 304]
    with hidden(browser):
        publish(banner_text="Good evening")
    wait_until(lambda: changes(browser), "the event", WITHIN)
    assert changes(browser) == [["Good evening", ["banner_text"]]]


def log_in_one_after_the_other(site: PageSite, browser: WebDriver, script: str) -> list[Any]:
    """Return what the page begins with for Alice, and for Bob who logs in after her in the same browser."""
    publish(banner_text="Good morning")
    begun = []
    for name in ("user_alice", "user_bob"):
        browser.get(f"{site.url}/login/{name}/")
        open_page(site, browser, script)
        begun.append(first(browser))
        browser.get(f"{site.url}/logout/")
    return begun


def test_who_logs_in_after_another_gets_his_own_flags(site: PageSite, browser: WebDriver) -> None:
    assert log_in_one_after_the_other(site, browser, SCRIPT) == ["Hello Alice", "Good morning"]


def test_with_the_providers_default_cache_he_begins_with_hers(site: PageSite, browser: WebDriver) -> None:
    """What docs/howto/live.md warns of; once this fails, the provider has another default."""
    script = SCRIPT.replace(', cacheMode: "disabled"', "")
    assert log_in_one_after_the_other(site, browser, script) == ["Hello Alice", "Hello Alice"]
    browser.execute_script("localStorage.clear()")
