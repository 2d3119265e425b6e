"""A site that shows a page in a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.support.live_site import APPLICATION, LiveSite

UVICORN = ("uvicorn", APPLICATION, "--port={port}", "--lifespan=off")  # it logs each request
LOGGED = re.compile(r'"([A-Z]+) (\S+) HTTP/1.1" (\d+)')
PAGE = """<!doctype html><meta charset="utf-8">
{head}
<body>{body}"""
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
