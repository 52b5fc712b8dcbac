"""Reports with many rows: their files are written in the background, go on after a crash, and keep to the rights."""

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
from app.domain.transfer_runs import ExportRun, TransferPart
from app.models import AuditEntry, Notification, Report, ReportRun, ReportSchedule
from app.web.reports import running
from app.web.transfer import export_worker
from tests.app_fixtures import World
from tests.web.reports.test_reports import by, of, report

LISTED: dict[str, Any] = {"columns": ["name", "customer.name"], "limit": 20_000}
GROUPED: dict[str, Any] = {"groups": [by("started_on", "day")], "figures": [of("median", "duration_seconds")]}


@pytest.fixture(autouse=True)
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of more than three rows are long, and two rows make a piece."""
    monkeypatch.setattr(running, "AT_ONCE", 3)
    monkeypatch.setattr(export_worker, "PIECE", 2)


def ask(world: World, who: str, made: Report, format_: str = "csv") -> Any:
    return world.door(who).form(f"/reports/{made.id}/file.{format_}", {})


def written(world: World, run: ExportRun) -> None:
    with world.app.app_context():
        export_worker.work(run.id)


def found_in(answer: Any, format_: str) -> list[list[Any]]:
    """The cells of a file."""
    if format_ == "csv":
        return list(csv.reader(io.StringIO(answer.get_data().decode("utf-8-sig"))))
    sheet = load_workbook(io.BytesIO(answer.get_data())).active
    return [list(row) for row in sheet.iter_rows(values_only=True)]


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
def test_a_worker_that_is_killed_is_followed_by_one_that_doubles_nothing(world: World, format_: str) -> None:
    for n in range(5):
        world.make.lead("mia", first_name=f"Asha{n}")
    made = report(world, "root", "lead", LISTED)
    assert "first 3 of 5" in world.door("mia").screen(f"/reports/{made.id}/").text
    answer = ask(world, "mia", made, format_)
    (run,) = world.rows(select(ExportRun))
    assert answer.location == f"/exports/{run.id}/"
    with world.app.app_context():
        assert export_worker.step(run.id, "killed")
        assert export_worker.step(run.id, "killed")
    page = world.door("mia").screen(f"/exports/{run.id}/").text
    assert "Report “Report”" in page
    assert "2 of 5 rows" in page
    world.session.execute(update(ExportRun).values(seen_on=datetime.now(UTC) - timedelta(minutes=2)))
    world.session.execute(update(Report).values(definition=LISTED | {"columns": ["number"]}))  # not in this file
    world.session.commit()
    written(world, run)
    run = world.fresh(run)
    assert (run.outcome, run.rows, run.total, run.error) == ("done", 5, 5, None)
    answer = world.door("mia").screen(f"/exports/{run.id}/file")
    rows = found_in(answer, format_)
    assert rows[0][0] == "Name"
    assert [row[0] for row in rows[1:]] == [f"Asha{n} Kumar" for n in (4, 3, 2, 1, 0)]
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="report-')
    assert world.count(Notification, Notification.kind == "export") == 1
    world.session.rollback()
    noted = world.rows(select(AuditEntry).where(AuditEntry.event == "export"))
    about = [each.about for each in noted]
    assert about == ["report of lead"] * 2
    assert world.door("root").screen(f"/exports/{run.id}/file").status_code == 404
    world.make.cell("Sales Manager", "Leads", "export", "none")
    assert world.door("mia").screen(f"/exports/{run.id}/file").status_code == 403


@pytest.mark.parametrize("house", ["world", "maria"])
def test_groups_are_written_all_at_once_and_anew_after_a_crash(request: pytest.FixtureRequest, house: str) -> None:
    world: World = request.getfixturevalue(house)
    for n in range(5):
        for seconds in (n, 20):
            at = datetime(2026, 10, 1 + n, 12, tzinfo=UTC)
            world.make.call("mia", at, started_on=at, duration_seconds=seconds)
    made = report(world, "root", "call_log", GROUPED | {"limit": 50_000})
    ask(world, "mia", made)
    (run,) = world.rows(select(ExportRun))
    left = TransferPart(export_id=run.id, role="rows", place=0, digest="0" * 64, size=1)
    world.session.add(left)  # as of a worker that was killed
    world.session.commit()
    written(world, run)
    heading, *rows = found_in(world.door("mia").screen(f"/exports/{run.id}/file"), "csv")
    assert rows == [*[[f"2026-10-0{1 + n}", str(m)] for n, m in enumerate((10, 10.5, 11, 11.5, 12))], ["Total", "12"]]
    assert heading == ["Started (by day)", "Median: Duration (seconds)"]
    assert world.fresh(run).rows == 6


def test_a_report_is_written_watched_and_fetched_over_rest(world: World) -> None:
    for n in range(5):
        world.make.lead("mia", first_name=f"Asha{n}")
    made = report(world, "root", "lead", LISTED)
    mia, path = world.door("mia"), f"report/{made.id}/export"
    answer = mia.rest("POST", path, {"format": "csv"})
    assert (answer.status_code, answer.json["state"]) == (202, "waiting")
    key = answer.json["id"]
    assert mia.rest("GET", f"export/{key}/file").status_code == 400
    (run,) = world.rows(select(ExportRun))
    written(world, run)
    assert (mia.rest("GET", f"export/{key}").json["state"], world.fresh(run).rows) == ("done", 5)
    file = mia.rest("GET", f"export/{key}/file")
    assert [row[0] for row in found_in(file, "csv")[1:]] == [f"Asha{n} Kumar" for n in (4, 3, 2, 1, 0)]
    short = report(world, "root", "lead", LISTED | {"where": ["all", ["status", "eq", "Contacted"]]})
    for format_, begins in (("csv", b"\xef\xbb\xbf"), ("xlsx", b"PK"), ("pdf", b"%PDF")):
        at_once = mia.rest("POST", f"report/{short.id}/export", {"format": format_})
        assert (at_once.status_code, at_once.get_data()[: len(begins)]) == (200, begins), format_
        assert f".{format_}" in at_once.headers["Content-Disposition"]
    noted = world.rows(select(AuditEntry).where(AuditEntry.event == "export", AuditEntry.about == "report of lead"))
    assert len(noted) == 5


def test_who_may_not_export_a_report_over_rest_and_what_is_no_request(world: World) -> None:
    for _n in range(5):
        world.make.lead("mia")
    made = report(world, "root", "lead", LISTED)
    own = report(world, "root", "lead", LISTED, audience="me")
    wanted = {"mia": 202, "root": 202, "rhea": 403, "ana": 403, "cleo": 403}
    for who, status in wanted.items():
        answer = world.door(who).rest("POST", f"report/{made.id}/export", {"format": "xlsx"})
        assert answer.status_code == status, (who, answer.text)
        hidden = world.door(who).rest("POST", f"report/{own.id}/export", {"format": "xlsx"})
        assert hidden.status_code == (202 if who == "root" else 404), (who, hidden.text)
    mia = world.door("mia")
    for wrong in ({}, {"format": "doc"}, {"format": 5}, {"format": "csv", "columns": []}, [], "csv", None):
        answer = mia.rest("POST", f"report/{made.id}/export", wrong)
        assert answer.status_code == 422 and answer.json["message"], (wrong, answer.text)
    assert mia.rest("POST", "report/99999/export", {"format": "csv"}).status_code == 404
    assert world.door(None).rest("POST", f"report/{made.id}/export", {"format": "csv"}).status_code == 401


def test_an_export_is_stopped_over_rest(world: World) -> None:
    for _n in range(5):
        world.make.lead("mia")
    made = report(world, "root", "lead", LISTED)
    mia = world.door("mia")
    key = mia.rest("POST", f"report/{made.id}/export", {"format": "csv"}).json["id"]
    with world.app.app_context():
        assert export_worker.step(key, "one")
        assert export_worker.step(key, "one")
    assert world.door("root").rest("POST", f"export/{key}/cancel").status_code == 404
    assert mia.rest("POST", f"export/{key}/cancel").json["state"] == "cancelled"
    with world.app.app_context():
        assert not export_worker.step(key, "one")
    assert world.count(TransferPart) == 0
    assert mia.rest("POST", f"export/{key}/cancel").json["state"] == "cancelled"  # again: stays as it is
    assert mia.rest("GET", f"export/{key}/file").status_code == 400


def test_a_report_that_is_short_or_limited_is_the_answer(world: World) -> None:
    for _n in range(5):
        world.make.lead("mia")
    short = report(world, "root", "lead", LISTED | {"where": ["all", ["status", "eq", "Contacted"]]})
    limited = report(world, "root", "lead", LISTED | {"limit": 2})
    assert len(found_in(ask(world, "mia", short), "csv")) == 1
    assert len(found_in(ask(world, "mia", limited), "csv")) == 3
    long = report(world, "root", "lead", LISTED)
    assert ask(world, "mia", long, "pdf").mimetype == "application/pdf"
    answer = world.door("mia").screen(f"/reports/{long.id}/file.csv", follow_redirects=True)
    assert "This report has more than" in answer.text


def test_a_mask_that_comes_amid_the_file_ends_it(world: World) -> None:
    for _n in range(5):
        world.make.lead("mia")
    made = report(world, "root", "lead", {"columns": ["name", "mobile"], "limit": 20_000})
    ask(world, "mia", made)
    (run,) = world.rows(select(ExportRun))
    with world.app.app_context():
        assert export_worker.step(run.id, "one")
    world.make.mask("Sales Manager", mobile="hidden")
    with world.app.app_context():
        assert not export_worker.step(run.id, "one")
    assert world.fresh(run).outcome == "failed"
    assert "has changed while its file was written" in world.door("mia").screen(f"/exports/{run.id}/").text


def test_the_command_writes_all_rows(world: World, tmp_path: Path) -> None:
    for _n in range(5):
        world.make.lead("mia")
    report(world, "root", "lead", LISTED)
    with world.app.app_context():
        assert commands.write("Report", world.id_of("mia"), "csv", tmp_path / "all.csv") == 5
    assert len((tmp_path / "all.csv").read_text("utf-8-sig").splitlines()) == 6


def test_a_report_is_sent_by_hand_three_times_an_hour(world: World) -> None:
    made = report(world, "root", "lead", {"columns": ["name"]})
    form = {"rhythm": "daily", "at": "09:00", "format": "csv", "readers": [str(world.id_of("mia"))]}
    world.door("root").form(f"/reports/{made.id}/schedules", form)
    (schedule,) = world.rows(select(ReportSchedule.id))
    for _n in range(3):
        world.door("root").form(f"/reports/{made.id}/schedules/{schedule}/send", {})
        world.session.execute(update(ReportRun).values(state="sent"))
        world.session.commit()
    answer = world.door("root").form(f"/reports/{made.id}/schedules/{schedule}/send", {}, follow_redirects=True)
    assert "sent by hand 3 times within an hour" in answer.text
    assert world.count(ReportRun) == 3
