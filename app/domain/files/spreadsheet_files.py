"""Tables in files (CSV, XLSX, JSON), read row by row in bounded memory; other files are refused with a sentence."""

from __future__ import annotations

import codecs
import csv
import io
import json
import lzma
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime, time
from typing import Any, BinaryIO

from app.domain.base import RuleBroken, translatable
from app.domain.files.xlsx_structure import StructureCheck, TooComplex
from app.lib.digit_grouping import grouped
from app.lib.file_kinds import has_many_parts
from app.lib.lazy_imports import IMPORTING
from app.lib.spreadsheet_formulas import is_formula

#: Limits: bytes of a file, of an unpacked one, rows, columns, and characters of a cell.
MAX_BYTES, MAX_UNPACKED, MAX_ROWS, MAX_COLUMNS, MAX_CELL = 25_000_000, 200_000_000, 200_000, 150, 32_767
#: Cells of a row of a text file that are read: as many as a spreadsheet has columns.
_WIDEST = 16_384
#: JSON is parsed as a whole, which takes ten times its size in memory.
MAX_JSON = 10_000_000
#: Bytes of a text that are decoded at a time.
_CHUNK = 1_000_000
#: An archive that unpacks to more than this multiple of its size is a bomb; small ones do no harm.
_MAX_RATIO, _HARMLESS = 150, 5_000_000
#: Of more rows or texts than this, most must differ: equal ones take no bytes of the archive, but as long to read.
_EQUAL = 10_000
_OLD_EXCEL, _ZIP = b"\xd0\xcf\x11\xe0", b"PK\x03\x04"
#: First bytes of files that are not tables.
_OTHERS = (b"%PDF", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"\x1f\x8b", b"{\\rtf", b"MZ", b"\x7fELF", b"<!DOC", b"<html")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ZEROS = re.compile("0+")
#: What a damaged ZIP raises, besides OSError, which is also that of a storage that is away.
_DAMAGE = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError),
    *(NotImplementedError, RuntimeError, EOFError, ValueError),
)
#: Integers that a spreadsheet stores exactly are below this.
_EXACT = 10**15

_NO_TABLE = "This file is neither CSV nor XLSX. Please save the table as one of these and upload that."
_BOMB = "This file unpacks to far more than it should. Please copy the table into a new file, and upload that."
_BROKEN_XLSX = "This XLSX file is damaged. Please open it in your spreadsheet, save it again and upload that."


@dataclass(frozen=True)
class Dialect:
    """How to read a file."""

    #: csv, xlsx or json.
    kind: str
    encoding: str = ""
    separator: str = ""

    def as_json(self) -> dict[str, str]:
        """The dialect as JSON, stored in the row of the import."""
        return asdict(self)


class Cell(str):
    """The text of a cell that isn't just text: a number, a date, a formula, an error of the spreadsheet."""

    kind = "text"

    def __new__(cls, text: str, kind: str) -> Cell:
        """The text with its kind: number, date, formula or error."""
        made = super().__new__(cls, text)
        made.kind = kind
        return made


def kind_of(cell: str) -> str:
    """text, number, date, formula or error."""
    return getattr(cell, "kind", "text")


def recognize(file: BinaryIO) -> Dialect:
    """How to read the file. Raises RuleBroken if it isn't a table, or could do harm."""
    file.seek(0)
    content = file.read(MAX_BYTES + 1)
    if not content.strip():
        raise RuleBroken("This file is empty.", "file")
    if len(content) > MAX_BYTES:
        raise _too_big(MAX_BYTES)
    if content.startswith(_OLD_EXCEL):
        raise RuleBroken(
            "This is an old Excel file (.xls), or one that is protected by a password. Please save it as XLSX or CSV "
            "without a password.",
            "file",
        )
    if content.startswith(_ZIP):
        _refuse_harmful(file)
        return Dialect("xlsx")
    if content.startswith(_OTHERS):
        raise RuleBroken(_NO_TABLE, "file")
    return _recognize_text(content, _encoding(content))


def _recognize_text(content: bytes, encoding: str) -> Dialect:
    if any(_CONTROL.search(text) for text in _decoded(content, encoding)):
        raise RuleBroken(_NO_TABLE, "file")
    head = next(_decoded(content, encoding)).lstrip("\ufeff \r\n\t")
    if head[:1] in ("{", "["):
        if len(content) > MAX_JSON:
            raise _too_big(MAX_JSON)
        return Dialect("json", encoding)
    return Dialect("csv", encoding, separator_of(head))


