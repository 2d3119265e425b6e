"""The shop's colours, as the flags `theme_colour` and `dark_mode` want them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django_flagsmith_realtime import Flags

FALLBACK = "#0b7285"
HEX_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Theme:
    """An accent colour, the colour of text on it, and whether the page is dark for all or as their systems are."""

    accent: str
    on_accent: str
    name: str


def get_theme(flags: Flags) -> Theme:
    """Return the theme that the flags describe; a colour that is none is replaced."""
    colour = str(flags.get_feature_value("theme_colour", default=FALLBACK))
    accent = colour if HEX_COLOUR.fullmatch(colour) else FALLBACK
    name = "dark" if flags.is_feature_enabled("dark_mode") else "system"
    return Theme(accent, readable_on(accent), name)


def readable_on(colour: str) -> str:
    """Return black or white, whichever has more contrast (WCAG 2 relative luminance)."""
    red, green, blue = (_linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#111111" if luminance > 0.179 else "#ffffff"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
