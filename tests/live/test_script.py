"""`{% flags_live %}` in a browser, by itself and in the recipes of docs/howto/live.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from tests.live.site import WITHIN, PageSite, hidden
from tests.support.browser import complaints
from tests.support.documents import publish
from tests.support.live_site import PAGE_STREAM
from tests.support.paths import DOCS
from tests.support.processes import wait_until

pytestmark = pytest.mark.xdist_group("npm")

HEAD = '<script src="/files/record.js"></script>{% flags_live %}'
RECORD = """
window.seen = [];
document.addEventListener("flagsmith:changed", (event) => window.seen.push(event.detail.sequence));
"""


def seen(browser: WebDriver) -> Any:
    """Return the sequences that the page's events brought."""
    return browser.execute_script("return window.seen")


def test_a_page_with_a_strict_policy_gets_one_event_for_each_version(site: PageSite, browser: WebDriver) -> None:
    publish(new_checkout=False)
    site.write(HEAD, record=RECORD)
    browser.get(f"{site.url}/strict/")
    second = publish(new_checkout=True).sequence
    wait_until(lambda: seen(browser), "the first event", WITHIN)
    third = publish(new_checkout=False).sequence
    wait_until(lambda: len(seen(browser)) > 1, "the second event", WITHIN)
    assert seen(browser) == [second, third]
    assert complaints(browser) == []


def test_a_page_that_was_rendered_before_a_change_gets_an_event_at_once(site: PageSite, browser: WebDriver) -> None:
    old = publish(new_checkout=False).sequence
    site.write("{% flags_live %}")
    script = site.get("/strict/").splitlines()[1]
    assert str(old) in script
    site.write(HEAD.replace("{% flags_live %}", script), record=RECORD)
    new = publish(new_checkout=True).sequence
    browser.get(f"{site.url}/strict/")
    wait_until(lambda: seen(browser), "the event", WITHIN)
    assert seen(browser) == [new]


def test_a_hidden_tab_has_no_stream_and_gets_an_event_once_it_is_shown(site: PageSite, browser: WebDriver) -> None:
    before = len(site.requests(PAGE_STREAM))
    first = publish(new_checkout=False).sequence
    site.write(HEAD, record=RECORD)
    browser.get(f"{site.url}/strict/")
    wait_until(lambda: len(site.requests(PAGE_STREAM)) == before + 1, "the stream", WITHIN)
    with hidden(browser):
        change = publish(new_checkout=True).sequence
    wait_until(lambda: seen(browser), "the event", WITHIN)
    assert seen(browser) == [change]
    opened = site.requests(PAGE_STREAM)[before:]
    assert opened == [("GET", f"{PAGE_STREAM}?lastEventId={first}", 200)] * 2, "it was closed, and opened again"


def test_a_page_whose_stream_does_not_answer_gets_an_event_when_it_is_shown_again(
    cache: dict[str, Any], node_modules: Path, browser: WebDriver
) -> None:
    hub = {"PUBLISH_URL": "http://127.0.0.1:9/", "SUBSCRIBE_URL": "/none/"}  # which is no stream
    known = publish(new_checkout=False).sequence
    with PageSite(cache, node_modules, HUB=hub) as site:
        site.write(HEAD, record=RECORD)
        browser.get(f"{site.url}/strict/")
        wait_until(lambda: complaints(browser), "the browser's word that this is no stream", WITHIN)
        with hidden(browser):
            pass
        wait_until(lambda: seen(browser), "the event", WITHIN)
        assert seen(browser) == [known]
        wait_until(lambda: complaints(browser), "the second try", WITHIN)


def recipe(heading: str, language: str) -> str:
    """Return the code block of a recipe in docs/howto/live.md."""
    [section] = re.findall(rf"^### {heading}\n(.*?)(?=^##)", (DOCS / "howto/live.md").read_text(), re.M | re.S)
    [code] = re.findall(rf"^```{language}\n(.*?)^```", section, re.M | re.S)
    return code


class TestRecipes:
    @pytest.mark.parametrize("package", ["htmx.org", "htmx4"])
    def test_htmx_fetches_a_part_of_the_page_again(self, site: PageSite, browser: WebDriver, package: str) -> None:
        publish(banner_text="Good morning")
        script = f'<script src="/node_modules/{package}/dist/htmx.js"></script>'
        site.write(script + "{% flags_live %}", body=recipe("With HTMX", "django"))
        browser.get(f"{site.url}/page/")
        assert "Good morning" in text(browser)
        publish(banner_text="Good evening")
        wait_until(lambda: "Good evening" in text(browser), "the new part", WITHIN)
        assert complaints(browser) == []

    def test_a_banner_offers_to_reload(self, site: PageSite, browser: WebDriver) -> None:
        heading = "With a banner that offers to reload"
        publish(banner_text="Good morning")
        site.write(
            '{% flags_live %}<script src="/files/recipe.js"></script>',
            body="{% flag_value 'banner_text' %}" + recipe(heading, "django"),
            recipe=recipe(heading, "js"),
        )
        browser.get(f"{site.url}/strict/")
        publish(banner_text="Good evening")
        wait_until(lambda: "This page has changed." in text(browser), "the banner", WITHIN)
        assert "Good morning" in text(browser), "nothing else changes by itself"
        browser.find_element(By.LINK_TEXT, "Reload it").click()
        wait_until(lambda: "Good evening" in text(browser), "the page that was reloaded", WITHIN)
        assert "This page has changed." not in text(browser)
        assert complaints(browser) == []

    def test_javascript_alone_reads_the_visitors_value(self, site: PageSite, browser: WebDriver) -> None:
        publish(banner_text="Good morning")
        site.write(
            '{% flags_live %}<script src="/files/recipe.js"></script>',
            body="<p class='banner'>{% flag_value 'banner_text' %}</p>",
            recipe=recipe("With JavaScript alone", "js"),
        )
        browser.get(f"{site.url}/strict/")
        publish(banner_text="Good evening")
        wait_until(lambda: "Good evening" in text(browser), "the new value", WITHIN)
        assert complaints(browser) == []


def text(browser: WebDriver) -> str:
    return str(browser.find_element(By.TAG_NAME, "body").text)
