"""Tables in uploaded files: accepted ones, and refused ones, each with its message."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from openpyxl import Workbook

from app.domain.base import RuleBroken
from app.domain.files import spreadsheet_files
from app.domain.files.spreadsheet_files import Cell, kind_of

HEADING = "Name,Mobile No\n"


def workbook(*rows: list[Any]) -> bytes:
    """A workbook with these rows."""
    book, target = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(target)
    return target.getvalue()


def archive(**parts: bytes) -> bytes:
    """An archive with these parts in the place of a workbook's."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("xl/workbook.xml", parts.pop("book", b"<workbook/>"))
        for name, content in parts.items():
            made.writestr(f"xl/{name}.xml", content)
    return target.getvalue()


def sheet(rows: bytes) -> bytes:
    """A sheet with these rows."""
    return b"<worksheet><sheetData>" + rows + b"</sheetData></worksheet>"


def read(content: bytes) -> list[list[str]]:
    """Heading and rows, as an import reads them."""
    file = io.BytesIO(content)
    dialect = spreadsheet_files.recognize(file)
    return [spreadsheet_files.headers(file, dialect), *spreadsheet_files.rows(file, dialect)]


ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><workbook>&b;</workbook>'
#: What is wrong -> the content, or what makes it, and the sentence.
REFUSED: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "nothing in it": (b"", "This file is empty."),
    "blank": (b" \r\n \r\n", "This file is empty."),
    "a heading of commas": (b",,,\n1,2,3\n", "The first row of this file must name the columns."),
    "a name twice": (b"Name,Mobile,name\nA,1,B\n", "The column “Name” occurs twice."),
    "200 columns": (",".join(f"c{n}" for n in range(200)).encode() + b"\n", "This file has 200 columns; at most 150"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "This is an old Excel file (.xls)"),
    "a bomb": (lambda: archive(sheet=b"0" * 60_000_000), "This file unpacks to far more than it should."),
    "equal rows": (lambda: archive(**{"worksheets/sheet1": sheet(b"<row/>" * 20_000)}), "unpacks to far more"),
    "equal cells": (
        lambda: archive(**{"worksheets/sheet1": sheet(b"<row><c><v>1</v></c></row>" * 20_000)}),
        "unpacks to far more",
    ),
    "equal texts": (
        lambda: archive(sharedStrings=b"<sst>" + b"<si><t>a</t></si>" * 20_000 + b"</sst>"),
        "unpacks to far more",
    ),
    "entities": (archive(book=ENTITIES), "has XML that no spreadsheet writes"),
    "wide entities": (archive(book=ENTITIES.decode().encode("utf-16")), "has XML that no spreadsheet writes"),
    "another archive": (b"PK\x03\x04" + b"x" * 80, "This XLSX file is damaged."),
    "NUL bytes": (b"Name,Mobile\nA\0sha,98\0\n", "This file holds NUL bytes"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + b"x" * 40, "This file is neither CSV nor XLSX."),
    "a program": (b"MZ\x90" + bytes(range(1, 200)), "This file is neither CSV nor XLSX."),
    "control characters": (b"Name,Mobile\n\x01\x02\x03,9\n", "This file is neither CSV nor XLSX."),
    "no list": (b'{"exc": "DoesNotExist"}', "A JSON file must hold a list of records"),
    "broken JSON": (b'[{"name": ', "This file can't be read as JSON."),
    "too large": (
        lambda: b"Name\n" + b"x" * spreadsheet_files.MAX_BYTES,
        "This file is too large: at most 25 MB are read.",
    ),
    "too many rows": (HEADING.encode() + b"a,\n" * (spreadsheet_files.MAX_ROWS + 1), "00,000 rows. Please split it"),
    "an open quotation mark": (
        HEADING.encode() + b'"Asha,98\n' + b"x" * 200_000,
        "After row 1 this file can't be read.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_table_is_refused_with_a_sentence(case: str) -> None:
    content, sentence = REFUSED[case]
    with pytest.raises(RuleBroken) as refused:
        read(content() if callable(content) else content)
    assert sentence in str(refused.value.message)


def test_many_rows_that_are_alike_are_read() -> None:
    file = io.BytesIO(workbook(["City"], *[["Pune"]] * 15_000))
    assert spreadsheet_files.count_rows(file, spreadsheet_files.recognize(file)) == 15_000


READ = {
    "UTF-16": (f"{HEADING}आशा,9820012345\n".encode("utf-16"), [["Name", "Mobile No"], ["आशा", "9820012345"]]),
    "UTF-16 without a mark": ((HEADING + "Asha,98\n").encode("utf-16-le"), [["Name", "Mobile No"], ["Asha", "98"]]),
    "Windows-1252": (f"{HEADING}José,98\n".encode("cp1252"), [["Name", "Mobile No"], ["José", "98"]]),
    "a mark of UTF-8": ("\ufeffName;Mobile No\nA;98\n".encode(), [["Name", "Mobile No"], ["A", "98"]]),
    "tabs": (b"Name\tMobile No\nA, B\t98\n", [["Name", "Mobile No"], ["A, B", "98"]]),
    "line breaks in quotes": (b'Name,Note\nA,"one\ntwo"\n', [["Name", "Note"], ["A", "one\ntwo"]]),
    "separators in quotes": (b'"Name, full";Note\nA;b\n', [["Name, full", "Note"], ["A", "b"]]),
    "our own apostrophe": (b"Name,Mobile\n'=1+1,'+9198\n", [["Name", "Mobile"], ["=1+1", "+9198"]]),
    "the former system": (
        b'{"data": [{"name": "CRM-LEAD-2025-00001", "mobile_no": null}, {"mobile_no": "98"}]}',
        [["name", "mobile_no"], ["CRM-LEAD-2025-00001", ""], ["", "98"]],
    ),
    "a workbook": (
        workbook(["Name", "Mobile", "On"], ["A", 9820012345, datetime(2026, 11, 30, 17, 30)], [None, 1.5, True]),
        [["Name", "Mobile", "On"], ["A", "9820012345", "2026-11-30T17:30:00"], ["", "1.5", "1"]],
    ),
}


@pytest.mark.parametrize("case", READ)
def test_tables_are_read_however_they_were_saved(case: str) -> None:
    content, rows = READ[case]
    assert read(content) == rows


def test_a_workbook_says_which_cells_are_formulas_numbers_and_dates() -> None:
    book, target = Workbook(), io.BytesIO()
    book.active.append(["a", "b", "c", "d"])
    book.active.append(["=1+1", 12, datetime(2026, 5, 4), 7])
    book.active["D2"].number_format = "00000"
    book.save(target)
    row = read(target.getvalue())[1]
    assert [kind_of(cell) for cell in row] == ["formula", "number", "date", "number"]
    assert (row[2], row[3]) == ("2026-05-04", "00007")
    assert isinstance(row[0], Cell)
