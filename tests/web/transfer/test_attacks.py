"""Attacks on the rules of imports and exports: guesses, limited keys, rows out of reach, hostile workbooks."""

from __future__ import annotations

import io
import time
import zipfile
from contextlib import suppress
from typing import Any

import pytest
from openpyxl import Workbook
from sqlalchemy import select, update

from app import access
from app.domain.base import RuleBroken
from app.domain.files import spreadsheet_files, xlsx_shared_strings
from app.domain.files.export_and_import_runs import MAX_OPEN, ExportRun, ImportRow
from app.lib import file_kinds
from app.models import ApiKey, Lead, Role, Ticket, User
from app.web.transfer import export_worker, exports
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.web.transfer.test_imports import Importer, figures


def everything(crm: Crm) -> ExportRun:
    """An export of everything that an admin has asked for."""
    assert crm.client("root").form("/exports/all").location != "/"
    run: ExportRun = crm.rows(select(ExportRun).order_by(ExportRun.id.desc()))[0]
    return run


@pytest.mark.parametrize("scope", [["Dashboard"], ["Dashboard.read", "Leads"]])
def test_a_limited_key_of_an_admin_gets_no_export_of_everything(crm: Crm, scope: list[str]) -> None:
    run = everything(crm)
    with crm.app.app_context():
        export_worker.work(run.id)
    root = crm.client("root")
    assert root.rest("GET", f"export/{run.id}/file").status_code == 200
    crm.session.execute(update(ApiKey).where(ApiKey.key == "keyroot").values(scope=scope))
    crm.session.commit()
    assert root.rest("GET", f"export/{run.id}").status_code == 200
    assert root.rest("GET", f"export/{run.id}/file").status_code == 403


@pytest.mark.parametrize("change", [{"active": False}, {"roles": []}])
def test_everything_is_not_written_for_who_is_no_admin_any_more(crm: Crm, change: dict[str, Any]) -> None:
    run = everything(crm)
    crm.make.user("amy", "Admin")
    user = crm.session.scalars(select(User).where(User.username == "root")).one()
    for name, value in change.items():
        setattr(user, name, value)
    crm.session.commit()
    with crm.app.app_context():
        export_worker.work(run.id)
    assert (crm.fresh(run).outcome, crm.fresh(run).size) == ("failed", 0)


def test_an_export_in_the_background_reaches_no_further_than_the_key(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "AT_ONCE", 0)
    crm.make.lead("mia")
    scope = ["Dashboard.read", "Leads.export", "Leads.read"]
    crm.session.execute(update(ApiKey).where(ApiKey.key == "keymia").values(scope=scope))
    crm.session.commit()
    key = crm.client("mia").rest("POST", "export/", {"kind": "lead", "format": "csv"}).json["id"]
    run = crm.rows(select(ExportRun).where(ExportRun.id == key))[0]
    assert run.payload["scope"] == scope
    crm.session.execute(update(ExportRun).values(payload=run.payload | {"scope": ["Dashboard.read"]}))
    crm.session.commit()
    with crm.app.app_context():
        export_worker.work(key)
    assert crm.fresh(run).outcome == "failed"


def test_few_exports_of_one_person_wait_at_a_time(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "AT_ONCE", 0)
    crm.make.lead("mia")
    asked = {"kind": "lead", "format": "csv"}
    codes = [crm.client("mia").rest("POST", "export/", asked).status_code for _n in range(MAX_OPEN + 1)]
    assert codes == [202] * MAX_OPEN + [422]
    assert crm.client("root").form("/exports/all").status_code == 302
    crm.client("root").form("/exports/all")
    assert crm.count(ExportRun, ExportRun.kind == "all") == 1


@pytest.mark.parametrize("field", ["mobile", "email"])
def test_an_update_tells_nothing_of_masked_values(crm: Crm, field: str) -> None:
    mia = Importer(crm)
    lead = crm.make.lead("mia", mobile="9820012345", email="asha@x.in")
    crm.session.execute(update(Lead).where(Lead.id == lead.id).values(client_id="E1"))
    crm.session.commit()
    crm.make.mask("Sales Manager", mobile="last4", email="hidden")
    guesses = {"mobile": ("9820012345", "9820099999"), "email": ("asha@x.in", "other@x.in")}[field]
    found = [mia.checked(f"Client ID,{field}\nE1,{each}\n", duplicates="update") for each in guesses]
    assert found[0].payload["check"] == found[1].payload["check"]


