"""Long reports: their files are written in the background, resumed after a crash, with the reader's rights."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from sqlalchemy import select, update

from app.commands import reports as commands
from app.domain.files.export_and_import_runs import ExportRun, TransferPart
from app.models import AuditEntry, Notification, Report, ReportRun, ReportSchedule
from app.web.reports import running
from app.web.transfer import export_worker
from tests.app_fixtures import Crm
from tests.web.reports.test_reports import by, of, report

LISTED: dict[str, Any] = {"columns": ["name", "customer.name"], "limit": 20_000}
GROUPED: dict[str, Any] = {"groups": [by("started_on", "day")], "figures": [of("median", "duration_seconds")]}


@pytest.fixture(autouse=True)
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of more than three rows are long, and two rows make a piece."""
    monkeypatch.setattr(running, "AT_ONCE", 3)
    monkeypatch.setattr(export_worker, "PIECE", 2)


def ask(crm: Crm, who: str, made: Report, format_: str = "csv") -> Any:
    return crm.client(who).form(f"/reports/{made.id}/file.{format_}", {})


def written(crm: Crm, run: ExportRun) -> None:
    with crm.app.app_context():
        export_worker.work(run.id)


def found_in(answer: Any, format_: str) -> list[list[Any]]:
    """The cells of a file."""
    if format_ == "csv":
        return list(csv.reader(io.StringIO(answer.get_data().decode("utf-8-sig"))))
    sheet = load_workbook(io.BytesIO(answer.get_data())).active
    return [list(row) for row in sheet.iter_rows(values_only=True)]


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
def test_a_worker_that_is_killed_is_followed_by_one_that_doubles_nothing(crm: Crm, format_: str) -> None:
    for n in range(5):
        crm.make.lead("mia", first_name=f"Asha{n}")
    made = report(crm, "root", "lead", LISTED)
    assert "first 3 of 5" in crm.client("mia").screen(f"/reports/{made.id}/").text
    answer = ask(crm, "mia", made, format_)
    (run,) = crm.rows(select(ExportRun))
    assert answer.location == f"/exports/{run.id}/"
    with crm.app.app_context():
        assert export_worker.step(run.id, "killed")
        assert export_worker.step(run.id, "killed")
    page = crm.client("mia").screen(f"/exports/{run.id}/").text
    assert "Report “Report”" in page
    assert "2 of 5 rows" in page
    crm.session.execute(update(ExportRun).values(seen_on=datetime.now(UTC) - timedelta(minutes=2)))
    crm.session.execute(update(Report).values(definition=LISTED | {"columns": ["number"]}))  # not in this file
    crm.session.commit()
    written(crm, run)
    run = crm.fresh(run)
    assert (run.outcome, run.rows, run.total, run.error) == ("done", 5, 5, None)
    answer = crm.client("mia").screen(f"/exports/{run.id}/file")
    rows = found_in(answer, format_)
    assert rows[0][0] == "Name"
    assert [row[0] for row in rows[1:]] == [f"Asha{n} Kumar" for n in (4, 3, 2, 1, 0)]
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="report-')
    assert crm.count(Notification, Notification.kind == "export") == 1
    crm.session.rollback()
    noted = crm.rows(select(AuditEntry).where(AuditEntry.event == "export"))
    about = [each.about for each in noted]
    assert about == ["report of lead"] * 2
    assert crm.client("root").screen(f"/exports/{run.id}/file").status_code == 404
    crm.make.cell("Sales Manager", "Leads", "export", "none")
    assert crm.client("mia").screen(f"/exports/{run.id}/file").status_code == 403


@pytest.mark.parametrize("fixture", ["crm", "maria"])
def test_groups_are_written_all_at_once_and_anew_after_a_crash(request: pytest.FixtureRequest, fixture: str) -> None:
    crm: Crm = request.getfixturevalue(fixture)
    for n in range(5):
        for seconds in (n, 20):
            at = datetime(2026, 10, 1 + n, 12, tzinfo=UTC)
            crm.make.call("mia", at, started_on=at, duration_seconds=seconds)
    made = report(crm, "root", "call_log", GROUPED | {"limit": 50_000})
    ask(crm, "mia", made)
    (run,) = crm.rows(select(ExportRun))
    left = TransferPart(export_id=run.id, role="rows", place=0, digest="0" * 64, size=1)
    crm.session.add(left)  # as of a worker that was killed
    crm.session.commit()
    written(crm, run)
    heading, *rows = found_in(crm.client("mia").screen(f"/exports/{run.id}/file"), "csv")
    assert rows == [*[[f"2026-10-0{1 + n}", str(m)] for n, m in enumerate((10, 10.5, 11, 11.5, 12))], ["Total", "12"]]
    assert heading == ["Started (by day)", "Median: Duration (seconds)"]
    assert crm.fresh(run).rows == 6


def test_a_report_is_written_watched_and_fetched_over_rest(crm: Crm) -> None:
    for n in range(5):
        crm.make.lead("mia", first_name=f"Asha{n}")
    made = report(crm, "root", "lead", LISTED)
    mia, path = crm.client("mia"), f"report/{made.id}/export"
    answer = mia.rest("POST", path, {"format": "csv"})
    assert (answer.status_code, answer.json["state"]) == (202, "waiting")
    key = answer.json["id"]
    assert mia.rest("GET", f"export/{key}/file").status_code == 400
    (run,) = crm.rows(select(ExportRun))
    written(crm, run)
    assert (mia.rest("GET", f"export/{key}").json["state"], crm.fresh(run).rows) == ("done", 5)
    file = mia.rest("GET", f"export/{key}/file")
    assert [row[0] for row in found_in(file, "csv")[1:]] == [f"Asha{n} Kumar" for n in (4, 3, 2, 1, 0)]
    short = report(crm, "root", "lead", LISTED | {"where": ["all", ["status", "eq", "Contacted"]]})
    for format_, begins in (("csv", b"\xef\xbb\xbf"), ("xlsx", b"PK"), ("pdf", b"%PDF")):
        at_once = mia.rest("POST", f"report/{short.id}/export", {"format": format_})
        assert (at_once.status_code, at_once.get_data()[: len(begins)]) == (200, begins), format_
        assert f".{format_}" in at_once.headers["Content-Disposition"]
    noted = crm.rows(select(AuditEntry).where(AuditEntry.event == "export", AuditEntry.about == "report of lead"))
    assert len(noted) == 5


