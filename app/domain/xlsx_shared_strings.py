"""Opens XLSX workbooks with a memory-saving reader for the table of shared strings.

openpyxl creates an XML element for each text: a million of them take 10 seconds of CPU and 300 MB more.
"""

from __future__ import annotations

from typing import Any, BinaryIO
from xml.etree.ElementTree import XMLParser

from openpyxl.reader.excel import ExcelReader
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS

#: Texts in one workbook: 200,000 rows of 20 different ones each.
MAX_TEXTS = 4_000_000
_BLOCK = 1 << 16
_ITEM, _TEXT, _PHONETIC = (f"{{{SHEET_MAIN_NS}}}{name}" for name in ("si", "t", "rPh"))


def open_book(file: BinaryIO) -> Any:
    """The workbook, for reading row by row. Raises ValueError, KeyError, ParseError and others for a damaged one."""
    reader = _Reader(file, read_only=True, keep_links=False)
    reader.read()
    return reader.wb


class _Reader(ExcelReader):  # type: ignore[misc]
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
