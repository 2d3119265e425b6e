"""Make the pictures of the admin page from a project that runs: `python -m tests.tools.admin_screenshots DIRECTORY`."""

from __future__ import annotations

import sys
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from tests.support.admin_site import PAGE, AdminProject, running_admin
from tests.support.browser import chromium, lay_out
from tests.support.processes import wait_until

PICTURES = {"admin": (1280, "light"), "admin-dark": (1280, "dark"), "admin-400": (400, "light")}  # width, scheme
CHANGES = [
    ("max_cart_items", {"value": 30}),
    ("dark_mode", {"enabled": False}),
    ("banner_text", {"value": "Winter sale: every lamp at half price"}),
]


UNREAD = "gift_cards"
USAGE = f"""
import time
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.storage.usage import DAY, Usage

reads = {{name: 480 + 731 * number for number, name in enumerate(get_reader().current().environment.flags)}}
usage = Usage(since=time.time() - 120 * DAY).add({{"{UNREAD}": 1}}, time.time() - 97 * DAY)
del reads["{UNREAD}"]
for day in reversed(range(7)):
    usage = usage.add(reads, time.time() - day * DAY - 40)
get_reader().store.write_usage(usage)
"""


def change(project: AdminProject, browser: WebDriver) -> None:
    """Change flags one by one, so that each is a change of its own."""
    for name, to in CHANGES:
        project.standin.set_flag(name, **to)
        wait_until(lambda name=name: name in browser.find_element(By.ID, "flagsmith-history").text, name)


def evaluate_an_identity(browser: WebDriver) -> None:
    browser.find_element(By.NAME, "identifier").send_keys("alice@northwind.example")
    browser.find_element(By.NAME, "traits").send_keys("plan=gold\ncountry=DE")
    browser.find_element(By.CSS_SELECTOR, "#flagsmith-identity [type=submit]").click()
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".flagsmith-evaluation"), "the evaluated flags")
    wait_until(lambda: "live" in browser.find_element(By.ID, "flagsmith-live").text, "a live page")


def photograph(browser: WebDriver, picture: Path, width: int, scheme: str) -> None:
    """Take the whole page."""
    lay_out(browser, width, 600, scheme=scheme)
    lay_out(browser, width, browser.execute_script("return document.documentElement.scrollHeight"), scheme=scheme)
    browser.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
    assert browser.save_screenshot(str(picture))


def main(directory: Path) -> None:
    with running_admin(USAGE=True, DASHBOARD_URL="https://flagsmith.example.com/") as project, chromium() as browser:
        project.listen()
        project.manage("shell", "-c", USAGE)
        project.log_in(browser)
        change(project, browser)
        browser.get(f"{project.server.url}{PAGE}?state=overridden")
        evaluate_an_identity(browser)
        for name, (width, scheme) in PICTURES.items():
            photograph(browser, directory / f"{name}.png", width, scheme)
            print(directory / f"{name}.png", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
