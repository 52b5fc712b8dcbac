"""Checks how the XML of a workbook is built, before anything reads it as a whole.

A few kilobytes can unpack to elements that need gigabytes as objects: nested without end, very many in one row, or with
very many attributes. What spreadsheets write is flat, and its rows are read one by one.
Rows and texts that look exactly as spreadsheets write them are counted by a pattern, which takes a tenth of the time of
calling back for each of their elements; all else goes through the parser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.parsers import expat

#: Elements in each other; elements of one row; elements of a document that isn't a sheet, which is read as a whole.
MAX_DEPTH, MAX_IN_ROW, MAX_ELEMENTS = 64, 200_000, 500_000
#: Rows and other entries of a sheet; bytes of one tag.
MAX_ENTRIES, MAX_TAG = 2_000_000, 1 << 19
#: In <worksheet><sheetData>, or <sst>: where the rows of a sheet are, below which their cells.
_ROW, _ITEM = 3, 2
#: What an entry is called, by its depth: a row in <worksheet><sheetData>, a text in <sst>.
_ENTRIES = {_ROW: "row", _ITEM: "si"}
#: The table of texts, whose reader creates no elements.
TEXTS = "xl/sharedStrings.xml"

#: Rows of a sheet, and entries of the table of texts, as spreadsheets write them, up to 500 at once. No part of such a
#: run can end a comment, a CDATA section or an instruction in which it stands: before each > is a letter, a digit, a
#: quotation mark, a space or a slash.
#: Only single characters are repeated possessively: before 3.11.5, a possessive group that fails halfway leaves Python
#: at the place where it failed (https://github.com/python/cpython/issues/106052), which is no end of a row.
_ROWS = re.compile(
    rb'(?:<row(?: [A-Za-z0-9:=". ]{0,400}+)?(?:/>|>'
    rb'(?:<c(?: [A-Za-z0-9:=". ]{0,400}+)?(?:/>|>(?:<f(?: [A-Za-z0-9:=". ]{0,400}+)?>[^<>]*+</f>)?'
    rb'(?:<v>[^<>]*+</v>|<v ?+/>|<is><t(?: xml:space="preserve")?>[^<>]*+</t></is>)?</c>))*'
    rb"</row>)\s*+){1,500}"
)
_ITEMS = re.compile(rb'(?:<si><t(?: xml:space="preserve")?>[^<>]*+</t></si>\s*+){1,500}')
#: How a part begins whose bytes are those of ASCII.
_UTF_8 = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:<\?xml version=[\"']1\.0[\"'](?: encoding=[\"'](?i:utf-8)[\"'])?"
    rb"(?: standalone=[\"'](?:yes|no)[\"'])? ?\?>\s*)?<[A-Za-z]"
)


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
        #: Whether runs of simple entries are recognized; None = the beginning was not read yet.
        self._is_ascii: bool | None = None
        #: What was not read yet, because it can be the beginning of an entry.
        self._held = b""
        self._parser = expat.ParserCreate()
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end
        if hasattr(self._parser, "SetReparseDeferralEnabled"):  # the depth must be that of all that was fed
            self._parser.SetReparseDeferralEnabled(False)

    def feed(self, block: bytes) -> None:
        """The next block. Raises TooComplex. What is no XML, or breaks off, is left to its readers."""
        if self._is_ascii is None:
            self._is_ascii = _UTF_8.match(block) is not None
        data, end = self._held + block, b"</si>" if self._is_texts else b"</row>"
        cut = data.rfind(end) + len(end) if end in data else 0
        if not self._is_ascii or len(data) - cut > MAX_TAG:
            cut = len(data)
        self._held = data[cut:]
        self._take(data[:cut])

    def finish(self) -> None:
        """There are no more blocks. Raises TooComplex."""
        self._take(self._held)
        self._held = b""

    def _take(self, data: bytes) -> None:
        """Read this, but count the runs of simple entries in it without the parser."""
        begin = b"<si>" if self._is_texts else b"<row"
        start = data.find(begin) if self._is_ascii else -1
        fed = 0
        while start >= 0 and self._is_xml:
            self._parse(data[fed:start])
            fed, run = start, self._run_at(data, start)
            if run:
                self.entries += data.count(begin, start, run)
                if self.entries > MAX_ENTRIES and not self._is_texts:
                    raise TooComplex
                self._parse(b" ")  # so that what is before and after the run doesn't become one
                fed = run
            start = data.find(begin, run or start + 1)
        self._parse(data[fed:])

    def _run_at(self, data: bytes, start: int) -> int:
        """The end of a run of simple entries, where the document has its entries; 0 = there is none."""
        if self._is_texts:
            found = _ITEMS.match(data, start) if self._depth == _ITEM - 1 else None
        else:
            is_there = self._depth == _ROW - 1 and self._most == MAX_ENTRIES
            found = _ROWS.match(data, start) if is_there else None
        return found.end() if found else 0

    def _parse(self, data: bytes) -> None:
        if not self._is_xml or not data:
            return
        self._fed += len(data)
        try:
            self._parser.Parse(data, False)
        except expat.ExpatError:
            self._is_xml = False
            return
        if self._fed - self._parser.CurrentByteIndex > MAX_TAG + len(data):
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
