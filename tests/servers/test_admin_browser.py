"""The admin page in a browser, with a running project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.select import Select

from tests.support.admin_site import PAGE, AdminProject, running_admin
from tests.support.browser import chromium, complaints, lay_out
from tests.support.browser.axe import violations
from tests.support.processes import wait_until

pytestmark = pytest.mark.xdist_group("admin")

ROWS = "return [...document.querySelectorAll('#flagsmith-flags tbody th bdi')].map((name) => name.textContent)"
WHERE = """
const at = document.activeElement, style = getComputedStyle(at);
const is_seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
return [at.name || at.textContent.normalize() || at.value, is_seen || style.borderColor !== arguments[0]];
"""


@pytest.fixture(scope="module")
def project() -> Iterator[AdminProject]:
    with running_admin() as project:
        project.listen()
        yield project


@pytest.fixture(scope="module")
def logged_in(project: AdminProject) -> Iterator[WebDriver]:
    with chromium() as browser:
        project.log_in(browser)
        yield browser


@pytest.fixture
def browser(project: AdminProject, logged_in: WebDriver) -> Iterator[WebDriver]:
    """A browser on the page, as it is before anybody does anything; at the end no policy was violated."""
    lay_out(logged_in)
    logged_in.get(f"{project.server.url}{PAGE}")
    yield logged_in
    assert complaints(logged_in) == []


def rows(browser: WebDriver) -> list[str]:
    found: list[str] = browser.execute_script(ROWS)
    return found


def said(browser: WebDriver, selector: str) -> str:
    text: str = browser.execute_script("return document.querySelector(arguments[0]).innerText", selector)
    return " ".join(text.split())


def wait_for(browser: WebDriver, selector: str, text: str, timeout: float = 20) -> None:
    wait_until(lambda: text in said(browser, selector), f"{text!r} in {selector}", timeout)


def press(browser: WebDriver, *keys: str) -> None:
    browser.switch_to.active_element.send_keys(*keys)


def evaluate(browser: WebDriver, identifier: str, traits: str) -> None:
    browser.find_element(By.NAME, "identifier").send_keys(identifier)
    browser.find_element(By.NAME, "traits").send_keys(traits)
    browser.find_element(By.CSS_SELECTOR, "#flagsmith-identity [type=submit]").click()


class TestLiveUpdates:
    def test_a_change_is_shown_and_said_without_a_reload(self, project: AdminProject, browser: WebDriver) -> None:
        wait_for(browser, "#flagsmith-live", "live")
        browser.execute_script("window.isStillThere = true")
        project.standin.set_flag("theme_colour", value="#abcdef")
        wait_for(browser, "#flagsmith-flags", "#abcdef")
        wait_for(browser, "#flagsmith-history li", "theme_colour")
        wait_until(lambda: said(browser, "#flagsmith-announcement") == "The flags have changed.")
        assert browser.execute_script("return window.isStillThere")

    def test_open_details_and_the_focus_stay(self, project: AdminProject, browser: WebDriver) -> None:
        browser.find_element(By.CSS_SELECTOR, "#flagsmith-flags summary").send_keys(Keys.ENTER)
        project.standin.set_flag("theme_colour", value="#123456")
        wait_for(browser, "#flagsmith-flags", "#123456")
        open_and_focused = "return [document.activeElement.tagName, document.activeElement.parentElement.open]"
        assert browser.execute_script(open_and_focused) == ["SUMMARY", True]

    def test_the_end_of_a_session_ends_it(self, project: AdminProject, browser: WebDriver) -> None:
        cookies = browser.get_cookies()
        browser.delete_cookie("sessionid")
        wait_for(browser, "#flagsmith-live", "log in again")
        for cookie in cookies:
            browser.add_cookie(cookie)


class TestSearching:
    def test_the_list_is_filtered_while_the_user_types(self, browser: WebDriver) -> None:
        count = len(rows(browser))
        search = browser.find_element(By.NAME, "q")
        search.send_keys("banner")
        wait_until(lambda: rows(browser) == ["banner_text", "beta_banner"], "the flags that are searched")
        assert "q=banner" in browser.current_url
        assert browser.switch_to.active_element == search
        wait_until(lambda: said(browser, "#flagsmith-announcement") == f"2 of {count} flags")

        Select(browser.find_element(By.NAME, "state")).select_by_visible_text("With overrides")
        wait_until(lambda: rows(browser) == ["banner_text"], "those with overrides")
        browser.refresh()
        assert rows(browser) == ["banner_text"]
        browser.find_element(By.LINK_TEXT, "Show all").click()
        wait_until(lambda: len(rows(browser)) == count, "all flags")

    def test_the_evaluated_flags_stay_meanwhile(self, browser: WebDriver) -> None:
        evaluate(browser, "42", "plan=gold")
        browser.find_element(By.NAME, "q").send_keys("colour", Keys.ENTER)
        wait_until(lambda: rows(browser) == ["theme_colour"])
        assert "For 42 with 1 trait" in said(browser, ".flagsmith-evaluation")


def test_all_works_without_javascript(project: AdminProject, browser: WebDriver) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.refresh()
        browser.find_element(By.NAME, "q").send_keys("banner")
        Select(browser.find_element(By.NAME, "state")).select_by_visible_text("With overrides")
        browser.find_element(By.CSS_SELECTOR, "#flagsmith-filters [type=submit]").click()
        wait_until(lambda: "state=overridden" in browser.current_url)
        assert rows(browser) == ["banner_text"]
        evaluate(browser, "somebody", "plan=gold")
        wait_for(browser, ".flagsmith-evaluation", "Welcome back, gold member")
        assert "somebody" not in browser.current_url
        assert rows(browser) == ["banner_text"]
        assert "good" in said(browser, "#flagsmith-status")
        assert said(browser, "#flagsmith-live") == ""
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


class TestKeyboard:
    def test_it_reaches_all_in_order_and_shows_where_it_is(self, browser: WebDriver) -> None:
        border = browser.execute_script("return getComputedStyle(document.querySelector('[name=q]')).borderColor")
        browser.execute_script("document.querySelector('.flagsmith-page nav a').focus()")
        walked: list[Any] = []
        for _ in range(60):
            walked.append(browser.execute_script(WHERE, border))
            if walked[-1][0] == "Evaluate":
                break
            press(browser, Keys.TAB)
        names = [name for name, _ in walked]
        wanted = [
            "Flags",
            "Try an identity",
            "Last changes",
            "q",
            "state",
            "Search",
            "identifier",
            "traits",
            "Evaluate",
        ]
        assert [name for name in names if name in wanted] == wanted
        assert [name for name, is_seen in walked if not is_seen] == []

    def test_it_is_enough_to_search_and_to_evaluate_an_identity(self, browser: WebDriver) -> None:
        browser.execute_script("document.querySelector('.flagsmith-page nav a:nth-child(2)').focus()")
        press(browser, Keys.ENTER)
        press(browser, Keys.TAB)
        press(browser, "42", Keys.TAB)
        press(browser, "plan=gold", Keys.TAB)
        press(browser, Keys.ENTER)
        wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".flagsmith-evaluation"), "the evaluated flags")
        assert "Welcome back, gold member" in said(browser, ".flagsmith-evaluation")


class TestAccessibility:
    @pytest.mark.parametrize(
        ("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")], ids=str
    )
    def test_axe_finds_nothing(self, browser: WebDriver, width: int, scheme: str) -> None:
        evaluate(browser, "42", "plan=gold")
        lay_out(browser, width, 900, scheme=scheme)
        for details in browser.find_elements(By.TAG_NAME, "summary"):
            details.send_keys(Keys.ENTER)
        assert violations(browser) == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_nor_in_the_other_theme_than_the_systems(self, browser: WebDriver, theme: str) -> None:
        lay_out(browser, scheme="light" if theme == "dark" else "dark")
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        assert violations(browser) == []

    def test_nor_in_german(self, project: AdminProject, browser: WebDriver) -> None:
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": "de"}})
        try:
            browser.refresh()
            project.standin.set_flag("theme_colour", value="#fedcba")
            wait_until(lambda: said(browser, "#flagsmith-announcement") == "Die Flags haben sich geändert.")
            wait_for(browser, "#flagsmith-history li", "theme_colour Wert")
            evaluate(browser, "42", "plan=gold")
            for width in (1280, 400):
                lay_out(browser, width)
                assert violations(browser) == []
                assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        finally:
            browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})

    def test_nor_where_something_is_wrong(self, browser: WebDriver) -> None:
        evaluate(browser, "42", "plan")
        assert "'plan' is not key=value" in said(browser, "#flagsmith-identity .errorlist")
        assert violations(browser) == []
        browser.find_element(By.NAME, "q").send_keys("no such flag", Keys.ENTER)
        wait_for(browser, "#flagsmith-flags", "No flag matches.")
        assert violations(browser) == []


def test_before_and_after_a_listener() -> None:
    with running_admin() as project, chromium() as browser:
        project.log_in(browser)
        wait_for(browser, "#flagsmith-status", "Nobody is listening")
        assert "There are no flags yet" in said(browser, "#flagsmith-flags")
        assert violations(browser) == []

        listener = project.listen()
        wait_until(lambda: "banner_text" in rows(browser), "the flags")
        wait_for(browser, "#flagsmith-status", "good")

        listener.process.terminate()
        wait_for(browser, "#flagsmith-status", "Nobody is listening")
        assert said(browser, "#flagsmith-announcement") == "Health: no listener"
        assert "banner_text" in rows(browser)

        project.redis.kill()
        wait_for(browser, "#flagsmith-status", "The cache failed")
        browser.refresh()
        assert "banner_text" in rows(browser), "what the process holds"
        assert violations(browser) == []
        assert complaints(browser) == []
