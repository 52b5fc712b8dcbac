"""A report as PDF, with the fonts of the pages: Latin, Devanagari and Gujarati, shaped by HarfBuzz.

The fonts are shipped for browsers (WOFF2); what a PDF needs of them is unpacked once in a process. The table is drawn
here, cell by cell: fpdf2's own measures each cell several times, which takes a minute for some hundred rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import current_app
from flask_babel import gettext as _

from app.branding import ShownBrand
from app.lib.grouping import grouped
from app.web.core.fields import Viewer
from app.web.core.local_dates import written
from app.web.records import message_files
from app.web.reports.table import Table, text_of

#: Rows of a PDF: it is for reading, not for working on.
MAX_ROWS = 1000
#: Columns of a page; a report with more of them is for a spreadsheet.
MAX_COLUMNS = 12
#: Name in the PDF -> file among the browser libraries. The first one is asked first, the others for what it lacks.
FONTS = {
    "Latin": "inter.woff2",
    "LatinMore": "inter-ext.woff2",
    "Devanagari": "devanagari.woff2",
    "Gujarati": "gujarati.woff2",
}
#: What makes a font variable: without it, it has its usual weight.
_VARIATIONS = ("fvar", "gvar", "avar", "HVAR", "MVAR", "STAT")
#: Points of text; millimetres of a line, of the margin of a page and of a cell.
_TITLE, _SIZE, _LINE, _MARGIN, _PAD = 14, 8, 4.2, 12.0, 1.2
#: Width and height of the room for the logo, in millimetres.
_LOGO = (24.0, 6.0)
#: Lines of one cell.
_MOST_LINES = 3
#: Text up to here needs no shaping.
_LATIN = "\u02ff"


@lru_cache(maxsize=4)
def _unpacked(folder: str) -> dict[str, Path]:
    """Name -> an ordinary font file of the usual weight, in a folder of this process."""
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


def document(table: Table, label: str, viewer: Viewer) -> bytes:
    """The PDF: name, what it is about, the table with its totals, and what was left out."""
    paper = _Paper(_new(table))
    paper.pdf.set_title(label)
    _head(paper, viewer.lookups.brand)
    paper.write(label, _TITLE)
    for line in _lines(table, viewer):
        paper.write(line, _SIZE)
    paper.pdf.ln(2)
    _Grid(paper, table).draw()
    return bytes(paper.pdf.output())


def _new(table: Table) -> Any:
    from fpdf import FPDF

    pdf = FPDF(orientation="landscape" if len(table.heading) > 4 else "portrait", format="A4")
    for name, path in _unpacked(str(current_app.static_folder)).items():
        pdf.add_font(name, "", path)
    pdf.set_font("Latin", size=_SIZE)
    pdf.set_fallback_fonts([name for name in FONTS if name != "Latin"], exact_match=False)
    pdf.set_margin(_MARGIN)
    pdf.set_auto_page_break(False)
    pdf.c_margin = 0
    pdf.add_page()
    return pdf


def _head(paper: _Paper, brand: ShownBrand | None) -> None:
    """The logo and the name, to the right above the title."""
    if brand is None:
        return
    pdf, top = paper.pdf, paper.pdf.get_y()
    paper.put(brand.name, (pdf.l_margin, top, paper.room), _SIZE, to_end=True)
    if brand.logo is not None:
        with message_files.open_digest(brand.logo.digest) as file:
            left = pdf.l_margin + paper.room - paper.width(brand.name, _SIZE) - _LOGO[0] - 2
            pdf.image(file.read(), left, top - 1, *_LOGO, keep_aspect_ratio=True)
    pdf.set_y(top)


def _lines(table: Table, viewer: Viewer) -> Iterable[str]:
    yield f"{table.title} · {table.about}"
    made = written(viewer.now.astimezone(viewer.zone), "%-d %b %Y, %H:%M")
    person = viewer.person.full_name
    yield _("%(count)s records; made for %(name)s on %(moment)s.", count=grouped(table.count), name=person, moment=made)
    yield from (f"{label}: {text}" for label, text in table.summary)
    yield from table.notes
    if len(table.rows) > MAX_ROWS:
        yield _("The PDF has the first %(most)s rows; XLSX and CSV have all.", most=grouped(MAX_ROWS))
    if len(table.heading) > MAX_COLUMNS:
        yield _("The PDF has the first %(most)s columns; XLSX and CSV have all.", most=MAX_COLUMNS)


@dataclass
class _Paper:
    """The pages, and how wide words are on them."""

    pdf: Any
    widths: dict[tuple[str, int], float] = field(default_factory=dict)

    @property
    def room(self) -> float:
        """Millimetres between the margins."""
        return float(self.pdf.epw)

    @property
    def bottom(self) -> float:
        """Where the page ends."""
        return float(self.pdf.h) - _MARGIN

    def shape(self, text: str) -> None:
        """Let HarfBuzz join the letters of scripts that need it; Latin ones are only slower by it."""
        self.pdf.set_text_shaping(any(char > _LATIN for char in text))

    def width(self, text: str, size: int) -> float:
        """Of a text in millimetres."""
        if (text, size) not in self.widths:
            self.shape(text)
            self.pdf.set_font_size(size)
            self.widths[text, size] = float(self.pdf.get_string_width(text))
        return self.widths[text, size]

    def wrapped(self, text: str, size: int, room: float, most: int) -> list[str]:
        """The text in lines of at most this width; what doesn't fit into the last one ends with “…”."""
        space, lines, used = self.width("n", size), [""], 0.0
        for word in _clean(text).split():
            wide = self.width(word, size)
            if lines[-1] and used + space + wide > room:
                lines.append("")
                used = 0.0
            lines[-1] = f"{lines[-1]} {word}".strip()
            used += wide + (space if used else 0.0)
        kept = lines[:most]
        if len(lines) > most:
            kept[-1] += " …"
        return [self._cut(line, size, room) for line in kept]

    def _cut(self, line: str, size: int, room: float) -> str:
        """A line of a word that is too long, shortened."""
        while len(line) > 1 and self.width(line, size) > room:
            line = line[: max(1, int(len(line) * room / self.width(line, size)) - 1)].rstrip(" …") + "…"
            if len(line) < 4:
                break
        return line

    def write(self, text: str, size: int) -> None:
        """A paragraph."""
        for line in self.wrapped(text, size, self.room, 6):
            self.put(line, (self.pdf.l_margin, self.pdf.get_y(), self.room), size)
            self.pdf.set_y(self.pdf.get_y() + size * 0.5)

    def put(self, line: str, place: tuple[float, float, float], size: int, to_end: bool = False) -> None:
        """One line at (x, y) in a cell of this width."""
        x, y, wide = place
        self.shape(line)
        self.pdf.set_font_size(size)
        self.pdf.set_xy(x, y)
        self.pdf.cell(wide, _LINE, line, align="R" if to_end else "L")
        self.pdf.set_xy(self.pdf.l_margin, y)