def test_who_may_not_write_users_updates_none_by_import(crm: Crm) -> None:
    role = "Sales Manager"
    for verb in ("read", "create", "import"):
        crm.make.cell(role, "Settings", verb, "all")
    mia = Importer(crm)
    assert mia.upload("User ID,Full Name\nana,Changed\n", "user").status_code == 302
    run = mia.newest()
    form = {"column_0": "username", "column_1": "full_name", "duplicates": "update", "keys": "username"}
    assert mia.client.form(f"/imports/{run.id}/map", form).status_code == 403
    crm.make.cell(role, "Settings", "write", "all")
    assert figures(mia.imported("User ID,Full Name\nana,Changed\n", "user", duplicates="update"))[1] == 1


def test_a_revert_gives_no_role_that_the_person_lacks(crm: Crm) -> None:
    for verb in ("read", "create", "write", "import"):
        crm.make.cell("Sales Manager", "Settings", verb, "all")
    mia = Importer(crm)
    run = mia.imported("User ID,Role\nana,Sales Manager\n", "user", duplicates="update")
    assert figures(run) == (0, 1, 0, 0)
    crm.make.cell("Sales User", "Audit Log", "read", "all")  # what the former role may is more now
    mia.act(run, "revert")
    assert "You can't grant more than you have yourself" in mia.problems(run)[1]
    held = select(Role.name).join(User.roles).where(User.username == "ana")
    assert crm.rows(held) == ["Sales Manager"]


# --- workbooks


def hostile(sheet: bytes | str, name: str = "xl/worksheets/sheet1.xml") -> io.BytesIO:
    """A workbook whose only sheet is this, under that name."""
    plain, made = io.BytesIO(), io.BytesIO()
    Workbook().save(plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.namelist():
            if each != "xl/worksheets/sheet1.xml":
                new.writestr(each, old.read(each).replace(b"xl/worksheets/sheet1.xml", name.encode()))
        new.writestr(name, sheet)
    return made


_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_CELL = '<row r="{0}"><c r="A{0}" t="inlineStr"><is><t>x</t></is></c></row>'
_ENTITY = '<!DOCTYPE x [<!ENTITY a "b">]>'


def sheet_of(*rows: int, before: str = "") -> str:
    """The XML of a sheet with these rows."""
    cells = "".join(_CELL.format(row) for row in rows)
    return f'{before}<worksheet xmlns="{_MAIN}"><sheetData>{cells}</sheetData></worksheet>'


@pytest.mark.parametrize("row", [1_048_576, 2**40])
def test_a_far_row_is_refused_quickly(row: int) -> None:
    file = hostile(sheet_of(1, row))
    dialect = spreadsheet_files.recognize(file)
    start = time.process_time()
    with pytest.raises(RuleBroken, match="00,000 rows"):
        list(spreadsheet_files.rows(file, dialect))
    assert time.process_time() - start < 3  # seconds of the processor; 17 when each cell of each gap was looked at


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["xl/worksheets/sheet1.xml", "xl/worksheets/sheet1.bin"])
def test_entities_are_refused_in_any_encoding_and_part(encoding: str, name: str) -> None:
    with pytest.raises(RuleBroken, match="XML that no spreadsheet writes"):
        spreadsheet_files.recognize(hostile(sheet_of(1, before=_ENTITY).encode(encoding), name))


_ROW = '<row r="1"><c r="A1" t="inlineStr"><is><t>Name</t></is></c></row>'
_STARTS, _ENDS = f'<worksheet xmlns="{_MAIN}"><sheetData>{_ROW}', "</sheetData></worksheet>"


@each_case(
    "sheet",
    [
        "<a>" * 100_000,
        "<a>" * 100 + "</a>" * 100,
        f"<row>{'<c/>' * 200_001}</row>",
        f"<row>{'<c><v/></c>' * 100_001}</row>",
        f"<row {' '.join(f'a{n}=' + repr('1') for n in range(200_000))}/>",
    ],
)
def test_a_sheet_that_is_small_only_as_a_file_is_refused_before_it_is_read(sheet: str) -> None:
    """As objects it is hundreds of times as large, gigabytes in a file of two megabytes."""
    for ends in (_ENDS, ""):
        with pytest.raises(RuleBroken, match="unpacks to far more"):
            spreadsheet_files.recognize(hostile(f"{_STARTS}{sheet}{ends}"))


