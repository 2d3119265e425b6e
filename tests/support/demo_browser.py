"""The demo's two pages in a browser, and what a person does on them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from tests.support.demo import Demo
from tests.support.processes import wait_until

READS = """
return Object.fromEntries([...document.querySelectorAll(".worker")].map(
  (worker) => [worker.querySelector("b").textContent, worker.querySelector("code").textContent]))
"""
FOCUS = """
const one = document.activeElement;
const [shown] = [one, one.nextElementSibling].filter((each) => each && getComputedStyle(each).outlineStyle !== "none");
if (!shown) return "no outline";
const {left, top, width, height} = shown.getBoundingClientRect();
const above = document.elementFromPoint(left + width / 2, top + height / 2);
return above && (shown.contains(above) || above.parentNode === one.parentNode) ? "" : "something is above it, or it is out of sight";
"""
OUTCOMES = """
const shown = [...document.querySelectorAll(".outcome")].filter((each) => getComputedStyle(each).opacity > 0);
return shown.map((each) => each.textContent);
"""
MOST_TABS = 80


@dataclass
class Pages:
    """The shop's page and the stand-in's, each in a window of its own."""

    browser: WebDriver
    shop_window: str
    standin_window: str

    @classmethod
    def open(cls, browser: WebDriver, demo: Demo) -> Pages:
        browser.get(demo.shop_url)
        shop_window = browser.current_window_handle
        browser.switch_to.new_window("window")
        browser.get(demo.standin_url)
        return cls(browser, shop_window, browser.current_window_handle)

    def on_shop(self, script: str) -> Any:
        """Run a script on the shop's page."""
        self.browser.switch_to.window(self.shop_window)
        return self.browser.execute_script(script)

    def versions(self) -> dict[str, str]:
        """Return which version each process reads, as the shop's page tells, by "pid …"."""
        found: dict[str, str] = self.on_shop(READS)
        return found

    def on_standin(self, script: str) -> Any:
        """Run a script on the stand-in's page."""
        self.browser.switch_to.window(self.standin_window)
        return self.browser.execute_script(script)

    def documents(self) -> str:
        """Return how often the document was asked for, as the stand-in's page tells."""
        return str(self.on_standin("return document.querySelector('#documents dd').textContent"))

    def outcomes(self) -> list[str]:
        """Return the words beside flags that were changed a moment ago."""
        found: list[str] = self.on_standin(OUTCOMES)
        return found

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        ActionChains(self.browser).send_keys(*keys).perform()

    def focus(self) -> str:
        """Return the accessible name of what has the focus; fail where the eye can't see that it has."""
        _, name = self._focused()
        assert not (why := self.browser.execute_script(FOCUS)), f"{name!r} has the focus: {why}"
        return name

    def _focused(self) -> tuple[str, str]:
        """Return the tag and the accessible name of what has the focus; the page may swap it at any moment."""

        def find() -> tuple[str, str] | None:
            with suppress(StaleElementReferenceException):
                element = self.browser.switch_to.active_element
                return element.tag_name, str(element.accessible_name)
            return None

        found: tuple[str, str] = wait_until(find, "something that has the focus")
        return found

    def tab_to(self, name: str) -> None:
        """Press the tab key until something with a name has the focus."""
        for _ in range(MOST_TABS):
            self.press(Keys.TAB)
            if self._focused()[0] != "body" and self.focus() == name:
                return
        raise AssertionError(f"{name!r} cannot be reached with the tab key")

    def shop_text(self) -> str:
        return str(self.on_shop('return document.querySelector("#shop").innerText'))

    def flag(self, name: str, selector: str) -> WebElement:
        """Return a part of a flag's row on the stand-in's page."""
        self.browser.switch_to.window(self.standin_window)

        def find() -> WebElement | None:
            rows = self.browser.find_elements(By.CSS_SELECTOR, ".flag")
            return next((row for row in rows if row.find_element(By.TAG_NAME, "h2").text == name), None)

        row: WebElement = wait_until(find, f"the row of {name}")
        return row.find_element(By.CSS_SELECTOR, selector)

    def shop_as(self, customer: str) -> None:
        self.on_shop(f"document.querySelector('#as-{customer}').click()")

    def switch(self, name: str) -> None:
        self.flag(name, ".switch").click()

    def type(self, name: str, value: str) -> None:
        """Replace a flag's text by hand."""
        field = self.flag(name, "textarea")
        field.click()
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(value, Keys.ENTER)

    def wait_for_both_processes(self, before: dict[str, str]) -> dict[str, str]:
        """Wait until the page shows the same two processes as before, on one other version."""

        def both() -> dict[str, str] | None:
            now = self.versions()
            is_new = now.keys() == before.keys() and not set(now.values()) & set(before.values())
            return now if is_new and len(set(now.values())) == 1 else None

        found: dict[str, str] = wait_until(both, f"a new version in both processes, other than {before}")
        return found


def open_panel(browser: WebDriver) -> None:
    """Open the debug toolbar's panel on the shop's page."""
    toolbar = browser.find_element(By.ID, "djDebugRoot").shadow_root
    handle = toolbar.find_element(By.ID, "djShowToolBarButton")
    if handle.is_displayed():
        handle.click()
    browser.execute_script("arguments[0].click()", toolbar.find_element(By.CSS_SELECTOR, "a.FlagsmithPanel"))
    wait_until(lambda: toolbar.find_elements(By.CSS_SELECTOR, "#FlagsmithPanel table"), "the panel")
