"""Files with custom fields: none contains a field that the role doesn't see."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from sqlalchemy import select

from app.commands import exports_and_imports as commands
from app.domain.custom_fields import CustomField, FieldInput, mask_name
from app.domain.files.export_and_import_runs import ExportRun
from app.models import FieldMask, Role
from app.web.transfer import export_worker, exports
from tests.app_fixtures import Crm
from tests.web.records.test_custom_fields import made

VALUES = {"x_branch": "=Thane", "x_bank": "HDFC 12345", "x_income": 1234.5}


@pytest.fixture(params=["crm", "maria"])
def crm_on_both(request: pytest.FixtureRequest) -> Crm:
    """Leads with a custom field that is limited, and others that are not."""
    found: Crm = request.getfixturevalue(request.param)
    made(
        found,
        "leads",
        FieldInput("Branch", "text", "x_branch"),
        FieldInput("Bank", "text", "x_bank", is_restricted=True),
        FieldInput("Income", "number", "x_income"),
    )
    for _n in range(4):
        lead = found.make.lead("mia")
        assert found.client("root").rest("PUT", f"lead/{lead.id}", json=VALUES).status_code == 200
    return found


def rows_of(answer: Any, format_: str) -> list[list[Any]]:
    if format_ == "csv":
        return list(csv.reader(io.StringIO(answer.get_data().decode("utf-8-sig"))))
    sheet = load_workbook(io.BytesIO(answer.get_data())).active
    return [list(row) for row in sheet.iter_rows(values_only=True)]


def export(crm: Crm, who: str, format_: str) -> Any:
    """The answer, or the file that a worker has written."""
    form = {"format": format_, "columns": ["number", *VALUES]}
    answer = crm.client(who).form("/exports/lead", form)
    if answer.status_code != 302:
        return answer
    run = crm.rows(select(ExportRun).order_by(ExportRun.id.desc()))[0]
    with crm.app.app_context():
        export_worker.work(run.id)
    return crm.client(who).screen(f"/exports/{run.id}/file")


@pytest.mark.parametrize("at_once", [1000, 2])
@pytest.mark.parametrize("format_", ["csv", "xlsx"])
def test_a_limited_field_is_masked_in_files(
    crm_on_both: Crm, monkeypatch: pytest.MonkeyPatch, format_: str, at_once: int
) -> None:
    monkeypatch.setattr(exports, "AT_ONCE", at_once)
    heading, *rows = rows_of(export(crm_on_both, "root", format_), format_)
    assert heading[1:] == ["Branch", "Bank", "Income"]
    assert {row[2] for row in rows} == {"HDFC 12345"} and len(rows) == 4
    assert {float(row[3]) for row in rows} == {1234.5}
    branch = rows[0][1]
    assert branch == ("'=Thane" if format_ == "csv" else "=Thane")
    found = rows_of(export(crm_on_both, "mia", format_), format_)
    assert found[1][1] == branch and "HDFC" not in str(found) and "2345" not in str(found)


def test_a_file_is_refused_once_a_field_is_limited(crm_on_both: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "AT_ONCE", 2)
    role = crm_on_both.rows(select(Role.id).where(Role.name == "Sales Manager"))[0]
    field = mask_name(crm_on_both.rows(select(CustomField.id).where(CustomField.name == "x_bank"))[0])
    crm_on_both.session.add(FieldMask(role_id=role, field=field, level="full"))
    crm_on_both.session.commit()
    found = export(crm_on_both, "mia", "csv")
    assert "HDFC 12345" in found.text
    run = crm_on_both.rows(select(ExportRun).order_by(ExportRun.id.desc()))[0]
    row = crm_on_both.rows(select(FieldMask).where(FieldMask.role_id == role, FieldMask.field == field))[0]
    crm_on_both.session.merge(row).level = "hidden"
    crm_on_both.session.commit()
    answer = crm_on_both.client("mia").screen(f"/exports/{run.id}/file")
    assert answer.status_code == 403 and "your rights have changed" in answer.text


def test_everything_has_custom_fields(crm_on_both: Crm, tmp_path: Path) -> None:
    with crm_on_both.app.app_context():
        commands.write_all(tmp_path / "all")
    lines = (tmp_path / "all/records/leads.jsonl").read_text().splitlines()
    kept = json.loads(lines[0])["custom"]
    assert (kept if isinstance(kept, dict) else json.loads(kept))["x_bank"] == "HDFC 12345"
