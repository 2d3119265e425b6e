"""axe-core, which finds what keeps people out of a page."""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver.remote.webdriver import WebDriver

AXE = Path(__file__).with_name("axe.min.js").read_text("utf-8")
RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => done(violations.flatMap(
  ({id, help, nodes}) => nodes.map((node) => `${id}: ${help}: ${node.target}: ${node.any.map((check) => check.message)}`)
)), (error) => done([`${error}`]));
"""


def violations(browser: WebDriver) -> list[str]:
    """Return what the current page, as it is shown now, does against axe-core's rules."""
    browser.execute_script(AXE)
    found: list[str] = browser.execute_async_script(RUN)
    return found
