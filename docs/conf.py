"""How Sphinx builds the site from these pages: `make docs`."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import django
from docutils import nodes

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django_flagsmith_realtime import __version__  # noqa: E402 - its API needs Django's settings

project = "django-flagsmith-realtime"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

highlight_language = "text"

html_theme = "furo"
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "")
html_title = f"{project} {release}"
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_heading_anchors = 3  # as GitHub makes them
myst_disable_syntax = ["myst_line_comment"]  # a line that begins with %, as a template tag's end may, is text

default_role = "code"  # what stands in backquotes in a docstring
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
nitpick_ignore_regex = [
    ("py:class", r"(collections|datetime|django|flagsmith)\..*"),  # theirs, whose indexes are on other sites
    ("py:class", r"HttpRequest|.*\.(T|Kind|View|Function|TestClass)"),  # names in signatures
]

LONG = 20  # characters
NAME = re.compile(r'(?<=<span class="pre">)[^<]+')
BREAK = re.compile(r"(?<=[._/:=(,\[])(?=[^\W\d])")  # within a name, not within %.0f
INCLUDE = re.compile(r"^```{include} (\S+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:\s]+\.md)(?=[)#])")
SHOWN_BY = {
    (page.parent / path).resolve(): page for page in DOCS.rglob("*.md") for path in INCLUDE.findall(page.read_text())
}  # a file of the repository: the page that includes it


def lead_to_the_site(text: str, file: Path) -> str:
    """Return a file's text with its links, which lead through the repository, leading to pages instead."""
    page = SHOWN_BY.get(file, file)

    def lead(link: re.Match[str]) -> str:
        target = (file.parent / link[1]).resolve()
        return f"]({os.path.relpath(SHOWN_BY.get(target, target), page.parent)}"

    return LINK.sub(lead, text)


def read_page(app: Any, name: str, content: list[str]) -> None:
    content[0] = lead_to_the_site(content[0], DOCS / f"{name}.md")


def read_included(app: Any, path: Path, parent: str, content: list[str]) -> None:
    content[0] = lead_to_the_site(content[0], (DOCS / path).resolve())


def mark_long_names(app: Any, page: nodes.document) -> None:
    """Mark what stands in backquotes and is long, which site.css breaks where a table has no room for it."""
    for name in page.findall(nodes.literal):
        if len(name.astext()) > LONG:
            name["classes"].append("long")


def offer_breaks(app: Any, name: str, template: str, context: dict[str, Any], page: nodes.document | None) -> None:
    """Let names break behind a dot, an underscore and the like; here, as the search's index needs them whole."""
    context["body"] = NAME.sub(lambda text: BREAK.sub("<wbr>", text[0]), context.get("body", ""))


def write_llms_txt(app: Any, error: Exception | None) -> None:
    """Write what https://llmstxt.org describes: the list of the first page, whose links lead to the pages' Markdown."""

    def lead(link: re.Match[str]) -> str:
        page = (DOCS / link[1]).resolve()
        path = link[1].replace(".md", ".html") if page in SHOWN_BY.values() else f"_sources/{link[1]}.txt"
        return f"]({html_baseurl}{path}"

    text, _, _ = LINK.sub(lead, (DOCS / "index.md").read_text()).partition("```{toctree}")
    title, summary, rest = text.split("\n\n", 2)
    summary = summary.replace("\n", " ")
    (Path(app.outdir) / "llms.txt").write_text(f"{title}\n\n> {summary}\n\n{rest.rstrip()}\n")


def setup(app: Any) -> None:
    app.connect("doctree-read", mark_long_names)
    app.connect("html-page-context", offer_breaks)
    app.connect("source-read", read_page)
    app.connect("include-read", read_included)
    app.connect("build-finished", write_llms_txt)
