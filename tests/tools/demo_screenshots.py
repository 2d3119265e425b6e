"""Make the pictures of the demo: `python -m tests.tools.demo_screenshots [DIRECTORY]`.

`demo.gif` shows its two pages side by side while flags are switched on the left one, `panel.png` the debug toolbar's
panel on the shop.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from tests.support.browser import chromium, lay_out
from tests.support.demo import running_demo
from tests.support.demo_browser import Pages, open_panel
from tests.support.paths import DOCS
from tests.support.processes import wait_until

PICTURES = DOCS / "images"
WIDTH, HEIGHT = 1600, 1240  # pixels of the picture
BAR, MARGIN = 46, 24  # pixels, of a window's title bar and around the windows
COLORS, RARE = 255, 20  # of a picture's palette; pixels of a color that need not be in it
REST, SAVED, FOLLOWED = 1_400, 700, 2_600  # milliseconds


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


STANDIN = Frame(width=500, layout_width=400, url="127.0.0.1:8001")
SHOP = Frame(width=WIDTH - 500 - 3 * MARGIN, layout_width=940, url="127.0.0.1:8000")

COMPOSITION = """<!doctype html><meta charset="utf-8"><style>
body {{ display: flex; gap: {margin}px; width: {width}px; height: {height}px; margin: 0; padding: {margin}px;
  box-sizing: border-box; background: #e4e2f3; }}
figure {{ position: relative; overflow: hidden; margin: 0; border-radius: 14px; background: #fff;
  box-shadow: 0 0 0 1px rgb(20 16 50 / .14); }}
figcaption {{ display: flex; gap: 9px; align-items: center; height: {bar}px; padding-left: 18px; background: #ecebf0;
  color: #56535f; font: 17px "DejaVu Sans", sans-serif; }}
i {{ width: 13px; height: 13px; border-radius: 50%; background: #c9c7d1; }}
span {{ margin-left: 12px; }}
img {{ display: block; }}
svg {{ position: absolute; width: 34px; }}
</style>{figures}"""
FIGURE = """<figure><figcaption><i></i><i></i><i></i><span>{url}</span></figcaption>
<img width="{width}" height="{height}" src="data:image/png;base64,{image}">{more}</figure>"""
POINTER = """<svg viewBox="0 0 20 24" style="left: {x:.0f}px; top: {y:.0f}px"><path d="M2 1v19l5-4.5 3.2 7 3-1.4-3.2-6.8h7z"
fill="#111" stroke="#fff" stroke-width="1.5" stroke-linejoin="round"/></svg>"""
SWITCHED: dict[str, Callable[[str], bool]] = {  # flags, and whether the shop's text follows
    "new_checkout": lambda text: "Buy now" in text,
    "reviews": lambda text: "reviews" not in text,
}


def prepare(pages: Pages) -> None:
    """Lay both pages out, and give the shop a banner to show."""
    wait_until(lambda: len(pages.versions()) == 2, "two processes on the shop's page", 30)
    before = pages.versions()
    pages.type("banner_text", "Winter sale: every lamp at half price")
    pages.wait_for_both_processes(before)
    for window, frame in ((pages.shop_window, SHOP), (pages.standin_window, STANDIN)):
        pages.browser.switch_to.window(window)
        lay_out(pages.browser, frame.layout_width, frame.height / frame.scale, scale=frame.scale)


def scenes(pages: Pages) -> Iterator[tuple[str, int]]:
    """Switch one flag after the other; return each time both pages as they are then, and for how long to show them."""
    shop = shoot_shop(pages)
    for name, has_followed in SWITCHED.items():
        before, asked = pages.versions(), pages.documents()
        wait_until(lambda: not pages.outcomes(), "a page at rest")
        yield shoot_standin(pages, name) + shop, REST
        pages.switch(name)
        wait_until(pages.outcomes, "the word that the change is saved")
        yield shoot_standin(pages, name) + shop, SAVED
        pages.wait_for_both_processes(before)
        wait_until(lambda has_followed=has_followed: has_followed(pages.shop_text()), "the shop following")
        shop = shoot_shop(pages)
        wait_until(lambda asked=asked: pages.documents() != asked, "the request for the document")
        yield shoot_standin(pages, name) + shop, FOLLOWED


def shoot_shop(pages: Pages) -> str:
    pages.browser.switch_to.window(pages.shop_window)
    return figure(pages.browser, SHOP)


def shoot_standin(pages: Pages, name: str) -> str:
    """Return the stand-in's page with the pointer on a flag's switch."""
    spot = pages.flag(name, ".switch").rect
    x, y = ((spot[at] + spot[size] / 2) * STANDIN.scale for at, size in (("x", "width"), ("y", "height")))
    return figure(pages.browser, STANDIN, POINTER.format(x=x, y=y + BAR))


def figure(browser: WebDriver, frame: Frame, more: str = "") -> str:
    """Return the current page as a window of the picture."""
    image = browser.get_screenshot_as_base64()
    return FIGURE.format(url=frame.url, width=frame.width, height=frame.height, image=image, more=more)


def compose(browser: WebDriver, figures: str, directory: Path) -> Image.Image:
    """Return one picture of both windows."""
    page = directory / "picture.html"
    page.write_text(COMPOSITION.format(width=WIDTH, height=HEIGHT, bar=BAR, margin=MARGIN, figures=figures))
    lay_out(browser, WIDTH, HEIGHT)
    browser.get(page.as_uri())
    wait_until(lambda: all(image.get_property("complete") for image in browser.find_elements(By.TAG_NAME, "img")))
    return screenshot(browser)


def screenshot(browser: WebDriver) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(browser.get_screenshot_as_base64()))).convert("RGB")


def film_demo(path: Path) -> None:
    """Make the moving picture of the demo."""
    with tempfile.TemporaryDirectory() as name, running_demo(Path(name)) as demo, chromium() as browser:
        pages = Pages.open(browser, demo)
        prepare(pages)
        film = list(scenes(pages))
        browser.switch_to.new_window("window")
        pictures = [compose(browser, figures, Path(name)) for figures, _ in film]
    first, *others = [picture.quantize(palette=palette_of(pictures), dither=Image.Dither.NONE) for picture in pictures]
    durations = [duration for _, duration in film]
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0, optimize=True)


def palette_of(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return the colors of all pictures together: one that is rare in them counts as much as one that is not."""
    colors = {color for picture in pictures for count, color in picture.getcolors(WIDTH * HEIGHT) if count > RARE}
    strip = Image.new("RGB", (len(colors), 1))
    strip.putdata(sorted(colors))
    return strip.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def shoot_panel(path: Path) -> None:
    """Make the picture of the debug toolbar's panel."""
    with (
        tempfile.TemporaryDirectory() as name,
        running_demo(Path(name), "--settings", "storefront.toolbar") as demo,
        chromium() as browser,
    ):
        lay_out(browser, 1280, 900, scale=1.25)
        browser.get(demo.shop_url)
        browser.execute_script("document.querySelector('#as-alice').click()")
        wait_until(lambda: "Welcome back" in browser.find_element(By.ID, "shop").text, "shopping as Alice")
        browser.get(demo.shop_url)
        open_panel(browser)
        screenshot(browser).quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


def main(directory: Path) -> None:
    for name, make in (("demo.gif", film_demo), ("panel.png", shoot_panel)):
        make(directory / name)
        print(f"{directory / name}: {(directory / name).stat().st_size / 1000:.0f} KB", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES)
