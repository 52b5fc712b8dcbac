"""The rows of one file of the predecessor as documents: field -> value, with the rows of their child tables.

Four formats: the list export (CSV or XLSX with labels or field names), the Data Export (a heading of several rows that
names DocTypes, with child tables to the right), and JSON: a list, or single documents.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from app.domain.base import RuleBroken, translatable
from app.domain.files import spreadsheet_files
from app.lib.digit_grouping import grouped
from app.web.transfer.column_guesses import normalize_name
from app.web.transfer.predecessor import values
from app.web.transfer.predecessor.bundle import BundlePart

#: Bytes of a JSON file, which is read at once, and of an XLSX file.
MAX_JSON, MAX_SHEET = 200_000_000, spreadsheet_files.MAX_BYTES
MAX_COLUMNS = 600
#: Characters of the name of a DocType.
MAX_DOCTYPE = 140
#: The maximum number of heading rows in a Data Export.
_HEADING = 40
Document = dict[str, Any]
_COLUMN_NAMES, _DOCTYPE, _DATA_BELOW = "column name", "doctype", "start entering data below this line"


@dataclass(frozen=True)
class SourceRow:
    """One document of the predecessor, and its place in the file."""

    doctype: str
    values: Document
    #: From 1 as in a spreadsheet; in JSON the index of the document.
    line: int = 0
    file: str = ""


@dataclass
class SourceLayout:
    """How to read a file, and its declared contents."""

    #: csv, xlsx or json.
    kind: str
    encoding: str = "utf-8"
    separator: str = ","
    #: The DocType that the file itself names, or "".
    doctype: str = ""
    headers: list[str] = field(default_factory=list)


def detect_layout(part: BundlePart) -> SourceLayout:
    """How to read the file. Raises RuleBroken if that isn't possible."""
    with part.open() as file:
        head = file.read(200_000)
    if not head.strip():
        raise RuleBroken("This file is empty.")
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return _detect_xlsx_layout(part)
    encoding = _encoding(part, head)
    text = head.decode(encoding, "ignore").lstrip("\ufeff")
    if text.lstrip()[:1] in ("{", "["):
        if part.size > MAX_JSON:
            most = MAX_JSON // 1_000_000
            raise RuleBroken(translatable("A JSON file may have %(most)s MB. Please split it.", most=most))
        first = next(_json(part, SourceLayout("json", encoding)), None)
        found = first[1] if first else {}
        return SourceLayout("json", encoding, "", values.line_of(found.get("doctype"))[:MAX_DOCTYPE], list(found))
    return _heading(part, SourceLayout("csv", encoding, spreadsheet_files.separator_of(text)))


def _detect_xlsx_layout(part: BundlePart) -> SourceLayout:
    if part.size > MAX_SHEET:
        most = MAX_SHEET // 1_000_000
        raise RuleBroken(translatable("An XLSX file may have %(most)s MB. Please use CSV.", most=most))
    with part.open() as file:
        spreadsheet_files.recognize(io.BytesIO(file.read()))
    return _heading(part, SourceLayout("xlsx"))


def _heading(part: BundlePart, layout: SourceLayout) -> SourceLayout:
    """The layout with the information of the first rows. Raises RuleBroken."""
    for number, row in enumerate(_cells(part, layout)):
        first = normalize_name(row[0]) if row else ""
        if first == _DOCTYPE and len(row) > 1:
            layout.doctype = values.line_of(row[1])[:MAX_DOCTYPE]
        if first == _COLUMN_NAMES:
            layout.headers = [cell.strip() for cell in row[1:]]
            break
        if number == 0 and any(row) and len([cell for cell in row if cell.strip()]) > 1:
            layout.headers = [cell.strip() for cell in row]
            break
        if number > _HEADING:
            break
    if len(layout.headers) > MAX_COLUMNS:
        most = MAX_COLUMNS
        raise RuleBroken(translatable("This file has more than %(most)s columns. It was not read.", most=most))
    if not layout.headers:
        raise RuleBroken("The first row of this file must name the columns.")
    return layout


def _encoding(part: BundlePart, head: bytes) -> str:
    """UTF-8, UTF-16 by its byte order mark, or Windows-1252. Raises RuleBroken."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise RuleBroken(
            "This file holds NUL bytes, so it is damaged or no table. Please save it again as CSV or XLSX."
        )
    decoder = codecs.getincrementaldecoder("utf-8")()
    with part.open() as file:
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def documents(part: BundlePart, layout: SourceLayout) -> Iterator[tuple[int, Document]]:
    """(line, document) one after the other. Raises RuleBroken if the file can't be read any further."""
    if layout.kind == "json":
        return _json(part, layout)
    rows = enumerate(_cells(part, layout), 1)
    return _exported(rows) if layout.doctype else _listed(rows)


# --- CSV and XLSX


