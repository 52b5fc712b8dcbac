"""Checks how the XML of a workbook is built, before anything reads it as a whole.

A few kilobytes can unpack to elements that need gigabytes as objects: nested without end, very many in one row, or with
very many attributes. What spreadsheets write is flat, and its rows are read one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.parsers import expat

#: Elements in each other; elements of one row; elements of a document that isn't a sheet, which is read as a whole.
MAX_DEPTH, MAX_IN_ROW, MAX_ELEMENTS = 64, 200_000, 500_000
#: Rows and other entries of a sheet; bytes of one tag.
MAX_ENTRIES, MAX_TAG = 2_000_000, 1 << 19
#: In <worksheet><sheetData>, or <sst>: where the rows of a sheet are, below which their cells.
_ROW = 3
#: What an entry is called, by its depth: a row in <worksheet><sheetData>, a text in <sst>.
_ENTRIES = {_ROW: "row", 2: "si"}
#: The table of texts, whose reader creates no elements.
TEXTS = "xl/sharedStrings.xml"


class TooComplex(Exception):
    """No spreadsheet writes such a document."""


class StructureCheck:
    """Reads the XML of one part of a workbook in blocks, and counts."""

    def __init__(self, part: str) -> None:
        #: Rows or texts so far.
        self.entries = 0
        self._depth = self._in_row = self._elements = self._fed = 0
        self._most = MAX_ELEMENTS
        self._is_texts, self._is_xml = part == TEXTS, True
        self._parser = expat.ParserCreate()
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end

    def feed(self, block: bytes) -> None:
        """The next block. Raises TooComplex. What is no XML, or breaks off, is left to its readers."""
        if not self._is_xml:
            return
        self._fed += len(block)
        try:
            self._parser.Parse(block, False)
        except expat.ExpatError:
            self._is_xml = False
            return
        if self._fed - self._parser.CurrentByteIndex > MAX_TAG + len(block):
            raise TooComplex

    def _start(self, name: str, _attributes: Sequence[str]) -> None:
        self._depth += 1
        if self._depth > _ROW:
            self._in_row += 1
            if self._depth > MAX_DEPTH or self._in_row > MAX_IN_ROW:
                raise TooComplex
        else:
            self._in_row = 0
        self.entries += name.rpartition(":")[2] == _ENTRIES.get(self._depth)
        self._elements += self._most == MAX_ELEMENTS or self._depth <= _ROW
        if self._depth == 1 and name.rpartition(":")[2] == "worksheet":
            self._most = MAX_ENTRIES
        if self._elements > self._most and not self._is_texts:
            raise TooComplex

    def _end(self, _name: str) -> None:
        self._depth -= 1
