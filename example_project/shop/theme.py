"""The shop's colors, which the flags `theme_colour` and `dark_mode` set."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django_flagsmith_realtime import Flags

FALLBACK = "#0b7285"
HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Theme:
    """An accent color, the color of text on it, and a name: "dark", or "system" for what the browser prefers."""

    accent: str
    on_accent: str
    name: str


def get_theme(flags: Flags) -> Theme:
    """Return the theme that the flags describe; a value that isn't a color is replaced."""
    color = str(flags.get_feature_value("theme_colour", default=FALLBACK))
    accent = color if HEX_COLOR.fullmatch(color) else FALLBACK
    name = "dark" if flags.is_feature_enabled("dark_mode") else "system"
    return Theme(accent, readable_on(accent), name)


def readable_on(color: str) -> str:
    """Return black or white, whichever has more contrast (WCAG 2 relative luminance)."""
    red, green, blue = (_linear(int(color[start : start + 2], 16) / 255) for start in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#111111" if luminance > 0.179 else "#ffffff"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