def _too_big(maximum: int) -> RuleBroken:
    text = "This file is too large: at most %(most)s MB are read. Please split it."
    return RuleBroken(translatable(text, most=maximum // 1_000_000), "file")


def _decoded(content: bytes, encoding: str) -> Iterator[str]:
    """The text in pieces: the whole of it takes up to four times the memory. Raises UnicodeDecodeError."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for start in range(0, len(content), _CHUNK):
        yield decoder.decode(content[start : start + _CHUNK], final=start + _CHUNK >= len(content))


def _is_encoded(content: bytes, encoding: str) -> bool:
    try:
        for _text in _decoded(content, encoding):
            pass
    except UnicodeDecodeError:
        return False
    return True


def _encoding(content: bytes) -> str:
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return _decodable(content, name)
    if b"\0" in content:
        head = content[:400]
        wide = {"utf-16-le": head[1::2], "utf-16-be": head[::2]}
        name = next((name for name, zeros in wide.items() if zeros.count(0) > 0.8 * len(zeros)), "")
        if not name:
            raise RuleBroken(
                "This file holds NUL bytes, so it is damaged or no table. Please save it again as CSV or XLSX.", "file"
            )
        return _decodable(content, name)
    for name in ("utf-8-sig", "cp1252"):
        if _is_encoded(content, name):
            return name
    raise RuleBroken(_NO_TABLE, "file")


def _decodable(content: bytes, name: str) -> str:
    if not _is_encoded(content, name):
        raise RuleBroken(_NO_TABLE, "file")
    return name


def separator_of(text: str) -> str:
    """The separator of the cells in the first line, outside quotation marks."""
    plain = "".join(part for n, part in enumerate(text[:20_000].lstrip("\ufeff\r\n").split('"')) if n % 2 == 0)
    first = plain.lstrip("\r\n").splitlines()[:1] or [""]
    return max((",", ";", "\t", "|"), key=first[0].count)


# --- headers and rows


def headers(file: BinaryIO, dialect: Dialect) -> list[str]:
    """The names of the columns: the first row. Raises RuleBroken."""
    found = [" ".join(str(cell).split()) for cell in next(raw_rows(file, dialect), [])]
    while found and not found[-1]:
        found.pop()
    if not any(found):
        raise RuleBroken("The first row of this file must name the columns.", "file")
    if len(found) > MAX_COLUMNS:
        text = "This file has %(count)s columns; at most %(most)s are read. Please remove those that you don't need."
        raise RuleBroken(translatable(text, count=len(found), most=MAX_COLUMNS), "file")
    seen: set[str] = set()
    for name in filter(None, (each.casefold() for each in found)):
        if name in seen:
            shown = next(each for each in found if each.casefold() == name)
            text = "The column “%(name)s” occurs twice. Please rename or remove one of them."
            raise RuleBroken(translatable(text, name=shown[:60]), "file")
        seen.add(name)
    return [each[:120] for each in found]


def rows(file: BinaryIO, dialect: Dialect, skip: int = 0) -> Iterator[list[str]]:
    """The rows below the heading, including empty ones, except the first `skip`. Raises RuleBroken above MAX_ROWS."""
    every = raw_rows(file, dialect)
    next(every, None)
    for number, row in enumerate(every, 1):
        if number > MAX_ROWS:
            raise too_many()
        if number > skip:
            yield row


def too_many() -> RuleBroken:
    """The refusal of a file with too many rows."""
    text = "This file has more than %(most)s rows. Please split it, or remove empty rows at its end."
    return RuleBroken(translatable(text, most=grouped(MAX_ROWS)), "file")


def count_rows(file: BinaryIO, dialect: Dialect) -> int:
    """The number of rows below the heading, without empty ones at the end. Raises RuleBroken."""
    last = 0
    for number, row in enumerate(rows(file, dialect), 1):
        if any(row):
            last = number
    return last


def raw_rows(file: BinaryIO, dialect: Dialect) -> Iterator[list[str]]:
    """All rows including the heading. Raises RuleBroken."""
    file.seek(0)
    if dialect.kind == "xlsx":
        return _sheet_rows(file)
    if dialect.kind == "json":
        return _json_rows(file, dialect)
    return _csv_rows(file, dialect)


def _csv_rows(file: BinaryIO, dialect: Dialect) -> Iterator[list[str]]:
    text = io.TextIOWrapper(file, encoding=dialect.encoding, newline="")
    number = 0
    try:
        for row in csv.reader(text, delimiter=dialect.separator):
            number += 1
            yield [_csv_cell(cell) for cell in row[:_WIDEST]]
    except csv.Error as error:
        raise RuleBroken(
            translatable(
                "After row %(n)s this file can't be read. Please check its quotation marks.", n=grouped(number)
            ),
            "file",
        ) from error
    finally:
        with suppress(ValueError):  # the caller has closed the file
            text.detach()


def _csv_cell(cell: str) -> str:
    clean = cell.strip()
    if clean[:1] == "'" and is_formula(clean[1:]):
        return clean[1:][:MAX_CELL]  # the apostrophe added by an export
    return Cell(clean[:MAX_CELL], "formula") if clean.startswith("=") else clean[:MAX_CELL]


def _json_rows(file: BinaryIO, dialect: Dialect) -> Iterator[list[str]]:
    """A list of objects, or a response of the predecessor's API: {"data": [...]} or {"message": [...]}."""
    try:
        found = json.loads(file.read().decode(dialect.encoding))
    except (ValueError, RecursionError) as error:
        raise RuleBroken("This file can't be read as JSON. Please check it.", "file") from error
    if isinstance(found, dict):
        found = found.get("data", found.get("message"))
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise RuleBroken("A JSON file must hold a list of records, or {“data”: [ … ]}.", "file")
    names = list(dict.fromkeys(str(name) for each in found for name in each))
    yield names
    for each in found:
        yield [_json_cell(each.get(name)) for name in names]


def _json_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    return value.strip()[:MAX_CELL] if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[:MAX_CELL]


# --- XLSX


def _refuse_harmful(file: BinaryIO) -> None:
    """Raise RuleBroken for an archive that isn't a workbook, unpacks to too much, or has entities in its XML."""
    if has_many_parts(file):
        raise RuleBroken(_BOMB, "file")
    try:
        with zipfile.ZipFile(file) as archive:
            _refuse_harmful_archive(archive)
    except TooComplex as error:
        raise RuleBroken(_BOMB, "file") from error
    except (*_DAMAGE, OSError) as error:
        raise RuleBroken(_BROKEN_XLSX, "file") from error


def _refuse_harmful_archive(archive: zipfile.ZipFile) -> None:
    """Raise RuleBroken, TooComplex, or what a damaged archive raises."""
    parts = archive.infolist()
    if "xl/workbook.xml" not in archive.namelist():
        raise RuleBroken(_NO_TABLE, "file")
    unpacked, packed = sum(each.file_size for each in parts), sum(each.compress_size for each in parts)
    if unpacked > MAX_UNPACKED or (unpacked > _HARMLESS and unpacked > _MAX_RATIO * max(1, packed)):
        raise RuleBroken(_BOMB, "file")
    counts = []
    for each in parts:  # whatever their names: a sheet can have any
        if not each.filename.endswith(".svg"):
            with archive.open(each) as part:
                found = _checked_entries(part, StructureCheck(each.filename))
            if found > max(_EQUAL, each.compress_size):
                raise TooComplex
            counts += [found] if each.filename.startswith("xl/worksheets/sheet") else []
    if counts and min(counts) > MAX_ROWS + 1:  # which of several sheets is read is decided later
        raise too_many()


def _checked_entries(part: Any, structure: StructureCheck) -> int:
    """The rows in a sheet, or texts in the table of texts. Raises TooComplex, and RuleBroken for document types: their
    entities could expand without end.
    """
    before = b""
    while block := part.read(1 << 18):
        is_wide = not before and block[:2] in (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
        if is_wide or b"<!DOCTYPE" in (before + block).upper():
            raise RuleBroken("This XLSX file has XML that no spreadsheet writes. It was not read.", "file")
        structure.feed(block)
        before = block[-10:]
    structure.finish()
    return structure.entries


def _sheet_rows(file: BinaryIO) -> Iterator[list[str]]:
    from xml.etree.ElementTree import ParseError

    with IMPORTING:
        from openpyxl.utils.exceptions import InvalidFileException

        from app.domain.files.xlsx_shared_strings import open_book

    broken = (*_DAMAGE, ParseError, InvalidFileException, KeyError, TypeError, IndexError)
    book = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unsupported features: only values are read
            book = open_book(file)
        sheet = next((each for each in book.worksheets if each.sheet_state == "visible"), book.worksheets[0])
        sheet.reset_dimensions()
        gap: Any = None
        for row in sheet.iter_rows(max_col=MAX_COLUMNS + 60):
            if row is gap:  # a file can name a distant row, and openpyxl returns the same blank one for all before it
                yield []
                continue
            cells = [_sheet_cell(cell) for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            gap = gap if cells else row
            yield cells
    except broken as error:
        raise RuleBroken(_BROKEN_XLSX, "file") from error
    finally:
        if book is not None:
            book.close()


def _sheet_cell(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        if cell.data_type == "s":
            return value.strip()[:MAX_CELL]
        kinds = {"f": "formula", "e": "error"}
        kind = kinds.get(cell.data_type)
        return Cell(value[:200], kind) if kind else value.strip()[:MAX_CELL]
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        is_day = not (value.hour or value.minute or value.second)
        return Cell(value.date().isoformat() if is_day else value.replace(microsecond=0).isoformat(), "date")
    if isinstance(value, date | time):
        return Cell(value.isoformat(), "date")
    if isinstance(value, int | float):
        return _number(value, cell)
    return Cell(str(value)[:200], "formula")  # an array formula or data table


def _number(value: float, cell: Any) -> str:
    """A number without a fraction as digits, with the leading zeros of its format."""
    if isinstance(value, float) and not value.is_integer():
        return Cell(repr(value), "number")
    if abs(value) >= _EXACT:
        return Cell(f"{value:.6E}", "number")
    text, pattern = str(int(value)), str(cell.number_format or "")
    return Cell(text.zfill(len(pattern)) if _ZEROS.fullmatch(pattern) else text, "number")
