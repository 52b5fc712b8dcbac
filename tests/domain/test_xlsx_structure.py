"""The check of a workbook's XML: what a pattern counts, the parser would count, too, and nothing hides behind it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.files import xlsx_structure
from app.domain.files.xlsx_structure import TEXTS, StructureCheck, TooComplex
from tests.cases import each_case

SHEET, DEPTH = "xl/worksheets/sheet1.xml", 3
BEGIN, END = b"<worksheet><sheetData>", b"</sheetData></worksheet>"
DECLARED = b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n'
#: As Excel, LibreOffice and openpyxl write them.
ROWS = (
    b'<row r="1" spans="1:3" x14ac:dyDescent="0.25"><c r="A1" t="s"><v>0</v></c><c r="B1" s="1"/></row>',
    b'<row r="2" customFormat="false" ht="12.8" hidden="false"><c r="A2" s="0" t="s"><v>7</v></c></row>\n',
    b'<row r="3"><c r="A3" t="inlineStr"><is><t xml:space="preserve"> a &amp; b</t></is></c><c t="n"><v /></c></row>',
    b'<row r="4"><c r="A4"><f>SUM(B1:B9)</f><v>3</v></c><c r="B4"><f t="shared" si="0">A4+1</f><v>4</v></c></row>',
    b'<row r="5"/>',
    b'<row r="6"><c r="A6" t="inlineStr"><is><r><t>rich</t></r><r><t>text</t></r></is></c></row>',
    b"<row r='7'><c r='A7'><v>8</v></c></row>",
    b"<!-- a row --><row><c><v>\xe0\xa4\x85</v></c></row>",
)


def blocks(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


def checked(text: bytes, size: int = 1 << 18, part: str = SHEET, by_pattern: bool = True) -> int | None:
    """The entries that were counted; None for a document that is refused."""
    check = StructureCheck(part)
    if not by_pattern:
        check._is_ascii = False
    try:
        for block in blocks(text, size):
            check.feed(block)
        check.finish()
    except TooComplex:
        return None
    return check.entries


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 18])
def test_rows_are_counted_as_the_parser_does(size: int) -> None:
    chance = random.Random(size)
    for declared in (b"", DECLARED):
        rows = [chance.choice(ROWS) for _ in range(60)]
        text = declared + BEGIN + b"".join(rows) + END
        assert checked(text, max(size, len(declared) + 20)) == checked(text, by_pattern=False) == len(rows)


def test_texts_are_counted_as_the_parser_does() -> None:
    items = b"<si><t>Asha</t></si><si><r><t>a</t></r></si><si><t xml:space='preserve'> b</t></si><si><t></t></si>" * 50
    text = DECLARED + b'<sst count="200">' + items + b"</sst>"
    assert checked(text, part=TEXTS) == checked(text, part=TEXTS, by_pattern=False) == 200


def test_most_rows_do_not_reach_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    start = StructureCheck._start

    def recorded(self: StructureCheck, name: str, held: Any) -> None:
        calls.append(name)
        start(self, name, held)

    monkeypatch.setattr(StructureCheck, "_start", recorded)
    checked(DECLARED + BEGIN + b"".join(ROWS[:3]) * 1000 + END)
    assert calls == ["worksheet", "sheetData"]


_BOMB = b"<x>" * 100
_MANY = b"<row><c/></row>"


@each_case(
    "text, is_refused",
    [
        # Rows within a row, whose objects are kept until it ends.
        (BEGIN + b"<row>" + _MANY * 150_000 + b"</row>" + END, True),
        # A document that is read as a whole.
        (b"<styleSheet><a>" + _MANY * 300_000 + b"</a></styleSheet>", True),
        # What the pattern takes must not end or begin what hides the rest.
        (BEGIN + b"<![CDATA[ ]]" + _MANY + b"> <!-- ]]>" + _BOMB, True),
        (BEGIN + b"<!-- -" + _MANY + b"-><![CDATA[ -->" + _BOMB, True),
        (BEGIN + b"<?x ?" + _MANY + b"> <!-- ?>" + _BOMB, True),
        # No XML: whoever reads it stops there.
        (BEGIN + b"<row ]]></row>" + _BOMB, False),
        (BEGIN + b"<![CDATA[<row ]]><c></c></row>" + _BOMB, False),
        # Letters of another encoding, in which these bytes are something else.
        (b'<?xml version="1.0" encoding="cp037"?>' + BEGIN + _MANY * 100, False),
    ],
)
def test_nothing_hides_behind_simple_rows(text: bytes, is_refused: bool) -> None:
    assert checked(text) == checked(text, by_pattern=False)
    assert (checked(text) is None) is is_refused


@pytest.mark.parametrize("by_pattern", [True, False])
def test_too_many_rows_are_refused_however_they_are_counted(monkeypatch: pytest.MonkeyPatch, by_pattern: bool) -> None:
    monkeypatch.setattr(xlsx_structure, "MAX_ENTRIES", 1000)
    assert checked(BEGIN + _MANY * 900 + END, by_pattern=by_pattern) == 900
    assert checked(BEGIN + _MANY * 1001 + END, by_pattern=by_pattern) is None
