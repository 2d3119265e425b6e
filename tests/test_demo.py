"""`make demo` as somebody sees it who opens both pages in a browser and ends it with Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from .browser import chromium, complaints
from .demo_pages import Pages
from .demo_process import Demo, descendants, running_demo
from .processes import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    with chromium() as browser:
        yield browser


def test_the_shop_follows_the_other_page_from_both_processes_without_a_reload(
    browser: WebDriver, tmp_path: Path
) -> None:
    with running_demo(tmp_path) as demo:
        pages = Pages.open(browser, demo)
        wait_until(lambda: len(pages.versions()) == 2, "two processes on the shop's page")
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
        assert complaints(browser) == []


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
