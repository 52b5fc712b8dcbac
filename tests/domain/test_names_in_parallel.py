"""Names and limits of what a person keeps hold on MariaDB, however many requests arrive at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.domain import dashboard_boards, report_schedules, reports, saved_views
from app.domain.base import RuleBroken, Stamp
from app.domain.files import export_and_import_runs
from app.domain.files.export_and_import_runs import NewExport
from app.domain.report_schedules import ScheduleInput, ScheduleTimes
from app.models import Board, ExportRun, Report, ReportSchedule, SavedView
from tests.app_fixtures import Crm

WRITERS = 12
NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
Act = Callable[[Session, Stamp, str], Any]


def save_view(session: Session, stamp: Stamp, label: str) -> Any:
    return saved_views.save(session, None, {"module": "leads", "label": label}, stamp)


def save_board(session: Session, stamp: Stamp, label: str) -> Any:
    values = {"label": label, "audience": "me", "layout": [["leads_new", 3]]}
    return dashboard_boards.save(session, None, values, stamp)


def save_report(session: Session, stamp: Stamp, label: str) -> Any:
    return reports.save(session, None, {"label": label, "kind": "lead", "definition": {}}, stamp)


def save_export(session: Session, stamp: Stamp, label: str) -> Any:
    return export_and_import_runs.new_export(session, NewExport("lead", "csv", {"columns": [], "query": label}), stamp)


def at_once(crm: Crm, act: Act, label: Callable[[int], str]) -> Counter[str]:
    """What became of so many attempts of one person that begin together."""
    stamp, gate = Stamp(crm.people["mia"].id, NOW), Barrier(WRITERS)

    def attempt(n: int) -> str:
        session = crm.new_session()
        session.connection()
        gate.wait()
        try:
            act(session, stamp, label(n))
            session.commit()
        except RuleBroken:
            session.rollback()
            return "refused"
        return "saved"

    with ThreadPoolExecutor(WRITERS) as pool:
        return Counter(pool.map(attempt, range(WRITERS)))


@pytest.mark.parametrize(("act", "model"), [(save_view, SavedView), (save_board, Board), (save_report, Report)])
def test_a_name_is_given_once(maria: Crm, act: Act, model: Any) -> None:
    assert at_once(maria, act, lambda _n: "This week") == {"saved": 1, "refused": WRITERS - 1}
    assert maria.count(model, model.label == "This week") == 1


@pytest.mark.parametrize(
    ("act", "model", "limit"),
    [
        (save_view, SavedView, (saved_views, "MAX_VIEWS")),
        (save_board, Board, (dashboard_boards, "MAX_BOARDS")),
        (save_report, Report, (reports, "MAX_REPORTS")),
        (save_export, ExportRun, (export_and_import_runs, "MAX_OPEN")),
    ],
)
def test_a_limit_is_a_limit(
    maria: Crm, monkeypatch: pytest.MonkeyPatch, act: Act, model: Any, limit: tuple[Any, str]
) -> None:
    monkeypatch.setattr(*limit, 3)
    assert at_once(maria, act, str) == {"saved": 3, "refused": WRITERS - 3}
    assert maria.count(model) == 3


def test_a_report_has_so_many_schedules(maria: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_schedules, "MAX_SCHEDULES", 3)
    session, mia = maria.new_session(), maria.people["mia"].id
    report = save_report(session, Stamp(mia, NOW), "Daily")
    session.commit()
    chosen = ScheduleInput(ScheduleTimes("daily", time(9), 1), "csv", (mia,))

    def act(session: Session, stamp: Stamp, _label: str) -> Any:
        return report_schedules.save(session, None, report, chosen, (stamp, "Asia/Kolkata"))

    assert at_once(maria, act, str) == {"saved": 3, "refused": WRITERS - 3}
    assert maria.count(ReportSchedule) == 3
