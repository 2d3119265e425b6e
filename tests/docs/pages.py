"""The documentation as tests read it: its pages, tables and code blocks."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import DOCS, EXAMPLE_PROJECT, ROOT

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *EXAMPLE_PROJECT.rglob("*.md")])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A code block, and the last line of text before it."""

    language: str
    code: str
    before: str


@cache
def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return FENCED.sub("", page.read_text())


def blocks(page: Path, language: str = "") -> list[Block]:
    """Return a page's code blocks, of one language or of all."""
    text = page.read_text()
    found = (Block(m[1], m[2], text[: m.start()].rstrip().rpartition("\n")[2]) for m in FENCED.finditer(text))
    return [block for block in found if language in ("", block.language)]


def table(page: Path, heading: str, section: str = "") -> list[list[str]]:
    """Return the cells of a table by the heading of its first column, of the first one after a section's heading."""
    _, _, text = page.read_text().partition(f"\n## {section}\n" if section else "\n")
    found = re.search(rf"^\| {heading} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found[1].splitlines()]


def names(text: str) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`([^`]+)`", text)
