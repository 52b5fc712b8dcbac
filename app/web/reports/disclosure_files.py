"""Disclosures of complaints and returns to the exchange as files: CSV, XLSX, PDF, and HTML for a web site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from io import BytesIO

from app.web.core.viewer import Viewer
from app.web.pages import disclosure_html
from app.web.reports import disclosure_pdf
from app.web.reports.disclosure_pdf import DisclosureDocument
from app.web.transfer.export_cells import Cell
from app.web.transfer.export_files import MIME, Row, csv_rows, sheet_rows, write_workbook

MIMES = MIME | {"pdf": "application/pdf", "html": "text/html; charset=utf-8"}


def make(document: DisclosureDocument, viewer: Viewer, format_: str) -> bytes:
    """The file. Raises KeyError for an unknown format."""
    return _WRITERS[format_](document, viewer)


def _csv(document: DisclosureDocument, _viewer: Viewer) -> bytes:
    return csv_rows(_rows(document, str), [document.title])


def _xlsx(document: DisclosureDocument, _viewer: Viewer) -> bytes:
    target = BytesIO()
    write_workbook(target, [document.title], [sheet_rows(_rows(document, float), 2)])
    return target.getvalue()


def _html(document: DisclosureDocument, _viewer: Viewer) -> bytes:
    return disclosure_html.fragment(document.tables).encode()


_WRITERS: dict[str, Callable[[DisclosureDocument, Viewer], bytes]] = {
    "csv": _csv,
    "xlsx": _xlsx,
    "pdf": disclosure_pdf.pdf_of,
    "html": _html,
}


def _rows(document: DisclosureDocument, average: Callable[[Decimal], Cell]) -> Iterator[Row]:
    """The tables one below the other, each under its title. `average`: how an average is written."""
    yield [document.about]
    for table in document.tables:
        yield []
        yield [table.title]
        yield [table.name, *[column.label for column in table.columns]]
        for row in table.rows:
            yield [row.label, *[average(each) if isinstance(each, Decimal) else each for each in row.values]]
        for note in table.notes:
            yield [note]
