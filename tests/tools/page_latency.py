"""Measure how long an open page takes to show a change, in Chromium: `python -m tests.tools.page_latency [CHANGES]`.

The table goes into docs/howto/live.md. Each way is measured by itself: a change is published at a random moment, and the page
notes when it has the new value.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
from django.test.utils import override_settings
from selenium.webdriver.remote.webdriver import WebDriver
from standin.server import StandIn

from tests.fleet.tables import markdown, put_into
from tests.live.site import CLIENT, WITHIN, PageSite, install_packages
from tests.support.browser import chromium
from tests.support.documents import RECORDED, publish
from tests.support.paths import DOCS
from tests.support.processes import RedisServer, wait_until

CHANGES = 50
PAUSE = (0.5, 1.5)  # seconds between two changes: those of the streams' looks at the cache, which is one a second
NOTE = "window.seen = {};\nconst note = (value) => { window.seen[value] ??= Date.now(); };\n"
ASK = 'const ask = async () => note(await (await fetch("/banner/")).text());\n'
FLAGSMITH = """import flagsmith from "flagsmith";
flagsmith.init({{ environmentID: "{key}", api: "{api}", eventSourceUrl: "{stream}", realtime: true,
  onChange: () => note(flagsmith.getValue("banner_text")) }});
"""
OFREP = """import {{ OpenFeature }} from "@openfeature/web-sdk";
import {{ OFREPWebProvider }} from "@openfeature/ofrep-web-provider";
const show = () => note(OpenFeature.getClient().getStringValue("banner_text", ""));
OpenFeature.getClient().addHandler("PROVIDER_CONFIGURATION_CHANGED", show);
await OpenFeature.setProviderAndWait(
  new OFREPWebProvider({{ baseUrl: location.origin + "/flagsmith", cacheMode: "disabled" }}));
show();
"""


@dataclass(frozen=True)
class Way:
    """How a page learns of changes; `change` makes one."""

    name: str
    head: str
    script: str
    change: Callable[[str], object]


def main(changes: int) -> None:
    rows = []
    with deployment() as (site, standin, browser):
        for way in ways(site, standin):
            seconds, requests = measure(way, site, standin, browser, changes)
            rows.append((way.name, f"{statistics.median(seconds):.2f} s", f"{max(seconds):.2f} s", f"{requests:.1f}"))
            print(" | ".join(rows[-1]), flush=True)
    header = (f"{changes} changes each", "median", "worst", "requests per change")
    put_into(DOCS / "howto/live.md", "page latency", markdown(header, rows))


def ways(site: PageSite, standin: StandIn) -> Iterator[Way]:
    """Yield the ways, ours first."""
    ours = FLAGSMITH.format(key=RECORDED["api_key"], api="/flagsmith/api/v1/", stream="/flagsmith/")
    theirs = FLAGSMITH.format(key=standin.document["api_key"], api=standin.api_url, stream=standin.realtime_url)
    live = ASK + 'document.addEventListener("flagsmith:changed", ask);\nask();\n'
    poll = ASK + "setInterval(ask, 500);\n"

    def republish(value: str) -> None:
        publish(banner_text=value)

    yield Way("`{% flags_live %}`, and a request for the part that shows the flag", "{% flags_live %}", live, republish)
    yield Way("OpenFeature's OFREP provider", "", OFREP.format(), republish)
    yield Way("Flagsmith's JavaScript client, at this site", "", ours, republish)
    yield Way("a request twice a second", "", poll, republish)
    yield Way(
        "Flagsmith's JavaScript client, at an API and a stream of Flagsmith's kind ¹",
        "",
        theirs,
        lambda value: standin.set_flag("banner_text", value=value),
    )


def measure(way: Way, site: PageSite, standin: StandIn, browser: WebDriver, changes: int) -> tuple[list[float], float]:
    """Return the seconds from each change until the page had it, and the requests that the page made for one."""
    way.change("start")
    site.write(CLIENT + way.head, client=NOTE + way.script)
    browser.get(f"{site.url}/page/")
    wait_until(lambda: "start" in seen(browser), "the first value", WITHIN)
    time.sleep(3)  # until what a page asks when it is loaded is answered, and its stream is open
    before, seconds = requests_of(site, standin), []
    for number in range(changes):
        time.sleep(random.uniform(*PAUSE))
        value = f"{way.name} {number}"
        began = time.time()
        way.change(value)
        wait_until(lambda value=value: value in seen(browser), "the new value", WITHIN)
        seconds.append(seen(browser)[value] / 1_000 - began)
    return seconds, (requests_of(site, standin) - before) / changes


def seen(browser: WebDriver) -> dict[str, int]:
    """Return when the page had each value."""
    return browser.execute_script("return window.seen") or {}  # type: ignore[no-any-return]


def requests_of(site: PageSite, standin: StandIn) -> int:
    return len(site.requests("/")) + standin.counts.flags


@contextmanager
def deployment() -> Iterator[tuple[PageSite, StandIn, WebDriver]]:
    """A site with Redis, Flagsmith's stand-in, and a browser whose page may read the answers of both."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = RedisServer()
        stack.callback(redis.end)
        redis.start()
        stack.enter_context(override_settings(CACHES={"default": redis.cache()}))
        site = PageSite(redis.cache(), install_packages(directory), BROWSER_FLAGS="all")
        stack.callback(site.end)
        site.start()
        standin = stack.enter_context(StandIn(state_path=directory / "flags.json"))
        browser = stack.enter_context(chromium(options=["--disable-web-security"]))
        yield site, standin, browser


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CHANGES)
