"""The catalogs of the package, and what a page says."""

from __future__ import annotations

import re
from functools import cache
from gettext import GNUTranslations
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import django_flagsmith_realtime

PACKAGE = Path(django_flagsmith_realtime.__file__).parent
CATALOGS = sorted(PACKAGE.glob("locale/*/LC_MESSAGES/django.po"))
SHOWN_ATTRIBUTES = ("aria-label", "data-live", "data-ended", "data-waiting", "data-changed")
MARK_DATA = ("bdi", "code", "textarea")  # names, values and reasons of flags, and what was typed
PLACEHOLDER = re.compile(r"%\(\w+\)\w|\{\w+\}|</?\w+>")


@cache
def translations(compiled: Path) -> dict[str, str]:
    """Return the texts of a compiled catalog with their translations; those of a plural are each on its own."""
    with compiled.open("rb") as file:
        catalog: dict[Any, str] = GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    plain = {key[0] if isinstance(key, tuple) else key: text for key, text in catalog.items() if key}
    return {key.rpartition("\x04")[2]: text for key, text in plain.items()}


class _Texts(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.data = 0  # how many tags are open that mark data
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        shown = (*SHOWN_ATTRIBUTES, *(("value",) if ("type", "submit") in attributes else ()))
        self.found += [value for name, value in attributes if name in shown and value]
        self.data += tag in MARK_DATA

    def handle_endtag(self, tag: str) -> None:
        self.data -= tag in MARK_DATA

    def handle_data(self, data: str) -> None:
        self.found += [" ".join(data.split())] if data.strip() and not self.data else []


@cache  # tests ask several things of one page
def texts(page: str) -> list[str]:
    """Return a page's words, each text on its own, those in attributes included, and without names and values."""
    return _Texts(page).found


def left_in_english(page: str, language: str) -> set[str]:
    """Return the pieces of English texts that a page in another language has, though they are translated."""
    catalog = translations(PACKAGE / f"locale/{language}/LC_MESSAGES/django.mo")
    said, translated = "\n".join(texts(page)), "\n".join(catalog.values())
    pieces = {piece.strip(" ,;:.") for text in catalog for piece in PLACEHOLDER.split(text)}
    return {
        piece
        for piece in pieces
        if len(piece) > 4 and piece in said and piece not in translated
        if re.search(rf"(?<!\w){re.escape(piece)}(?!\w)", said)
    }
