"""`make demo` as somebody sees it who opens both pages in a browser and ends it with Ctrl-C."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from tests.support.browser import chromium, complaints, lay_out
from tests.support.browser.axe import violations
from tests.support.demo import Demo, descendants, running_demo
from tests.support.demo_browser import Pages
from tests.support.processes import wait_until

SHAPES = {
    "light": (1280, 900, "light"),
    "dark": (1280, 900, "dark"),
    "phone": (400, 900, "light"),
    "dark phone": (400, 900, "dark"),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    with chromium() as browser:
        yield browser


WAYS = {  # what the log says, in this order, of a change: who announces it, who fetches, and who publishes
    "stream": r"standin +│ stream: announced to 1\n(.*\n)*.*listener │ Flags updated by stream in",
    "webhook": r"standin +│ webhook: \S+/flagsmith/webhook/ answered 200\n(.*\n)*.*listener │ Flags updated by webhook in",
    "queue-change": r"standin +│ queue-change: \S+/queue-change answered 200\n(.*\n)*"
    r".*listener │ Flags updated by queue-change in",
    "poll": r"listener │ Flagsmith listener polls: .* a poll every 5 s\.\n(.*\n)*.*listener │ Flags updated to",
}


@pytest.mark.parametrize("source", WAYS)
def test_the_shop_follows_the_other_page_from_both_processes_without_a_reload(
    browser: WebDriver, tmp_path: Path, source: str
) -> None:
    with running_demo(tmp_path, "--source", source) as demo:
        pages = Pages.open(browser, demo)
        wait_until(lambda: len(pages.versions()) == 2, "two processes on the shop's page", 30)
        first = pages.versions()
        assert "Proceed to checkout" in pages.shop_text()
        pages.on_shop("window.isStillThere = true")

        pages.switch("new_checkout")
        second = pages.wait_for_both_processes(before=first)
        wait_until(lambda: "Buy now" in pages.shop_text(), "the new checkout")

        pages.type("banner_text", "Winter sale: all lamps at half price")
        pages.wait_for_both_processes(before=second)
        wait_until(lambda: "Winter sale: all lamps at half price" in pages.shop_text(), "the new banner")

        assert pages.on_shop("return window.isStillThere") is True, "the page was loaded again"
        assert pages.on_shop(FETCHED) == 2, "the page asks when flags have changed, and not before"
        ours = (demo.shop_url, demo.standin_url)  # pages of a demo that has ended are still open
        assert [complaint for complaint in complaints(browser) if complaint.startswith(ours)] == []
    assert re.search(WAYS[source], demo.said()), demo.said()
    assert "new_checkout is on\n" in demo.said()


FETCHED = """
return performance.getEntriesByType("resource").filter((each) => each.initiatorType === "fetch" && each.name === location.href).length;
"""
STATES = ("new_checkout", "gift_cards", "promo_codes", "dark_mode", "maintenance_mode")


def test_each_page_is_open_to_everybody_and_fits_in_light_and_dark_and_at_400_pixels(
    browser: WebDriver, tmp_path: Path
) -> None:
    with running_demo(tmp_path) as demo:
        shop = (demo.shop_url, f"{demo.shop_url}checkout/")
        found = {address: faults(browser, address) for address in (demo.standin_url, *shop)}
        for name in STATES:
            demo.change(name, enabled=True)
            found |= {f"{address} with {name}": faults(browser, address, "light", "dark phone") for address in shop}
            demo.change(name, enabled=False)
        for color in ("#ffd43b", "#000000"):
            demo.change("theme_colour", value=color)
            found |= {f"{address} in {color}": faults(browser, address, "phone", "dark") for address in shop}
        assert {where: what for where, what in found.items() if what} == {}


def faults(browser: WebDriver, address: str, *shapes: str) -> list[str]:
    """Return what is wrong with a page in some shapes, by default all."""
    found = []
    for shape in shapes or SHAPES:
        width, height, scheme = SHAPES[shape]
        lay_out(browser, width, height, scheme=scheme)
        browser.get(address)
        wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".worker, .flag"), "the page's script")
        excess = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
        wide = [f"{excess} px too wide"] if excess > 0 else []
        found += [f"{shape}: {fault}" for fault in [*violations(browser), *wide]]
    return found


@pytest.mark.parametrize("shape", ["light", "phone"])
def test_the_keyboard_does_it_all_and_shows_where_it_is(browser: WebDriver, tmp_path: Path, shape: str) -> None:
    with running_demo(tmp_path) as demo:
        pages = Pages.open(browser, demo)
        for window in (pages.shop_window, pages.standin_window):
            browser.switch_to.window(window)
            lay_out(browser, *SHAPES[shape][:2])
        pages.flag("new_checkout", ".switch")
        pages.press(Keys.TAB)
        assert pages.focus() == "Skip to the flags"
        pages.press(Keys.ENTER)
        pages.tab_to("new_checkout enabled")
        pages.press(Keys.SPACE)
        wait_until(lambda: "Buy now" in pages.shop_text(), "the new checkout")
        pages.tab_to("Ben")
        pages.press(Keys.ENTER)
        wait_until(lambda: pages.on_shop(ACCOUNT) == "Ben", "shopping as Ben")
        assert pages.focus() == "Ben", "the page follows, and the focus stays"
        pages.tab_to("Change a flag")


ACCOUNT = "return document.querySelector('.account').innerText.normalize()"


def test_customers_see_what_their_segments_and_their_share_say(browser: WebDriver, tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        pages = Pages.open(browser, demo)
        browser.switch_to.window(pages.shop_window)
        assert audience(browser) == {
            "Guest": ["old", "control", "no"],
            "Alice gold": ["new", "blue", "no"],
            "Ben": ["old", "control", "no"],
            "Chloe": ["old", "green", "yes"],
            "Ines": ["old", "control", "yes"],
        }
        pages.shop_as("alice")
        wait_until(lambda: "Welcome back, gold member" in pages.shop_text(), "Alice's banner")
        assert "Buy now" in pages.shop_text()
        pages.shop_as("chloe")
        wait_until(lambda: pages.on_shop(ACCOUNT) == "Chloe", "shopping as Chloe")
        assert "For someone who has it all" in pages.shop_text(), "her half of the customers may buy gift cards"
        assert "Proceed to checkout" in pages.shop_text()


def audience(browser: WebDriver) -> dict[str, list[str]]:
    rows = browser.find_elements(By.CSS_SELECTOR, ".audience tbody tr")
    return {
        row.find_element(By.TAG_NAME, "th").text.replace("\n", " "): [
            cell.text for cell in row.find_elements(By.TAG_NAME, "td")
        ]
        for row in rows
    }


def test_a_kill_switch_takes_the_reviews_away(browser: WebDriver, tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        pages = Pages.open(browser, demo)
        assert "212 reviews" in pages.shop_text()
        pages.switch("reviews")
        wait_until(lambda: "reviews" not in pages.shop_text(), "a page without reviews")


def test_ctrl_c_ends_it_with_exit_0_and_leaves_no_process(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        children = descendants(demo.process.pid)
        assert len(children) == 5, "the stand-in, the listener, gunicorn and its two workers"
        assert demo.snapshot()["pid"] in children
        assert demo.interrupt() == 0
        assert demo.said().endswith("Stopped.\n")
        wait_until(lambda: not [pid for pid in children if Path(f"/proc/{pid}").exists()], "the end of all processes")


def test_a_port_that_is_taken_is_one_line_and_exit_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = Demo(tmp_path, port=port)
        assert demo.exit_code() == 1
    assert demo.said() == f"CommandError: Port {port} is in use: choose another one with --port.\n"
