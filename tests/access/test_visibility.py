"""Which of several people see a row: the same result as each person's access rules."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.access import load_person, users_who_see, visibility
from app.models import FieldMask, Group, ModulePermission, Role
from tests.factories import DAY, MINUTE, NOW, lead, user


@pytest.fixture
def people(db: Session) -> dict[str, Any]:
    """Ana reports to Mia, Mia to Max; Ben is Ana's delegate; Dev has the same role but no part in it."""
    role = db.query(Role).filter_by(name="Sales User").one()
    for verb, level in (("read", "team"), ("assign", "own")):
        db.add(ModulePermission(role_id=role.id, module="Leads", verb=verb, level=level))
    found: dict[str, Any] = {"max": user(db, "max", "Sales User")}
    found["mia"] = user(db, "mia", "Sales User", manager_id=found["max"].id)
    found["ben"], found["dev"] = user(db, "ben", "Sales User"), user(db, "dev", "Sales User")
    found["ana"] = user(db, "ana", "Sales User", manager_id=found["mia"].id, delegate_id=found["ben"].id)
    return found


def names(db: Session, people: dict[str, Any], now: Any = NOW) -> list[str]:
    """Who of the people sees Ana's lead; everybody has one of their own."""
    for each in people.values():
        lead(db, each)
    ids = users_who_see(db, [each.id for each in people.values()], lead(db, people["ana"]), now)
    return sorted(name for name, each in people.items() if each.id in ids)


def test_the_assignee_and_their_managers_see_a_lead(db: Session, people: Any) -> None:
    assert names(db, people) == ["ana", "max", "mia"]


@pytest.mark.parametrize(
    "starts, ends, expected",
    [
        (NOW, None, True),
        (NOW + MINUTE, None, False),
        (NOW - DAY, NOW + MINUTE, True),
        (NOW - DAY, NOW, False),
    ],
)
def test_a_delegate_sees_it_during_the_leave(db: Session, people: Any, starts: Any, ends: Any, expected: bool) -> None:
    people["ana"].leave_from, people["ana"].leave_to = starts, ends
    db.flush()
    assert ("ben" in names(db, people)) is expected


def test_inactive_users_and_those_without_the_role_see_nothing(db: Session, people: Any) -> None:
    people["mia"].active, people["max"].roles = False, []
    db.flush()
    assert names(db, people) == ["ana"]


def test_the_highest_level_of_all_roles_counts_also_those_of_groups(db: Session, people: Any) -> None:
    audit = db.query(Role).filter_by(name="Compliance").one()
    db.add(ModulePermission(role_id=audit.id, module="Leads", verb="read", level="all"))
    db.add(Group(name="Auditors", label="Auditors", roles=[audit], users=[people["dev"]]))
    db.flush()
    assert names(db, people) == ["ana", "dev", "max", "mia"]


def test_admins_see_everything(db: Session, people: Any) -> None:
    people["dev"].roles = [db.query(Role).filter_by(name="Admin").one()]
    db.flush()
    assert "dev" in names(db, people)


def test_only_the_first_users_count_each_of_them_once(
    db: Session, people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "MAX_USERS", 2)
    about, ana, mia, other = lead(db, people["ana"]), people["ana"].id, people["mia"].id, people["max"].id
    assert users_who_see(db, [ana, ana, mia, other], about, NOW) == {ana, mia}
    assert users_who_see(db, [], about, NOW) == users_who_see(db, [-1], about, NOW) == frozenset()


def test_a_person_has_the_rights_of_their_roles_and_groups_and_the_reach_of_whom_they_replace(
    db: Session, people: dict[str, Any]
) -> None:
    role = Role(name="Desk")
    db.add_all((role, Group(name="desk", label="Desk", description="", roles=[role], users=[people["ben"]])))
    db.flush()
    db.add(ModulePermission(role_id=role.id, module="Leads", verb="assign", level="all"))
    db.add_all(
        FieldMask(role_id=role.id, field=field, level=level) for field, level in (("pan", "last4"), ("x", "full"))
    )
    people["ana"].leave_from, people["ana"].leave_to = NOW, NOW + DAY
    ana, mia, ben = people["ana"].id, people["mia"].id, people["ben"].id
    who = load_person(db, ben, NOW)
    assert who.roles == {"Sales User", "Desk"}
    assert (who.levels["Leads", "read"], who.levels["Leads", "assign"]) == ("team", "all")
    assert who.masks == {"pan": "last4", "x": "full"}
    assert who.own_ids == who.team_ids == {ana, ben}
    assert load_person(db, ben, NOW + 2 * DAY).own_ids == {ben}
    assert load_person(db, mia, NOW).team_ids == {mia, ana}
    assert load_person(db, people["max"].id, NOW).levels["Leads", "assign"] == "own"