def test_who_may_not_export_a_report_over_rest_and_what_is_no_request(crm: Crm) -> None:
    for _n in range(5):
        crm.make.lead("mia")
    made = report(crm, "root", "lead", LISTED)
    own = report(crm, "root", "lead", LISTED, audience="me")
    wanted = {"mia": 202, "root": 202, "rhea": 403, "ana": 403, "cleo": 403}
    for who, status in wanted.items():
        answer = crm.client(who).rest("POST", f"report/{made.id}/export", {"format": "xlsx"})
        assert answer.status_code == status, (who, answer.text)
        hidden = crm.client(who).rest("POST", f"report/{own.id}/export", {"format": "xlsx"})
        assert hidden.status_code == (202 if who == "root" else 404), (who, hidden.text)
    mia = crm.client("mia")
    bodies: list[Any] = [{}, {"format": "doc"}, {"format": 5}, {"format": "csv", "columns": []}, [], "csv", None]
    for wrong in bodies:
        answer = mia.rest("POST", f"report/{made.id}/export", wrong)
        assert answer.status_code == 422 and answer.json["message"], (wrong, answer.text)
    assert mia.rest("POST", "report/99999/export", {"format": "csv"}).status_code == 404
    assert crm.client(None).rest("POST", f"report/{made.id}/export", {"format": "csv"}).status_code == 401


def test_an_export_is_stopped_over_rest(crm: Crm) -> None:
    for _n in range(5):
        crm.make.lead("mia")
    made = report(crm, "root", "lead", LISTED)
    mia = crm.client("mia")
    key = mia.rest("POST", f"report/{made.id}/export", {"format": "csv"}).json["id"]
    with crm.app.app_context():
        assert export_worker.step(key, "one")
        assert export_worker.step(key, "one")
    assert crm.client("root").rest("POST", f"export/{key}/cancel").status_code == 404
    assert mia.rest("POST", f"export/{key}/cancel").json["state"] == "cancelled"
    with crm.app.app_context():
        assert not export_worker.step(key, "one")
    assert crm.count(TransferPart) == 0
    assert mia.rest("POST", f"export/{key}/cancel").json["state"] == "cancelled"  # again: stays as it is
    assert mia.rest("GET", f"export/{key}/file").status_code == 400


def test_a_report_that_is_short_or_limited_is_the_answer(crm: Crm) -> None:
    for _n in range(5):
        crm.make.lead("mia")
    short = report(crm, "root", "lead", LISTED | {"where": ["all", ["status", "eq", "Contacted"]]})
    limited = report(crm, "root", "lead", LISTED | {"limit": 2})
    assert len(found_in(ask(crm, "mia", short), "csv")) == 1
    assert len(found_in(ask(crm, "mia", limited), "csv")) == 3
    long = report(crm, "root", "lead", LISTED)
    assert ask(crm, "mia", long, "pdf").mimetype == "application/pdf"
    answer = crm.client("mia").screen(f"/reports/{long.id}/file.csv", follow_redirects=True)
    assert "This report has more than" in answer.text


def test_a_mask_that_comes_amid_the_file_ends_it(crm: Crm) -> None:
    for _n in range(5):
        crm.make.lead("mia")
    made = report(crm, "root", "lead", {"columns": ["name", "mobile"], "limit": 20_000})
    ask(crm, "mia", made)
    (run,) = crm.rows(select(ExportRun))
    with crm.app.app_context():
        assert export_worker.step(run.id, "one")
    crm.make.mask("Sales Manager", mobile="hidden")
    with crm.app.app_context():
        assert not export_worker.step(run.id, "one")
    assert crm.fresh(run).outcome == "failed"
    assert "has changed while its file was written" in crm.client("mia").screen(f"/exports/{run.id}/").text


def test_the_command_writes_all_rows(crm: Crm, tmp_path: Path) -> None:
    for _n in range(5):
        crm.make.lead("mia")
    report(crm, "root", "lead", LISTED)
    with crm.app.app_context():
        assert commands.write("Report", crm.people["mia"].id, "csv", tmp_path / "all.csv") == 5
    assert len((tmp_path / "all.csv").read_text("utf-8-sig").splitlines()) == 6


def test_a_report_is_sent_by_hand_three_times_an_hour(crm: Crm) -> None:
    made = report(crm, "root", "lead", {"columns": ["name"]})
    form = {"rhythm": "daily", "at": "09:00", "format": "csv", "readers": [str(crm.id_of("mia"))]}
    crm.client("root").form(f"/reports/{made.id}/schedules", form)
    (schedule,) = crm.rows(select(ReportSchedule.id))
    for _n in range(3):
        crm.client("root").form(f"/reports/{made.id}/schedules/{schedule}/send", {})
        crm.session.execute(update(ReportRun).values(state="sent"))
        crm.session.commit()
    answer = crm.client("root").form(f"/reports/{made.id}/schedules/{schedule}/send", {}, follow_redirects=True)
    assert "sent by hand 3 times within an hour" in answer.text
    assert crm.count(ReportRun) == 3