def test_a_workbook_of_too_many_parts_or_sheets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    file = hostile(f"{_STARTS}{_ENDS}")
    dialect = spreadsheet_files.recognize(file)
    assert spreadsheet_files.headers(file, dialect) == ["Name"]
    monkeypatch.setattr(xlsx_shared_strings, "MAX_SHEETS", 0)
    with pytest.raises(RuleBroken, match="damaged"):
        spreadsheet_files.headers(file, dialect)
    monkeypatch.setattr(xlsx_shared_strings, "MAX_SHEETS", 1)
    monkeypatch.setattr(xlsx_shared_strings, "MAX_WHOLE", 10)
    with pytest.raises(RuleBroken, match="damaged"):
        spreadsheet_files.headers(file, dialect)
    with zipfile.ZipFile(file, "a") as archive:
        for number in range(file_kinds.MAX_PARTS):
            archive.writestr(f"x/{number}.xml", "")
    with pytest.raises(RuleBroken, match="unpacks to far more"):
        spreadsheet_files.recognize(file)


def test_a_damaged_workbook_is_a_sentence_wherever_the_damage_is() -> None:
    plain, packed = io.BytesIO(), io.BytesIO()
    book = Workbook()
    for number in range(300):
        book.active.append([f"Name {number}", number])
    book.save(plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as new:
        for each in old.namelist():
            new.writestr(each, old.read(each))
    for whole in (plain.getvalue(), packed.getvalue()):
        for place in range(40, len(whole), 23):
            content = bytearray(whole)
            content[place] ^= 0x5A
            with suppress(RuleBroken):
                file = io.BytesIO(bytes(content))
                list(spreadsheet_files.rows(file, spreadsheet_files.recognize(file)))


def test_an_archive_without_a_workbook_is_a_sentence() -> None:
    file = hostile(f"{_STARTS}{_ENDS}")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(made := io.BytesIO(), "w") as new:
        for each in old.namelist():
            new.writestr(each, old.read(each).replace(b"sheet.main+xml", b"other+xml"))
    with pytest.raises(RuleBroken, match="damaged"):
        spreadsheet_files.headers(made, spreadsheet_files.recognize(made))


def test_the_table_of_texts_is_read_without_how_they_are_pronounced(monkeypatch: pytest.MonkeyPatch) -> None:
    items = "<si><t>name</t></si><si><r><t>As</t></r><r><t>ha &amp; Om</t></r><rPh sb='0' eb='1'><t>x</t></rPh></si>"
    cells = "".join(f'<row r="{n + 1}"><c r="A{n + 1}" t="s"><v>{n}</v></c></row>' for n in range(2))
    sheet, made = f'<worksheet xmlns="{_MAIN}"><sheetData>{cells}</sheetData></worksheet>', io.BytesIO()
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    named = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'.encode()
    with zipfile.ZipFile(hostile(sheet)) as old, zipfile.ZipFile(made, "w") as new:
        for each in {*old.namelist()} - {"xl/sharedStrings.xml"}:
            new.writestr(each, old.read(each).replace(b"</Types>", named))
        new.writestr("xl/sharedStrings.xml", f'<sst xmlns="{_MAIN}">{items}</sst>')
    assert list(spreadsheet_files.rows(made, spreadsheet_files.recognize(made))) == [["Asha & Om"]]
    monkeypatch.setattr(xlsx_shared_strings, "MAX_TEXTS", 1)
    with pytest.raises(RuleBroken, match="damaged"):
        list(spreadsheet_files.rows(made, spreadsheet_files.Dialect("xlsx")))


def test_a_mask_that_is_switched_on_amid_an_import_ends_its_matching(crm: Crm) -> None:
    mia = Importer(crm)
    crm.make.lead("mia", mobile="9820012345")
    run = mia.checked("Name,Mobile\nAsha,9820012345\n")
    assert mia.client.form(f"/imports/{run.id}/start").status_code == 302
    crm.make.mask("Sales Manager", mobile="last4")
    run = mia.worked(run)
    assert (run.outcome, figures(run)) == ("failed", (0, 0, 0, 0))
    assert "masked" in str(run.error) and not mia.problems(run)


def test_who_may_write_no_users_by_now_updates_none(crm: Crm) -> None:
    for verb in ("read", "create", "write", "import"):
        crm.make.cell("Sales Manager", "Settings", verb, "all")
    mia = Importer(crm)
    run = mia.checked("User ID,Full Name\nana,Changed\n", "user", duplicates="update")
    assert mia.client.form(f"/imports/{run.id}/start").status_code == 302
    crm.make.cell("Sales Manager", "Settings", "write", "none")
    run = mia.worked(run)
    assert (run.outcome, figures(run)) == ("failed", (0, 0, 0, 0))
    assert crm.rows(select(User.first_name).where(User.username == "ana")) == ["Ana"]


@pytest.mark.parametrize("when", ["before", "amid"])
def test_who_may_import_no_more_reverts_nothing(crm: Crm, when: str) -> None:
    mia = Importer(crm)
    run = mia.imported("Name,Mobile\nAsha,9820012345\n")
    if when == "amid":
        assert mia.client.form(f"/imports/{run.id}/revert").status_code == 302
    crm.make.cell("Sales Manager", "Leads", "import", "none")
    if when == "before":
        assert mia.client.form(f"/imports/{run.id}/revert").status_code == 403
    assert mia.worked(run).outcome == ("failed" if when == "amid" else "done")
    assert crm.count(Lead) == 1


def test_a_revert_gives_back_no_values_of_records_out_of_reach(crm: Crm) -> None:
    mia = Importer(crm)
    lead = crm.make.lead("ana", mobile="9820012345", first_name="Asha")
    run = mia.imported("Name,Mobile\nUsha,9820012345\n", duplicates="update")
    assert figures(run) == (0, 1, 0, 0)
    crm.session.execute(update(User).where(User.username == "ana").values(manager_id=None))
    access.bump_version(crm.session)
    crm.session.commit()
    run = mia.act(run, "revert")
    assert (run.outcome, crm.fresh(lead).first_name) == ("reverted", "Usha")
    assert "edit" in next(iter(mia.problems(run).values()))


def test_a_revert_deletes_nothing_that_the_person_may_not_delete(crm: Crm) -> None:
    mia = Importer(crm)
    run = mia.imported("Name,Mobile\nAsha,9820012345\nRavi,9820012346\n")
    crm.session.execute(
        update(Lead).where(Lead.first_name == "Ravi").values(owner_id=crm.people["sam"].id, assignee_id=None)
    )
    crm.session.commit()
    run = mia.act(run, "revert")
    assert (run.outcome, crm.rows(select(Lead.first_name))) == ("reverted", ["Ravi"])
    assert "may not delete" in mia.problems(run)[2]


@pytest.mark.parametrize(("kind", "module"), [("lead", "Leads"), ("ticket", "Tickets"), ("user", "Settings")])
def test_who_may_delete_nothing_gets_nothing_deleted_by_a_revert(crm: Crm, kind: str, module: str) -> None:
    role = "Sales Manager"
    for verb in ("read", "create", "write", "import", "assign"):
        crm.make.cell(role, module, verb, "all")
    crm.make.cell(role, module, "delete", "none")
    crm.make.cell(role, "Customers", "delete", "none")
    mia = Importer(crm)
    file = {
        "lead": "Name,Mobile\nAsha,9820012345\n",
        "ticket": "Name,Mobile,Subject\nAsha,9820012345,KYC update\n",
        "user": "User ID,Full Name,Role\nneha,Neha Shah,Sales User\n",
    }[kind]
    run = mia.imported(file, kind)
    assert figures(run) == (1, 0, 0, 0), mia.problems(run)
    run = mia.act(run, "revert")
    model = {"lead": Lead, "ticket": Ticket, "user": User}[kind]
    assert run.outcome == "reverted"
    assert (
        crm.count(model, model.id == crm.rows(select(ImportRow.record_id).where(ImportRow.run_id == run.id))[-1]) == 1
    )
    assert "may not delete" in mia.problems(run)[1]
