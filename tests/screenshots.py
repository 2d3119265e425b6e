"""Make the README's picture: `python -m tests.screenshots [FILE]`.

It shows the demo's two pages side by side, just after a flag was switched on the left one.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from .browser import chromium, lay_out
from .demo_pages import Pages
from .demo_process import running_demo
from .processes import wait_until

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "demo.png"
WIDTH, HEIGHT = 1600, 1180  # pixels of the picture
BAR, MARGIN = 46, 24  # pixels, of a window's title bar and around the windows


@dataclass(frozen=True)
class Frame:
    """A window of the picture: its width there in pixels, and the width that its page is laid out for."""

    width: int
    layout_width: int
    url: str

    @property
    def scale(self) -> float:
        return self.width / self.layout_width

    @property
    def height(self) -> int:
        return HEIGHT - BAR - 2 * MARGIN


STANDIN = Frame(width=570, layout_width=410, url="127.0.0.1:8001")
SHOP = Frame(width=WIDTH - 570 - 3 * MARGIN, layout_width=775, url="127.0.0.1:8000")

COMPOSITION = """<!doctype html><meta charset="utf-8"><style>
body {{ display: flex; gap: {margin}px; width: {width}px; height: {height}px; margin: 0; padding: {margin}px;
  box-sizing: border-box; background: linear-gradient(135deg, #e9e4ff, #dff3f1); }}
figure {{ position: relative; overflow: hidden; margin: 0; border-radius: 14px; background: #fff;
  box-shadow: 0 0 0 1px rgb(20 16 50 / .12), 0 18px 50px rgb(20 16 50 / .16); }}
figcaption {{ display: flex; gap: 9px; align-items: center; height: {bar}px; padding-left: 18px; background: #ecebf0;
  color: #56535f; font: 17px "DejaVu Sans", sans-serif; }}
i {{ width: 13px; height: 13px; border-radius: 50%; background: #c9c7d1; }}
span {{ margin-left: 12px; }}
img {{ display: block; }}
svg {{ position: absolute; width: 34px; filter: drop-shadow(0 2px 3px rgb(0 0 0 / .35)); }}
</style>{figures}"""
FIGURE = """<figure><figcaption><i></i><i></i><i></i><span>{url}</span></figcaption>
<img width="{width}" height="{height}" src="data:image/png;base64,{image}">{more}</figure>"""
POINTER = """<svg viewBox="0 0 20 24" style="left: {x:.0f}px; top: {y:.0f}px"><path d="M2 1v19l5-4.5 3.2 7 3-1.4-3.2-6.8h7z"
fill="#111" stroke="#fff" stroke-width="1.5" stroke-linejoin="round"/></svg>"""


def fit(browser: WebDriver, frame: Frame) -> None:
    lay_out(browser, frame.layout_width, frame.height / frame.scale, scale=frame.scale)


def prepare(pages: Pages) -> None:
    """Bring the shop to its light theme with the old checkout."""
    wait_until(lambda: len(pages.versions()) == 2, "two processes on the shop's page")
    before = pages.versions()
    pages.switch("dark_mode")
    before = pages.wait_for_both_processes(before)
    pages.type("banner_text", "Winter sale: every lamp at half price")
    pages.wait_for_both_processes(before)
    fit(pages.browser, SHOP)
    pages.browser.switch_to.window(pages.standin_window)
    fit(pages.browser, STANDIN)


def switch_and_shoot(pages: Pages) -> str:
    """Switch the new checkout on, and return both pages as they are then."""
    before = pages.versions()
    switch = pages.flag("new_checkout", ".switch")
    spot = switch.rect
    switch.click()
    outcome = "return getComputedStyle([...document.querySelectorAll('.outcome')][1]).opacity"
    wait_until(lambda: pages.browser.execute_script(outcome) == "1", "the word that the change is saved")
    standin = figure(pages.browser, STANDIN, pointer_at=(spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2))
    pages.wait_for_both_processes(before)
    wait_until(lambda: "Buy now" in pages.shop_text(), "the new checkout")
    return standin + figure(pages.browser, SHOP)


def figure(browser: WebDriver, frame: Frame, pointer_at: tuple[float, float] | None = None) -> str:
    """Return the current page as a window of the picture."""
    more = ""
    if pointer_at:
        x, y = (position * frame.scale for position in pointer_at)
        more = POINTER.format(x=x, y=y + BAR)
    image = browser.get_screenshot_as_base64()
    return FIGURE.format(url=frame.url, width=frame.width, height=frame.height, image=image, more=more)


def compose(browser: WebDriver, figures: str, directory: Path) -> bytes:
    """Return the picture."""
    page = directory / "picture.html"
    page.write_text(COMPOSITION.format(width=WIDTH, height=HEIGHT, bar=BAR, margin=MARGIN, figures=figures))
    browser.switch_to.new_window("window")
    lay_out(browser, WIDTH, HEIGHT)
    browser.get(page.as_uri())
    wait_until(lambda: all(image.get_property("complete") for image in browser.find_elements(By.TAG_NAME, "img")))
    return base64.b64decode(browser.get_screenshot_as_base64())


def main(path: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        running_demo(Path(name)) as demo,
        chromium(1280, 1000) as browser,
    ):
        pages = Pages.open(browser, demo)
        prepare(pages)
        picture = compose(browser, switch_and_shoot(pages), Path(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture)
    print(f"{path}: {len(picture) / 1000:.0f} KB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
