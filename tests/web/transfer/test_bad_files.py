"""Files that aren't tables, or are damaged: page and command show a sentence, and nothing is done by half."""

from __future__ import annotations

import html
import io
from pathlib import Path

import pytest
from sqlalchemy import select

from app.commands import exports_and_imports
from app.domain.base import RuleBroken
from app.domain.files import spreadsheet_files
from app.domain.files.export_and_import_runs import ImportRow, ImportRun
from app.models import Lead
from tests.app_fixtures import Crm
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


def test_the_page_and_the_command_refuse_what_is_no_table(crm: Crm, tmp_path: Path) -> None:
    mia = Importer(crm)
    for case, (given, sentence) in REFUSED.items():
        content = given() if callable(given) else given
        if len(content) < SPOOLED:  # the client of the tests leaves its own file open
            answer = mia.upload(content)
            assert (answer.status_code, sentence in html.unescape(answer.text)) == (422, True), case
        path = tmp_path / "leads.csv"
        path.write_bytes(content)
        with crm.app.app_context(), pytest.raises(RuleBroken) as refused:
            exports_and_imports.begin_import(path, "lead", None, (crm.people["mia"].id, OPTIONS))
        assert sentence in str(refused.value.message), case
    assert crm.count(ImportRun) == 0


def test_a_spoiled_cell_is_told_and_makes_no_record(crm: Crm) -> None:
    mia = Importer(crm)
    for content, sentence in SPOILED.items():
        run = mia.checked(content)
        assert run.payload["check"]["wrong"] == 1, content
        told = crm.rows(select(ImportRow.problem).where(ImportRow.run_id == run.id))[0]
        assert sentence in told, content
    assert crm.count(Lead) == 0


def test_tables_of_any_spreadsheet_come_in(crm: Crm) -> None:
    mia = Importer(crm)
    for content in GOOD:
        run = mia.checked(content)
        assert run.payload["check"] == {"created": 2, "updated": 0, "skipped": 0, "wrong": 0}


LONG = "N" * 10_000
#: Kind -> the heading, and rows that can't be imported, each with a part of what is said.
STRANGE: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "lead": (
        "Full Name,Mobile No,Aadhaar,Date of birth,Remarks",
        [
            (f"{LONG},9820012345,,,", "“First name” is too long: at most 80 characters."),
            ('"Asha\rRao",9820012346,,,', "“First name” has a character that can't be stored."),
            ("Asha,9820012347,,12/31/1990,", "isn't a date in the order"),
            ("Asha,9820012348,12345678901,,", "11 digits instead of 12"),
            (f"Asha,9820012349,,,{LONG * 3}", "at most 20,000 characters."),
        ],
    ),
    "customer": (
        "First name,Last name,Mobile,Client ID,Account type,Opened on",
        [
            ("Asha,Rao,9820012345,1.5E+05,,", "its last digits are lost"),
            ("Asha,Rao,9820012346,C3,No such,", "Account type: There is no “No such” in this list."),
            ("Asha,Rao,9820012347,C4,,45000", "“45000” isn't a date that can be read."),
            ("Asha,Rao,9820012348,C5,,30/11/1026", "“30/11/1026” isn't a date that can be read."),
            (f"Asha,Rao,9820012349,{LONG},,", "“Client ID” is too long"),
        ],
    ),
    "ticket": (
        "Customer name,Mobile,Subject,Description,Priority",
        [
            ("Asha,9820012345,No such,x,High", "One of these subjects does not exist."),
            (f"{LONG},9820012345,,x,", "“First name” is too long"),
            ("Asha,12,,x,", "This isn't a valid phone number."),
            ("Asha,9820012347,,x,Huge", "“Priority” must be one of"),
        ],
    ),
    "task": (
        "Title,Lead,Due date,Priority",
        [
            (f"{LONG},,01/12/2026,", "“Title” is too long"),
            ("Call,CRM-LEAD-9999-1,01/12/2026,", "There is no such record: CRM-LEAD-9999-1"),
            ("Call,,01/12/2026 25:99,", "has a time that can't be read"),
            ("Call,,01/12/99999,", "“01/12/99999” isn't a date that can be read."),
        ],
    ),
    "call_log": (
        "From,To,Start time,Duration,Type,Call ID,Employee,Status",
        [
            ("1.23E+09,9820012345,01/11/2026 10:00,60,Incoming,a1,,", "its last digits are lost"),
            ("9820012345,9820012346,01/11/2026 10:00,-5,Incoming,a2,,", "Duration: Please enter minutes and seconds"),
            ("9820012345,9820012346,01/11/2026 10:00,60,Sideways,a3,,", "“Direction” must be one of"),
            (f"9820012345,9820012346,01/11/2026 10:00,60,Incoming,{LONG},,", "“Device call ID” is too long"),
            ("9820012345,9820012346,01/11/2026 10:00,60,Incoming,a4,nobody,", "There is no colleague “nobody”."),
            ("9820012345,9820012346,01/11/2026 10:00,60,Incoming,a5,,", "Status: Please choose one of"),
        ],
    ),
    "user": (
        "Username,Email,First name,Role,Reports to,Active",
        [
            (f"{LONG},a@x.in,A,Sales User,,", "“Username” is too long"),
            ("u1,a b,A,Sales User,,", "This isn't a valid email address."),
            ("u2,u2@x.in,A,No such,,", "There is no role “No such”."),
            ("u3,u3@x.in,A,,,", "Please name the role of this user."),
            ("u4,u4@x.in,A,Sales User,,maybe", "“Active” must be yes or no."),
            ("ANA,u5@x.in,A,Sales User,,", "Somebody else signs in with this username"),
        ],
    ),
}


