"""Deadlines of data requests and breaches: warned of before, told of afterwards, each exactly once."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import data_breaches, data_requests
from app.domain.automation import compliance_clocks
from app.domain.base import RuleBroken, Stamp
from app.domain.business_settings import BusinessSetting
from app.domain.files import export_and_import_runs
from app.domain.files.export_and_import_runs import NewExport
from app.models import DataBreach, DataRequest, ModulePermission, Notification, Role
from tests import factories
from tests.factories import HOUR, NOW

ZONE = "Asia/Kolkata"
TODAY = NOW.date()
DAY = timedelta(days=1)


@pytest.fixture
def rhea(session: Session) -> Any:
    role = Role(name="Registers")
    session.add(role)
    session.flush()
    for name in _MODULES:
        session.add(ModulePermission(role_id=role.id, module=name, verb="read", level="all"))
        session.flush()
    factories.user(session, "ana", "Sales User")
    return factories.user(session, "rhea", "Registers")


_MODULES = (data_requests.MODULE, data_breaches.MODULE)


def request(session: Session, due: date, **more: Any) -> DataRequest:
    row = DataRequest(person="Meera", kind="grievance", received_on=due - 90 * DAY, due_on=due, **more)
    data_requests.complete(session, row, Stamp(None, NOW), max(TODAY, due))
    row.stamp(Stamp(None, NOW))
    session.add(row)
    session.flush()
    return row


def breach(session: Session, noticed_on: datetime = NOW, **more: Any) -> DataBreach:
    row = DataBreach(title="List sent to a wrong address", noticed_on=noticed_on, **more)
    data_breaches.complete(session, row, NOW)
    row.stamp(Stamp(None, NOW))
    session.add(row)
    session.flush()
    return row


def run(session: Session, later: timedelta = timedelta()) -> list[str]:
    """The stages of which somebody was told, as the job does it."""
    found = compliance_clocks.due_notices(session, NOW + later, ZONE, 100)
    return [compliance_clocks.notify(session, notice, NOW + later) for notice in found]


@pytest.mark.parametrize(
    ("days", "stages"), [(16, []), (15, ["warning"]), (0, ["warning"]), (-1, ["late"]), (-400, ["late"])]
)
def test_when_somebody_is_told_of_a_request(session: Session, rhea: Any, days: int, stages: list[str]) -> None:
    request(session, TODAY + days * DAY)
    assert run(session) == stages and run(session) == []
    told = session.scalars(select(Notification)).all()
    assert {row.user_id for row in told} == ({rhea.id} if stages else set()), "not Ana"


def test_each_stage_of_a_request_is_told_once_and_a_moved_day_anew(session: Session, rhea: Any) -> None:
    row = request(session, TODAY + 10 * DAY)
    request(session, TODAY, state="withdrawn")
    assert [*run(session), *run(session, DAY), *run(session, 10 * DAY), *run(session, 11 * DAY)] == ["warning", "late"]
    assert run(session, 12 * DAY) == []
    row.due_on = TODAY + 20 * DAY
    session.flush()
    assert run(session, 12 * DAY) == ["warning"]
    row.state = "answered"
    session.flush()
    assert run(session, 30 * DAY) == []


def test_the_days_are_a_setting(session: Session) -> None:
    session.add(BusinessSetting(key="data_request_days", value=30))
    row = DataRequest(person="Meera", kind="access", received_on=TODAY)
    data_requests.complete(session, row, Stamp(None, NOW), TODAY)
    assert row.due_on == TODAY + 30 * DAY


def test_the_hours_of_a_breach_warn_at_half_and_when_they_are_over(session: Session, rhea: Any) -> None:
    row = breach(session)
    assert (row.cert_in_due_on, row.board_due_on) == (NOW + 6 * HOUR, NOW + 72 * HOUR)
    assert run(session, 3 * HOUR - timedelta(seconds=1)) == []
    assert run(session, 3 * HOUR) == ["cert_in warning"] and run(session, 4 * HOUR) == []
    assert run(session, 6 * HOUR) == ["cert_in late"] and run(session, 35 * HOUR) == []
    assert run(session, 36 * HOUR) == ["board warning"]
    row.board_told_on = NOW + 40 * HOUR
    session.flush()
    assert run(session, 80 * HOUR) == []


def test_a_breach_that_is_closed_or_told_of_is_silent(session: Session, rhea: Any) -> None:
    told = {f"{name}_told_on": NOW for name in ("cert_in", "board", "people")}
    breach(session, **told, state="closed")
    breach(session, cert_in_told_on=NOW, board_told_on=NOW)
    assert run(session, 100 * HOUR) == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"noticed_on": NOW + HOUR}, "noticed_on"),
        ({"happened_on": NOW + HOUR}, "happened_on"),
        ({"board_told_on": NOW - HOUR}, "board_told_on"),
        ({"people_told_on": NOW + HOUR}, "people_told_on"),
        ({"people_count": -1}, "people_count"),
        ({"state": "closed"}, "board_told_on"),
    ],
)
def test_what_a_breach_must_be(session: Session, wrong: dict[str, Any], field: str) -> None:
    row = DataBreach(title="x", **({"noticed_on": NOW} | wrong))
    with pytest.raises(RuleBroken) as refused:
        data_breaches.complete(session, row, NOW)
    assert field in refused.value.errors


def test_of_two_downloads_of_a_copy_one_gets_it(session: Session) -> None:
    row = request(session, TODAY)
    run = export_and_import_runs.new_export(session, NewExport("person", "zip", {}), Stamp(None, NOW))
    data_requests.note_copy(session, row, run.id, Stamp(None, NOW))
    session.refresh(row)
    assert [data_requests.take_copy(session, row, Stamp(None, NOW)) for _twice in range(2)] == [True, False]
    data_requests.note_copy(session, row, run.id, Stamp(None, NOW))
    assert data_requests.take_copy(session, row, Stamp(None, NOW)), "a new copy can be taken"
