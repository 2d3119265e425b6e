"""A site that shows a page in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver.remote.webdriver import WebDriver

from tests.support.live_site import APPLICATION, LiveSite
from tests.support.processes import require

UVICORN = ("uvicorn", APPLICATION, "--port={port}", "--lifespan=off")  # it logs each request
LOGGED = re.compile(r'"([A-Z]+) (\S+) HTTP/1.1" (\d+)')
PAGE = """<!doctype html><meta charset="utf-8">
{head}
<body>{body}"""
MODULES = {  # of npm's packages, for a page that has no bundler
    "flagsmith": "flagsmith/index.mjs",
    "@openfeature/core": "@openfeature/core/dist/esm/index.js",
    "@openfeature/web-sdk": "@openfeature/web-sdk/dist/esm/index.js",
    "@openfeature/ofrep-core": "@openfeature/ofrep-core/index.esm.js",
    "@openfeature/ofrep-web-provider": "@openfeature/ofrep-web-provider/index.esm.js",
}
IMPORTS = json.dumps({"imports": {name: f"/node_modules/{path}" for name, path in MODULES.items()}})
CLIENT = f"""<script type="importmap">{IMPORTS}</script>
<script type="module" src="/files/client.js"></script>"""
WITHIN = 30.0  # seconds, on a machine whose cores other tests keep busy


class PageSite(LiveSite):
    """It shows the page that a test writes, and has what npm installed."""

    def __init__(self, cache: dict[str, Any], node_modules: Path, **setting: Any) -> None:
        super().__init__(cache, *UVICORN, **setting)
        self.pages = self.directory / "pages"
        self.pages.mkdir()
        self._node_modules = node_modules

    def environment(self) -> dict[str, str]:
        pages = {"TEST_PAGES": str(self.pages), "TEST_NODE_MODULES": str(self._node_modules)}
        return {**super().environment(), **pages}

    def requests(self, part: str) -> list[tuple[str, str, int]]:
        """Return the method, path and status of each request so far whose path has a part in it."""
        found = (match.groups() for match in LOGGED.finditer(self.log()))
        return [(method, path, int(status)) for method, path, status in found if part in path]

    def write(self, head: str = "", body: str = "", **scripts: str) -> None:
        """Write the page, and scripts beside it: `/files/NAME.js`."""
        (self.pages / "page.html").write_text(PAGE.format(head=head, body=body))
        for name, code in scripts.items():
            (self.pages / f"{name}.js").write_text(code)


def install_packages(directory: Path) -> Path:
    """Have npm install what package-lock.json names; return the folder of the packages."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).with_name(name), directory)
    command = [require("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return directory / "node_modules"


@contextmanager
def hidden(browser: WebDriver) -> Iterator[None]:
    """Show another tab within the block."""
    page = browser.current_window_handle
    browser.switch_to.new_window("tab")
    yield
    browser.close()
    browser.switch_to.window(page)
