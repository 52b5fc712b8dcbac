"""A report as PDF, with the fonts of the pages: Latin, Devanagari and Gujarati, shaped by HarfBuzz.

The fonts are shipped for browsers (WOFF2); what a PDF needs of them is unpacked once in a process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import current_app
from flask_babel import gettext as _

from app.web.core.fields import Viewer
from app.web.core.local_dates import written
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
_SIZE, _SMALL, _LINE = 9, 8, 5.0


@lru_cache(maxsize=4)
def _unpacked(folder: str) -> dict[str, Path]:
    """Name -> an ordinary font file of the usual weight, in a folder of this process."""
    from fontTools.ttLib import TTFont
    from fontTools.varLib.instancer import instantiateVariableFont

    place = Path(tempfile.mkdtemp(prefix="crm-fonts-"))
    found = {}
    for name, file in FONTS.items():
        with TTFont(Path(folder) / "vendor" / file) as font:
            axes = {axis.axisTag: axis.defaultValue for axis in font["fvar"].axes} if "fvar" in font else {}
            plain = instantiateVariableFont(font, axes) if axes else font
            plain.flavor = None
            found[name] = place / f"{name}.ttf"
            plain.save(found[name])
    return found


def document(table: Table, label: str, viewer: Viewer) -> bytes:
    """The PDF: name, what it is about, the table with its totals, and what was left out."""
    pdf = _paper(table)
    pdf.set_title(label)
    pdf.set_font_size(14)
    pdf.multi_cell(0, 7, _clean(label), new_x="LMARGIN", new_y="NEXT")
    pdf.set_font_size(_SMALL)
    for line in _lines(table, viewer):
        pdf.multi_cell(0, _LINE, _clean(line), new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)
    _add_table(pdf, table)
    return bytes(pdf.output())


def _paper(table: Table) -> Any:
    from fpdf import FPDF

    pdf = FPDF(orientation="landscape" if len(table.heading) > 4 else "portrait", format="A4")
    fonts = _unpacked(str(current_app.static_folder))
    for name, path in fonts.items():
        pdf.add_font(name, "", path)
    pdf.set_font("Latin", size=_SIZE)
    pdf.set_fallback_fonts([name for name in FONTS if name != "Latin"], exact_match=False)
    pdf.set_text_shaping(True)
    pdf.set_auto_page_break(True, margin=14)
    pdf.alias_nb_pages()
    pdf.add_page()
    return pdf


def _lines(table: Table, viewer: Viewer) -> Iterable[str]:
    yield f"{table.title} · {table.about}"
    made = written(viewer.now.astimezone(viewer.zone), "%-d %b %Y, %H:%M")
    yield _(
        "%(count)s records; made for %(name)s on %(moment)s.",
        count=f"{table.count:,}",
        name=viewer.person.full_name,
        moment=made,
    )
    yield from (f"{label}: {text}" for label, text in table.summary)
    yield from table.notes
    if len(table.rows) > MAX_ROWS:
        yield _("The PDF has the first %(most)s rows; XLSX and CSV have all.", most=f"{MAX_ROWS:,}")
    if len(table.heading) > MAX_COLUMNS:
        yield _("The PDF has the first %(most)s columns; XLSX and CSV have all.", most=MAX_COLUMNS)


def _add_table(pdf: Any, table: Table) -> None:
    from fpdf.enums import TableBordersLayout
    from fpdf.fonts import FontFace

    pdf.set_font_size(_SMALL)
    shown = [*table.rows[:MAX_ROWS], *([table.totals] if table.totals else [])]
    heading = table.heading[:MAX_COLUMNS]
    align = ["RIGHT" if table.is_grouped and place >= table.names else "LEFT" for place in range(len(heading))]
    strong = FontFace(fill_color=(235, 235, 235))
    with pdf.table(
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=strong,
        line_height=_LINE,
        text_align=tuple(align),
        num_heading_rows=1,
    ) as grid:
        grid.row([_clean(text) for text in heading])
        for row in shown:
            is_total = table.totals is not None and row is table.totals
            cells = [_cell(table, place, value) for place, value in enumerate(row[:MAX_COLUMNS])]
            grid.row(cells, style=strong if is_total else None)


def _cell(table: Table, place: int, value: Any) -> str:
    is_empty = value is None and table.is_grouped and place < table.names
    return "" if is_empty else _clean(text_of(value, place in table.seconds))


def _clean(text: str) -> str:
    """Without what no font has: control characters and the like become spaces."""
    return "".join(char if char.isprintable() else " " for char in text)[:500]
