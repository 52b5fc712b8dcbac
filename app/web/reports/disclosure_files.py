"""Disclosures of complaints and returns to the exchange as files: CSV, XLSX, PDF, and HTML for a web site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from io import BytesIO

from app.web.core.viewer import Viewer
from app.web.pages import disclosure_html
from app.web.pages.disclosure_tables import FigureTable
from app.web.reports import disclosure_pdf
from app.web.transfer.export_cells import Cell
from app.web.transfer.export_files import MIME, Row, csv_rows, sheet_rows, write_workbook

MIMES = MIME | {"pdf": "application/pdf", "html": "text/html; charset=utf-8"}
Tables = Sequence[FigureTable]


def make(tables: Tables, title: str, about: str, viewer: Viewer, format_: str) -> bytes:
    """The file. `about`: which version it is. Raises KeyError for an unknown format."""
    return _WRITERS[format_](tables, title, about, viewer)


def _csv(tables: Tables, title: str, about: str, _viewer: Viewer) -> bytes:
    return csv_rows(_rows(tables, about, str), [title])


def _xlsx(tables: Tables, title: str, about: str, _viewer: Viewer) -> bytes:
    target = BytesIO()
    write_workbook(target, [title], [sheet_rows(_rows(tables, about, float), 2)])
    return target.getvalue()


def _html(tables: Tables, _title: str, _about: str, _viewer: Viewer) -> bytes:
    return disclosure_html.fragment(tables).encode()


_WRITERS: dict[str, Callable[[Tables, str, str, Viewer], bytes]] = {
    "csv": _csv,
    "xlsx": _xlsx,
    "pdf": disclosure_pdf.document,
    "html": _html,
}


def _rows(tables: Tables, about: str, average: Callable[[Decimal], Cell]) -> Iterator[Row]:
    """The tables one below the other, each under its title. `average`: how an average is written."""
    yield [about]
    for table in tables:
        yield []
        yield [table.title]
        yield [table.name, *[column.label for column in table.columns]]
        for row in table.rows:
            yield [row.label, *[average(each) if isinstance(each, Decimal) else each for each in row.values]]
        for note in table.notes:
            yield [note]