ENDS = ("\n", "\r\n", "mixed")
#: (kind, ends of its lines): each kind with ends that it shares with another, leads with all of them.
STRANGE_FILES = [*(("lead", ends) for ends in ENDS), *zip([*STRANGE][1:], ENDS * 2, strict=False)]


@pytest.mark.parametrize("kind, ends", STRANGE_FILES)
def test_strange_rows_of_every_kind_are_refused_each_in_a_sentence(crm: Crm, kind: str, ends: str) -> None:
    root, (heading, rows) = Importer(crm, "root"), STRANGE[kind]
    end = ("\r\n", "\n") if ends == "mixed" else (ends, ends)
    content = "".join(line + end[n % 2] for n, line in enumerate([heading, *(row for row, _said in rows)]))
    run = root.checked(content, kind, duplicates="create")
    told = root.problems(run, is_trial=True)
    assert {line: said for line, (_row, said) in enumerate(rows, 1) if said not in told.get(line, "")} == {}, told
    assert (run.outcome, run.payload["check"]["wrong"]) == ("checked", len(rows))
    assert root.client.screen(f"/imports/{run.id}/").status_code == 200
    assert root.client.screen(f"/imports/{run.id}/problems.csv?trial=1").status_code == 200


def test_a_table_may_be_longer_than_a_form_and_a_larger_one_is_refused_in_words(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crm.app.config["MAX_UPLOAD_LENGTH"] > spreadsheet_files.MAX_BYTES
    monkeypatch.setitem(crm.app.config, "MAX_CONTENT_LENGTH", 2000)
    monkeypatch.setitem(crm.app.config, "MAX_UPLOAD_LENGTH", 9000)
    root, row = Importer(crm, "root"), b"Asha," + b"x" * 100 + b"\n"
    assert root.upload(b"Name,Remarks\n" + row * 50).status_code == 302
    answer = root.upload(b"Name,Remarks\n" + row * 150)
    assert answer.status_code == 413 and "A file can have up to 25 MB" in html.unescape(answer.text)
    assert "This is too large" in answer.text


def test_a_workbook_with_too_many_rows_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet_files, "MAX_ROWS", 2)
    assert spreadsheet_files.recognize(io.BytesIO(workbook(["Name"], ["A"], ["B"]))).kind == "xlsx"
    with pytest.raises(RuleBroken, match="more than 2 rows"):
        spreadsheet_files.recognize(io.BytesIO(workbook(["Name"], ["A"], ["B"], ["C"])))
