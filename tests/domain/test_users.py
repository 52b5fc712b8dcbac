"""Users: availability and reporting lines."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import round_robin
from app.domain.base import RuleBroken
from app.domain.people import teams, users
from app.models import User
from tests.factories import DAY, HOUR, NOW, user

ABSENCES = [
    ({}, None),
    ({"active": False}, "deactivated"),
    ({"available": False}, "not available"),
    ({"away_until": NOW + HOUR}, "away"),
    ({"away_until": NOW}, None),
    ({"leave_from": NOW}, "on leave"),
    ({"leave_from": NOW + HOUR}, None),
    ({"leave_from": NOW - DAY, "leave_to": NOW}, None),
    ({"leave_from": NOW - DAY, "leave_to": NOW + HOUR}, "on leave"),
]


@pytest.mark.parametrize("columns, reason", ABSENCES)
def test_why_a_user_takes_no_work(db: Session, columns: Any, reason: str | None) -> None:
    assert users.why_absent(user(db, "ana", "Sales User", **columns), NOW) == reason


def test_the_reporting_tree(db: Session) -> None:
    root = user(db, "root")
    mia = user(db, "mia", manager_id=root.id)
    ana = user(db, "ana", manager_id=mia.id)
    assert teams.reporting_tree(db, root.id) == {root.id, mia.id, ana.id}
    assert teams.reporting_tree(db, ana.id) == {ana.id}
    assert teams.managers_above(db, ana.id) == [mia.id, root.id]


def test_no_one_can_report_to_themselves_through_others(db: Session) -> None:
    mia = user(db, "mia")
    ana = user(db, "ana", manager_id=mia.id)
    for manager in (mia.id, ana.id):
        with pytest.raises(RuleBroken, match="report to themselves"):
            teams.refuse_cycle(db, mia.id, manager)
    teams.refuse_cycle(db, ana.id, mia.id)


def test_a_stored_cycle_does_not_loop_forever(db: Session) -> None:
    mia = user(db, "mia")
    ana = user(db, "ana", manager_id=mia.id)
    mia.manager_id = ana.id
    db.flush()
    assert teams.reporting_tree(db, mia.id) == {mia.id, ana.id} and teams.managers_above(db, ana.id) == [mia.id]


# --- previews


@pytest.mark.parametrize("columns, reason", ABSENCES)
def test_availability_is_the_same_in_sql(db: Session, columns: Any, reason: str | None) -> None:
    ana = user(db, "ana", **columns)
    found = db.scalars(select(User.id).where(User.id == ana.id, *users.available(NOW))).first()
    assert (found is None) == (reason is not None)


# --- What is stored and told


@pytest.mark.parametrize(
    "columns, expected",
    [
        ({"active": False, "away_until": NOW + DAY}, users.Absence("deactivated")),
        ({"available": False}, users.Absence("not available")),
        ({"away_until": NOW + HOUR}, users.Absence("away", NOW + HOUR)),
        ({"leave_from": NOW, "leave_to": NOW + DAY}, users.Absence("on leave", NOW + DAY)),
        ({"leave_from": NOW}, users.Absence("on leave")),
    ],
)
def test_an_absence_says_why_and_until_when(db: Session, columns: Any, expected: users.Absence) -> None:
    assert users.absence(user(db, "ana", **columns), NOW) == expected


@pytest.mark.parametrize(
    "refuse, field",
    [
        (lambda session: round_robin.set_next(session, "Sales User", 999, NOW), "user"),
        (lambda session: users.get_role(session, "Nobody"), "assign_to_role"),
        (lambda session: teams.refuse_cycle(session, user(session, "ana").id, 1), "manager"),
    ],
)
def test_each_refusal_names_its_field(db: Session, refuse: Any, field: str) -> None:
    with pytest.raises(RuleBroken) as refused:
        refuse(db)
    assert list(refused.value.errors) == [field]
    assert "Nobody" in str(refused.value) if field == "assign_to_role" else True


def test_the_active_admins(db: Session) -> None:
    ada = user(db, "ada", "Admin")
    user(db, "old", "Admin", active=False), user(db, "ana", "Sales User")
    assert users.active_admins(db) == [ada.id]
