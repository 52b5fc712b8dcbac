"""Disclosures of complaints and returns to the exchange as PDF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flask_babel import gettext as _

from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.pdf_pages import LINE, PAD, SIZE, TITLE, PdfPages, new_pdf
from app.web.core.viewer import Viewer
from app.web.pages.disclosure_tables import FigureTable, value_text
from app.web.records import pdf_letterhead

#: Points of the title of a table; most lines of a cell; millimetres before a table.
_HEADING, _MOST_LINES, _GAP = 10, 5, 5.0
#: Columns of numbers up to which a page is upright.
_UPRIGHT = 4
#: How much wider the labels are than a column of numbers.
_LABELS = 2.2


class DisclosureDocument(NamedTuple):
    """A disclosure or return as a file shows it."""

    title: str
    #: Which version it is.
    about: str
    tables: Sequence[FigureTable]


def pdf_of(document: DisclosureDocument, viewer: Viewer) -> bytes:
    """The PDF: the title, which version it is, and the tables with their notes."""
    title, about, tables = document
    canvas = PdfPages(new_pdf(any(len(table.columns) > _UPRIGHT for table in tables)))
    canvas.pdf.set_title(title)
    pdf_letterhead.draw(canvas, viewer.lookups.brand)
    canvas.write(title, TITLE)
    made = format_local_date(viewer.now.astimezone(viewer.zone), "%-d %b %Y, %H:%M")
    canvas.write(f"{about} {_('Made for %(name)s on %(moment)s.', name=viewer.person.full_name, moment=made)}", SIZE)
    for table in tables:
        _Table(canvas, table).draw()
    return bytes(canvas.pdf.output())


class _Table:
    """A table on the pages; where one begins, its heading is repeated."""

    def __init__(self, canvas: PdfPages, table: FigureTable) -> None:
        self.canvas, self.pdf, self.table = canvas, canvas.pdf, table
        self.heading = [table.name, *[column.label for column in table.columns]]
        unit = canvas.room / (len(table.columns) + _LABELS)
        self.widths = [unit * _LABELS, *[unit] * len(table.columns)]

    def draw(self) -> None:
        """The title, the heading, the rows and the notes."""
        self.pdf.ln(_GAP)
        heading = self._cells(self.heading)
        self._need(_GAP + LINE + self._height(heading) * 2)
        self.canvas.write(self.table.title, _HEADING)
        self.pdf.ln(PAD)
        self._row(heading, True)
        for row in self.table.rows:
            cells = self._cells([row.label, *[value_text(value) for value in row.values]])
            if self._need(self._height(cells)):
                self._row(heading, True)
            self._row(cells, row.is_total)
        self.pdf.ln(PAD)
        for note in self.table.notes:
            self._need(LINE * 2)
            self.canvas.write(note, SIZE)

    def _need(self, height: float) -> bool:
        """Start a new page unless this much room is left. Returns whether it did."""
        if self.pdf.get_y() + height <= self.canvas.bottom:
            return False
        self.pdf.add_page()
        return True

    def _cells(self, texts: Sequence[str]) -> list[list[str]]:
        pairs = zip(texts, self.widths, strict=True)
        return [self.canvas.wrapped(text, SIZE, wide - 2 * PAD, _MOST_LINES) for text, wide in pairs]

    def _height(self, cells: list[list[str]]) -> float:
        return max(len(lines) for lines in cells) * LINE + PAD

    def _row(self, cells: list[list[str]], is_strong: bool) -> None:
        top, x, height = self.pdf.get_y(), self.pdf.l_margin, self._height(cells)
        if is_strong:
            self.pdf.set_fill_color(236)
            self.pdf.rect(x, top, self.canvas.room, height, style="F")
        for place, (lines, wide) in enumerate(zip(cells, self.widths, strict=True)):
            for number, line in enumerate(lines):
                where = (x + PAD, top + PAD / 2 + number * LINE, wide - 2 * PAD)
                self.canvas.put(line, where, SIZE, to_end=place > 0)
            x += wide
        self.pdf.set_draw_color(200)
        self.pdf.line(self.pdf.l_margin, top + height, self.pdf.l_margin + self.canvas.room, top + height)
        self.pdf.set_y(top + height)
