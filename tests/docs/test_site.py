"""The documentation site, as it is built."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.paths import DOCS

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """A page's links, pictures and anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.anchors = set[str](), set[str]()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif name == "id" and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-n", "-d", directory / "doctrees"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, DOCS, directory / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return directory / "html"


def test_each_link_within_the_site_leads_to_a_page_and_its_anchor(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 30
    dead = set()
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            has_anchor = not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].anchors
            if not target.exists() or not has_anchor:
                dead.add((path.name, link))
    assert dead == set()


def test_llms_txt_leads_to_the_text_of_each_page(site: Path) -> None:
    text = (site / "llms.txt").read_text()
    assert text.startswith("# django-flagsmith-realtime\n\n> ")
    links = set(re.findall(r"\]\((?!https:)([^)#]+)", text))
    assert [link for link in links if not (site / link).exists()] == []
    pages = {
        link.removeprefix("_sources/").removesuffix(".txt").removesuffix(".html").removesuffix(".md") for link in links
    }
    assert pages == {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")} - {"index"}


def test_the_api_is_told_from_docstrings(site: Path) -> None:
    anchors = Page(site / "reference/api.html").anchors
    for name in ("get_flags", "Flags.get_feature_value", "test.override_flags", "decorators.flag_enabled"):
        assert f"django_flagsmith_realtime.{name}" in anchors