class _Grid:
    """The table, page by page; each begins with the heading."""

    def __init__(self, paper: _Paper, table: Table) -> None:
        self.paper, self.table = paper, table
        self.heading = table.heading[:MAX_COLUMNS]
        self.rows = [self._texts(row) for row in table.rows[:MAX_ROWS]]
        self.totals = self._texts(table.totals) if table.totals else None
        self.widths = self._widths()

    def _texts(self, row: Any) -> list[str]:
        return [self._text(place, value) for place, value in enumerate(row[:MAX_COLUMNS])]

    def _text(self, place: int, value: Any) -> str:
        is_empty = value is None and self.table.is_grouped and place < self.table.names
        return "" if is_empty else text_of(value, place in self.table.seconds)

    def _widths(self) -> list[float]:
        """Of the columns: by their longest texts, none without room for its heading's words."""
        sample = [self.heading, *self.rows[:100], *([self.totals] if self.totals else [])]
        lengths = [min(40, max(6, *[len(row[place]) for row in sample])) for place in range(len(self.heading))]
        return [self.paper.room * each / sum(lengths) for each in lengths]

    def _is_to_end(self, place: int) -> bool:
        return self.table.is_grouped and place >= self.table.names

    def draw(self) -> None:
        """Heading, rows, totals."""
        self._row(self.heading, True)
        for row in self.rows:
            self._row(row, False)
        if self.totals:
            self._row(self.totals, True)

    def _row(self, texts: list[str], is_strong: bool) -> None:
        pdf = self.paper.pdf
        cells = [
            self.paper.wrapped(text, _SIZE, wide - 2 * _PAD, _MOST_LINES)
            for text, wide in zip(texts, self.widths, strict=True)
        ]
        height = max(len(lines) for lines in cells) * _LINE + _PAD
        if pdf.get_y() + height > self.paper.bottom:
            pdf.add_page()
            if texts is not self.heading:
                self._row(self.heading, True)
        top, x = pdf.get_y(), pdf.l_margin
        if is_strong:
            pdf.set_fill_color(236)
            pdf.rect(x, top, self.paper.room, height, style="F")
        for place, (lines, wide) in enumerate(zip(cells, self.widths, strict=True)):
            for number, line in enumerate(lines):
                where = (x + _PAD, top + _PAD / 2 + number * _LINE, wide - 2 * _PAD)
                self.paper.put(line, where, _SIZE, self._is_to_end(place))
            x += wide
        pdf.set_draw_color(200)
        pdf.line(pdf.l_margin, top + height, pdf.l_margin + self.paper.room, top + height)
        pdf.set_y(top + height)


def _clean(text: str) -> str:
    """Without what no font has: control characters and the like become spaces."""
    return "".join(char if char.isprintable() or char in "\u200c\u200d" else " " for char in text)[:500]
