"""The two formats of an export, CSV and XLSX, written in pieces.

The rows of a sheet are written as XML by hand: pieces of it can be stored and assembled later, so an interrupted export
continues where it was, and 200,000 rows take a few megabytes of memory.
"""

from __future__ import annotations

import csv
import html
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import IO

from app.lib.spreadsheet_formulas import as_text, is_formula
from app.web.transfer.export_cells import Cell

MIME = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
#: Characters that XML can't contain.
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
#: Styles of the workbook, by their index in styles.xml.
_TEXT, _DATE, _MOMENT, _HEADING, _QUOTED = 1, 2, 3, 4, 5
_EPOCH = datetime(1899, 12, 30)
Row = list[Cell]


def csv_text(cell: Cell) -> str:
    """The cell as text; with an apostrophe before it if a spreadsheet would read it as a formula."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}"
    if not isinstance(cell, str):
        return str(cell)
    return as_text(cell.replace("\x00", ""))


def csv_rows(rows: Iterable[Row], heading: list[str] | None = None) -> bytes:
    """Rows as CSV in UTF-8; with the heading also a byte order mark, which spreadsheets recognize."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    if heading is not None:
        text.write("\ufeff")
        writer.writerow([csv_text(each) for each in heading])
    writer.writerows([csv_text(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "replace")


# --- XLSX


def sheet_rows(rows: Iterable[Row], first: int, style: int = 0) -> bytes:
    """Rows as the XML of a sheet; `first`: the number of the first one."""
    made = []
    for number, row in enumerate(rows, first):
        cells = "".join([_sheet_cell(cell, style) for cell in row])
        made.append(f'<row r="{number}">{cells}</row>')
    return "".join(made).encode()


def _sheet_cell(cell: Cell, style: int) -> str:
    if cell is None or cell == "":
        return "<c/>"
    if isinstance(cell, str):
        clean = html.escape(_UNSTORABLE.sub("", cell), quote=False)
        # "Quoted" keeps the text a text, even if somebody edits the cell.
        style = style or (_QUOTED if is_formula(cell) else _TEXT)
        return f'<c s="{style}" t="inlineStr"><is><t xml:space="preserve">{clean}</t></is></c>'
    if isinstance(cell, datetime):
        return f'<c s="{_MOMENT}"><v>{(cell - _EPOCH).total_seconds() / 86400:.9f}</v></c>'
    if isinstance(cell, date):
        return f'<c s="{_DATE}"><v>{(cell - _EPOCH.date()).days}</v></c>'
    return f"<c><v>{cell}</v></c>"


_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_FILES = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
    f'Type="{_OFFICE}/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}/relationships"><sheets>'
    '<sheet name="Export" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/relationships/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_OFFICE}/relationships/styles" Target="styles.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><numFmts count="2">'
    '<numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/><numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd\\ hh:mm"/>'
    '</numFmts><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    '</fills><borders count="1"><border/></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs><cellXfs count="6">'
    '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" quotePrefix="1" applyNumberFormat="1"/>'
    '</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
}


def write_workbook(target: IO[bytes], heading: list[str], pieces: Iterable[bytes]) -> None:
    """Write an XLSX file of one sheet from pieces of `sheet_rows`, whose first row has the number 2."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        for name, text in _FILES.items():
            archive.writestr(name, _XML + text)
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(_head(len(heading)).encode())
            sheet.write(sheet_rows([list(heading)], 1, _HEADING))
            for piece in pieces:
                sheet.write(piece)
            sheet.write(b"</sheetData></worksheet>")


def _head(columns: int) -> str:
    """The beginning of a sheet: the heading is frozen, and columns are wide enough for a name."""
    pane = '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
    widths = f'<cols><col min="1" max="{max(1, columns)}" width="20" customWidth="1"/></cols>'
    views = f'<sheetViews><sheetView workbookViewId="0">{pane}</sheetView></sheetViews>'
    return f'{_XML}<worksheet xmlns="{_MAIN}">{views}{widths}<sheetData>'


def slices(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The content of a file from its beginning, in pieces of this many bytes."""
    file.seek(0)
    while piece := file.read(size):
        yield piece
