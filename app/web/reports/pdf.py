"""A report as PDF.

The table is drawn here, cell by cell: fpdf2's own measures each cell several times, which takes a minute for some
hundred rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext as _n

from app.lib.digit_grouping import grouped
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.pdf_pages import LINE, PAD, SIZE, TITLE, PdfPages, new_pdf
from app.web.core.viewer import Viewer
from app.web.records import pdf_letterhead
from app.web.reports.table import ReportTable

#: Rows of a PDF, which is for reading, not for further work.
MAX_ROWS = 1000
#: Columns of a page; a report with more of them is for a spreadsheet.
MAX_COLUMNS = 12
#: Lines of one cell.
_MOST_LINES = 3


def document(table: ReportTable, label: str, viewer: Viewer) -> bytes:
    """The PDF: name, description, the table with its totals, and what was left out."""
    canvas = PdfPages(new_pdf(len(table.heading) > 4))
    canvas.pdf.set_title(label)
    pdf_letterhead.draw(canvas, viewer.lookups.brand)
    canvas.write(label, TITLE)
    for line in _lines(table, viewer):
        canvas.write(line, SIZE)
    canvas.pdf.ln(2)
    _Grid(canvas, table).draw()
    return bytes(canvas.pdf.output())


def _lines(table: ReportTable, viewer: Viewer) -> Iterable[str]:
    yield f"{table.title} · {table.about}"
    made = format_local_date(viewer.now.astimezone(viewer.zone), "%-d %b %Y, %H:%M")
    person = viewer.person.full_name
    yield _n(
        "%(count)s record; made for %(name)s on %(moment)s.",
        "%(count)s records; made for %(name)s on %(moment)s.",
        table.count,
        count=grouped(table.count),
        name=person,
        moment=made,
    )
    yield from (f"{label}: {text}" for label, text in table.summary)
    yield from table.notes
    if len(table.rows) > MAX_ROWS:
        yield _("The PDF has the first %(most)s rows; XLSX and CSV have all.", most=grouped(MAX_ROWS))
    if len(table.heading) > MAX_COLUMNS:
        yield _("The PDF has the first %(most)s columns; XLSX and CSV have all.", most=MAX_COLUMNS)


class _Grid:
    """The table, page by page; each begins with the heading."""

    def __init__(self, canvas: PdfPages, table: ReportTable) -> None:
        self.canvas, self.table = canvas, table
        self.heading = table.heading[:MAX_COLUMNS]
        self.rows = [self._texts(row) for row in table.rows[:MAX_ROWS]]
        self.totals = self._texts(table.totals) if table.totals else None
        self.widths = self._widths()

    def _texts(self, row: Any) -> list[str]:
        return [self._text(place, value) for place, value in enumerate(row[:MAX_COLUMNS])]

    def _text(self, place: int, value: Any) -> str:
        is_empty = value is None and self.table.is_grouped and place < self.table.names
        return "" if is_empty else self.table.text(place, value)

    def _widths(self) -> list[float]:
        """The widths of the columns: by their longest texts, at least as wide as the words of the heading."""
        sample = [self.heading, *self.rows[:100], *([self.totals] if self.totals else [])]
        lengths = [min(40, max(6, *[len(row[place]) for row in sample])) for place in range(len(self.heading))]
        return [self.canvas.room * each / sum(lengths) for each in lengths]

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
        pdf = self.canvas.pdf
        cells = [
            self.canvas.wrapped(text, SIZE, wide - 2 * PAD, _MOST_LINES)
            for text, wide in zip(texts, self.widths, strict=True)
        ]
        height = max(len(lines) for lines in cells) * LINE + PAD
        if pdf.get_y() + height > self.canvas.bottom:
            pdf.add_page()
            if texts is not self.heading:
                self._row(self.heading, True)
        top, x = pdf.get_y(), pdf.l_margin
        if is_strong:
            pdf.set_fill_color(236)
            pdf.rect(x, top, self.canvas.room, height, style="F")
        for place, (lines, wide) in enumerate(zip(cells, self.widths, strict=True)):
            for number, line in enumerate(lines):
                where = (x + PAD, top + PAD / 2 + number * LINE, wide - 2 * PAD)
                self.canvas.put(line, where, SIZE, self._is_to_end(place))
            x += wide
        pdf.set_draw_color(200)
        pdf.line(pdf.l_margin, top + height, pdf.l_margin + self.canvas.room, top + height)
        pdf.set_y(top + height)
