"""Colors as #rrggbb, and how readable text is on them (WCAG 2.2)."""

from __future__ import annotations

import re

#: The contrast that text of ordinary size needs.
LEAST_CONTRAST = 4.5
_HEX = re.compile(r"#[0-9a-f]{6}")
#: Below this value the curve of sRGB is linear.
_KNEE = 0.03928


def is_color(text: str) -> bool:
    """Whether the text is #rrggbb in lower case."""
    return _HEX.fullmatch(text) is not None


def _parts(color: str) -> list[int]:
    return [int(color[at : at + 2], 16) for at in (1, 3, 5)]


def luminance(color: str) -> float:
    """The relative luminance, 0 (black) to 1 (white)."""
    light = [part / 255 for part in _parts(color)]
    red, green, blue = (x / 12.92 if x <= _KNEE else ((x + 0.055) / 1.055) ** 2.4 for x in light)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast of two colors, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def darker_until_readable(color: str) -> str:
    """The color, darkened as little as is needed so that white words can be read on it."""
    for step in range(100, -1, -1):
        shade = "#" + "".join(f"{part * step // 100:02x}" for part in _parts(color))
        if contrast(shade, "#ffffff") >= LEAST_CONTRAST:
            return shade
    return "#000000"
