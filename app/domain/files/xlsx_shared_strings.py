"""Opens XLSX workbooks with a memory-saving reader for the table of shared strings, and within limits.

openpyxl creates an XML element for each text: a million of them take 10 seconds of CPU and 300 MB more.
"""

from __future__ import annotations

import zipfile
from typing import Any, BinaryIO
from xml.etree.ElementTree import XMLParser

from openpyxl.reader.excel import ExcelReader
from openpyxl.worksheet._read_only import ReadOnlyWorksheet
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS

from app.domain.files.xlsx_structure import TEXTS

#: Texts in one workbook: 200,000 rows of 20 different ones each.
MAX_TEXTS = 4_000_000
#: Sheets of a workbook, each of which is compared with those before; bytes of what is parsed as a whole, as styles are.
MAX_SHEETS, MAX_WHOLE = 1_000, 10_000_000
_BLOCK = 1 << 16
_ITEM, _TEXT, _PHONETIC = (f"{{{SHEET_MAIN_NS}}}{name}" for name in ("si", "t", "rPh"))


def open_book(file: BinaryIO) -> Any:
    """The workbook, for reading row by row. Raises ValueError, KeyError, ParseError and others for a damaged one."""
    reader = _Reader(file, read_only=True, keep_links=False)
    reader.read()
    return reader.wb


class _Archive(zipfile.ZipFile):
    def read(self, name: Any, pwd: bytes | None = None) -> bytes:
        """Like ZipFile's. Raises ValueError for a part that nobody parses as a whole."""
        if self.getinfo(name).file_size > MAX_WHOLE:
            raise ValueError("too large a part")
        return super().read(name, pwd)


class _Sheet(ReadOnlyWorksheet):  # type: ignore[misc]
    def _get_size(self) -> None:
        """Called when it is made: to find out that a sheet doesn't state its size, which nobody uses, it reads all."""


class _Reader(ExcelReader):  # type: ignore[misc]
    def __init__(self, file: BinaryIO, **options: Any) -> None:
        super().__init__(file, **options)
        self.archive = _Archive(file)

    def read_workbook(self) -> None:
        """Called by `read`. Raises ValueError for a file without a workbook, which openpyxl calls an OSError."""
        try:
            super().read_workbook()
        except OSError as error:
            if type(error) is OSError and error.errno is None:
                raise ValueError(str(error)) from error
            raise

    def read_worksheets(self) -> None:
        """Called by `read`. Raises ValueError for too many sheets, or one that is the table of texts."""
        sheets = list(self.parser.sheets)[: MAX_SHEETS + 1]
        if len(sheets) > MAX_SHEETS or any(rel.target == TEXTS for _sheet, rel in self.parser.find_sheets()):
            raise ValueError("too many sheets, or no sheet")
        for sheet, rel in self.parser.find_sheets():
            if rel.target in self.valid_files and "chartsheet" not in rel.Type:
                made = _Sheet(self.wb, sheet.name, rel.target, self.shared_strings)
                made.sheet_state = sheet.state
                self.wb._sheets.append(made)

    def read_strings(self) -> None:
        """Called by `read`."""
        part = self.package.find(SHARED_STRINGS)
        if part is None:
            return
        found = _Texts()
        parser = XMLParser(target=found)  # noqa: S314  # `spreadsheet_files.recognize` has refused entities
        with self.archive.open(part.PartName[1:]) as source:
            while block := source.read(_BLOCK):
                parser.feed(block)
        self.shared_strings = parser.close()


class _Texts:
    """Target of the XML parser: collects the text of each item, without phonetic hints."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.parts: list[str] = []
        self.is_text = self.is_phonetic = False

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        """An element begins."""
        if tag == _TEXT:
            self.is_text = not self.is_phonetic
        elif tag == _PHONETIC:
            self.is_phonetic = True

    def data(self, text: str) -> None:
        """Text between two tags."""
        if self.is_text:
            self.parts.append(text)

    def end(self, tag: str) -> None:
        """An element ends. Raises ValueError for too many texts."""
        if tag == _ITEM:
            self.found.append("".join(self.parts).replace("x005F_", ""))
            self.parts.clear()
            if len(self.found) > MAX_TEXTS:
                raise ValueError("too many texts")
        elif tag == _TEXT:
            self.is_text = False
        elif tag == _PHONETIC:
            self.is_phonetic = False

    def close(self) -> list[str]:
        """The texts in order."""
        return self.found
