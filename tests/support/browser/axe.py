"""axe-core, which finds what keeps people out of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selenium.webdriver.remote.webdriver import WebDriver

AXE = Path(__file__).with_name("axe.min.js").read_text("utf-8")
RUN = """
const done = arguments[arguments.length - 1];
axe.run(arguments[0], {resultTypes: ["violations"]}).then(({violations}) => done(violations.flatMap(
  ({id, help, nodes}) => nodes.map((node) => `${id}: ${help}: ${node.target}: ${node.any.map((check) => check.message)}`)
)), (error) => done([`${error}`]));
"""


def violations(browser: WebDriver, within: Any = None) -> list[str]:
    """Return what the current page, or what is within axe-core's context, does against its rules, as shown now."""
    browser.execute_script(AXE)
    found: list[str] = browser.execute_async_script(RUN, within or {"include": [["html"]]})
    return found
