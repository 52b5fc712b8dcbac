"""Files that are no table, or a spoiled one: page and command say so in a sentence, and nothing is half done."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
from sqlalchemy import select

from app.commands import transfers
from app.domain.base import RuleBroken
from app.domain.transfers import ImportRow, ImportRun
from app.models import Lead
from tests.app_fixtures import World
from tests.domain.test_spreadsheet_files import REFUSED, workbook
from tests.web.transfer.test_imports import Importer

OPTIONS = {"duplicates": "skip", "dates": None}
#: Bytes from which on a request is kept in a file.
SPOOLED = 400_000
#: Content of a file -> what is said of its only row.
SPOILED = {
    "Name,Mobile\nAsha,1.23E+09\n": "its last digits are lost",
    "Name,Mobile\nAsha,982001234\n": "dropped a zero",
    "Name,Mobile\nAsha,=1+1\n": "holds a formula",
    "Name,Mobile,Follow up\nAsha,9820012345,31/31/2026\n": "isn't a date in the order",
    "Name,Mobile\nAsha,9820012345,surplus\n": "more cells than the first row has names",
}
#: Two leads each, in spellings of spreadsheets.
GOOD = [
    'Name;Mobile;Remarks\nAsha;9820012345;"one\ntwo"\nOm;9820012346;\n'.encode("utf-16"),
    'Name;Mobile\r\n"André";9820012345\r\nOm;9820012346\r\n'.encode("cp1252"),
    workbook(["Name", "Mobile"], ["Asha", 9820012345], ["Om", "+91 98200 12346"]),
]


def test_the_page_and_the_command_refuse_what_is_no_table(world: World, tmp_path: Path) -> None:
    mia = Importer(world)
    for case, (content, sentence) in REFUSED.items():
        if len(content) < SPOOLED:  # the client of the tests leaves its own file open
            answer = mia.upload(content)
            assert (answer.status_code, sentence in html.unescape(answer.text)) == (422, True), case
        path = tmp_path / "leads.csv"
        path.write_bytes(content)
        with world.app.app_context(), pytest.raises(RuleBroken) as refused:
            transfers.begin_import(path, "lead", None, (world.people["mia"].id, OPTIONS))
        assert sentence in str(refused.value.message), case
    assert world.count(ImportRun) == 0


def test_a_spoiled_cell_is_told_and_makes_no_record(world: World) -> None:
    mia = Importer(world)
    for content, sentence in SPOILED.items():
        run = mia.checked(content)
        assert run.payload["check"]["wrong"] == 1, content
        told = world.rows(select(ImportRow.problem).where(ImportRow.run_id == run.id))[0]
        assert sentence in told, content
    assert world.count(Lead) == 0


def test_tables_of_any_spreadsheet_come_in(world: World) -> None:
    mia = Importer(world)
    for content in GOOD:
        run = mia.checked(content)
        assert run.payload["check"] == {"created": 2, "updated": 0, "skipped": 0, "wrong": 0}
