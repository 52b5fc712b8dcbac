"""Pages of a PDF in the fonts of the website: Latin, Devanagari and Gujarati, shaped by HarfBuzz.

The fonts are shipped for browsers (WOFF2); they are converted for PDFs once per process.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import current_app

#: Name in the PDF -> file among the browser libraries. The first one is preferred; the others have further characters.
FONTS = {
    "Latin": "inter.woff2",
    "LatinMore": "inter-ext.woff2",
    "Devanagari": "devanagari.woff2",
    "Gujarati": "gujarati.woff2",
}
#: Tables of a variable font; without them, it has its default weight.
_VARIATIONS = ("fvar", "gvar", "avar", "HVAR", "MVAR", "STAT")
#: Font sizes in points; heights and widths in millimetres of a line, a page's margin and a cell's padding.
TITLE, SIZE, LINE, MARGIN, PAD = 14, 8, 4.2, 12.0, 1.2
#: Text up to here needs no shaping.
_LATIN = "\u02ff"


@lru_cache(maxsize=4)
def _unpacked(folder: str) -> dict[str, Path]:
    """Name -> a static font file of the default weight, in a folder of this process."""
    from fontTools.ttLib import TTFont

    place = Path(tempfile.mkdtemp(prefix="crm-fonts-"))
    found = {}
    for name, file in FONTS.items():
        with TTFont(Path(folder) / "vendor" / file) as font:
            for tag in _VARIATIONS:
                if tag in font:
                    del font[tag]
            font.flavor = None
            found[name] = place / f"{name}.ttf"
            font.save(found[name])
    return found


def new_pdf(is_wide: bool) -> Any:
    """An empty A4 document with its first page."""
    from fpdf import FPDF

    pdf = FPDF(orientation="landscape" if is_wide else "portrait", format="A4")
    for name, path in _unpacked(str(current_app.static_folder)).items():
        pdf.add_font(name, "", path)
    pdf.set_font("Latin", size=SIZE)
    pdf.set_fallback_fonts([name for name in FONTS if name != "Latin"], exact_match=False)
    pdf.set_margin(MARGIN)
    pdf.set_auto_page_break(False)
    pdf.c_margin = 0
    pdf.add_page()
    return pdf


@dataclass
class PdfPages:
    """The pages of a PDF, with functions to write text and to measure it."""

    pdf: Any
    widths: dict[tuple[str, int], float] = field(default_factory=dict)

    @property
    def room(self) -> float:
        """Millimetres between the margins."""
        return float(self.pdf.epw)

    @property
    def bottom(self) -> float:
        """The lower end of the page, in millimetres."""
        return float(self.pdf.h) - MARGIN

    def shape(self, text: str) -> None:
        """Enable HarfBuzz for scripts that need it; it would only slow down Latin text."""
        self.pdf.set_text_shaping(any(char > _LATIN for char in text))

    def width(self, text: str, size: int) -> float:
        """The width of a text in millimetres."""
        if (text, size) not in self.widths:
            self.shape(text)
            self.pdf.set_font_size(size)
            self.widths[text, size] = float(self.pdf.get_string_width(text))
        return self.widths[text, size]

    def wrapped(self, text: str, size: int, room: float, maximum: int) -> list[str]:
        """The text in lines of at most this width; what doesn't fit into the last one ends with “…”."""
        space, lines, used = self.width("n", size), [""], 0.0
        for word in _clean(text).split():
            wide = self.width(word, size)
            if lines[-1] and used + space + wide > room:
                lines.append("")
                used = 0.0
            lines[-1] = f"{lines[-1]} {word}".strip()
            used += wide + (space if used else 0.0)
        kept = lines[:maximum]
        if len(lines) > maximum:
            kept[-1] += " …"
        return [self._cut(line, size, room) for line in kept]

    def _cut(self, line: str, size: int, room: float) -> str:
        """A line with a word that is too long, shortened."""
        while len(line) > 1 and self.width(line, size) > room:
            line = line[: max(1, int(len(line) * room / self.width(line, size)) - 1)].rstrip(" …") + "…"
            if len(line) < 4:
                break
        return line

    def write(self, text: str, size: int) -> None:
        """Write a paragraph."""
        for line in self.wrapped(text, size, self.room, 6):
            self.put(line, (self.pdf.l_margin, self.pdf.get_y(), self.room), size)
            self.pdf.set_y(self.pdf.get_y() + size * 0.5)

    def put(self, line: str, place: tuple[float, float, float], size: int, to_end: bool = False) -> None:
        """One line at (x, y) in a cell of this width."""
        x, y, wide = place
        self.shape(line)
        self.pdf.set_font_size(size)
        # A line that starts in one font and continues in another leaves fpdf2 with a wrong size on the page.
        self.pdf.current_font_is_set_on_page = False
        self.pdf.set_xy(x, y)
        self.pdf.cell(wide, LINE, line, align="R" if to_end else "L")
        self.pdf.set_xy(self.pdf.l_margin, y)


def _clean(text: str) -> str:
    """The text with spaces instead of characters that no font has, such as control characters."""
    return "".join(char if char.isprintable() or char in "\u200c\u200d" else " " for char in text)[:500]