def _cells(part: BundlePart, layout: SourceLayout) -> Iterator[list[str]]:
    if layout.kind == "xlsx":
        with part.open() as file:
            content = io.BytesIO(file.read())
        dialect = spreadsheet_files.Dialect("xlsx")
        yield next(iter(spreadsheet_files.raw_rows(content, dialect)), [])
        yield from spreadsheet_files.rows(content, dialect)
        return
    with part.open() as file:
        text = io.TextIOWrapper(file, encoding=layout.encoding, errors="replace", newline="")
        number = 0
        try:
            for row in csv.reader((line.replace("\0", "") for line in text), delimiter=layout.separator):
                number += 1
                yield row
        except csv.Error as error:
            sentence = "After row %(n)s this file can't be read. Please check its quotation marks."
            raise RuleBroken(translatable(sentence, n=grouped(number))) from error
        finally:
            with suppress(ValueError):
                text.detach()


def field_name(header: str) -> str:
    """The field of a label: “Mobile No.” is mobile_no."""
    return normalize_name(header).replace(" ", "_")


def _listed(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, Document]]:
    """A list export; rows without an ID continue the child tables of the previous one."""
    _number, headers = next(rows, (0, []))
    places = [_place(header.strip()) for header in headers]
    has_children = any(table for table, _name in places)
    held: tuple[int, Document] | None = None
    for number, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        own = {name: cell for (table, name), cell in zip(places, row, strict=False) if not table and name}
        if held is None or not has_children or own.get("name", "").strip():
            if held is not None:
                yield held
            held = number, {name: cell for name, cell in own.items() if cell.strip()}
        _add_children(held[1], places, row)
    if held is not None:
        yield held


def _place(header: str) -> tuple[str, str]:
    """(child table or "", field) of a column."""
    name, between, table = header.partition(" (")
    if not (name and between and table.endswith(")") and table != ")"):
        return "", field_name(header)
    return field_name(table[:-1]), field_name(name)


def _add_children(document: Document, places: list[tuple[str, str]], row: list[str]) -> None:
    children: dict[str, Document] = {}
    for (table, name), cell in zip(places, row, strict=False):
        if table and cell.strip():
            children.setdefault(table, {})[name] = cell.strip().strip('"') if name == "name" else cell
    for table, child in children.items():
        document.setdefault(table, []).append(child)


def _exported(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, Document]]:
    """A Data Export: names in quotation marks, child tables after columns of ~."""
    tables: list[str] = []
    places: list[tuple[str, str]] = []
    held: tuple[int, Document] | None = None
    for number, row in rows:
        first = normalize_name(row[0]) if row else ""
        tables = row if first == _DOCTYPE else tables
        places = _places(row, tables) if first == _COLUMN_NAMES else places
        if first or not places or not any(row):
            continue
        own = {name: cell for (table, name), cell in zip(places, row, strict=False) if not table and name}
        if name := own.get("name", "").strip().strip('"'):
            if held is not None:
                yield held
            held = number, {each: cell for each, cell in own.items() if cell.strip()} | {"name": name}
        if held is not None:
            _add_children(held[1], places, row)
    if held is not None:
        yield held


def _places(names: list[str], tables: list[str]) -> list[tuple[str, str]]:
    """(child table or "", field) of each column; the parent's field with the table names it."""
    found: list[tuple[str, str]] = [("", "")]
    table = ""
    for place, name in enumerate(names[1:], 1):
        if name.strip() == "~":
            marks = [each.strip() for each in tables[place + 1 : place + 3]]
            table = field_name(next(iter(reversed([each for each in marks if each])), "child"))
            found.append(("", ""))
            continue
        found.append((table, field_name(name)))
    return found


# --- JSON


def _json(part: BundlePart, layout: SourceLayout) -> Iterator[tuple[int, Document]]:
    """The documents of {"data": …}, {"message": …}, {"docs": …}, of a list, or of one document per line."""
    with part.open() as file:
        text = file.read().decode("utf-8-sig" if layout.encoding.startswith("utf-8") else layout.encoding, "replace")
    number = 0
    for found in _values(text):
        for document in _documents_of(found):
            number += 1
            yield number, document


def _values(text: str) -> Iterator[Any]:
    decoder, place = json.JSONDecoder(), 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        try:
            found, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise RuleBroken("This file can't be read as JSON. Please check it.") from error
        yield found


def _documents_of(found: Any) -> list[Document]:
    """The documents in parsed JSON. Raises RuleBroken."""
    if isinstance(found, dict):
        for name in ("data", "message", "docs"):
            if isinstance(found.get(name), dict | list) and "name" not in found:
                found = found[name]
                break
    if isinstance(found, dict) and isinstance(found.get("keys"), list) and isinstance(found.get("values"), list):
        keys = [str(key) for key in found["keys"]]
        found = [dict(zip(keys, row, strict=False)) for row in found["values"] if isinstance(row, list)]
    every = [found] if isinstance(found, dict) else found
    if not isinstance(every, list) or not all(isinstance(each, dict) for each in every):
        raise RuleBroken("A JSON file must hold a list of records, or {“data”: [ … ]}.")
    return every
