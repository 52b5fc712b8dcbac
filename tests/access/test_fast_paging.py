"""Paging person by person finds the same rows as the access rule, newest first."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.access import MAX_BRANCHES, count_by_person, ids_by_person
from app.access.fast_paging import _branches
from app.models import Assignment, CallLog, Lead, Ticket
from tests.access.makers import person, row, seen
from tests.makers import NOW, lead, ticket, user


def ids(session: Session, *arguments: Any) -> list[int]:
    query = ids_by_person(*arguments)
    assert query is not None
    return sorted(session.scalars(query))


@pytest.fixture
def rows(office: Session) -> list[Any]:
    """Ana's as assignee, Ana's as owner, Ben's, and two tickets on which Ana is or was one of several assignees."""
    ana, ben = user(office, "ana"), user(office, "ben")
    made = [ticket(office, ben) for _ in range(5)]
    made[0].assignee_id = made[1].owner_id = ana.id
    row(office, Assignment, ticket_id=made[3].id, user_id=ana.id, open_key="a")
    row(office, Assignment, ticket_id=made[4].id, user_id=ana.id, ended_on=NOW)
    row(office, Assignment, lead_id=lead(office).id, user_id=ana.id, open_key="b")
    office.flush()
    return made


def who(office: Session, *names: str, module: str = "Tickets") -> Any:
    keys = [made.id for made in office.query(type(user(office, "x"))).all() if made.username in names]
    return person(keys[0], {f"{module}.read": "team"}, team=tuple(keys[1:]))


@pytest.mark.parametrize("names", [("ana",), ("ben",), ("ana", "ben"), ("x",)])
def test_the_same_tickets_as_by_the_access_rule(office: Session, rows: list[Any], names: Any) -> None:
    viewer = who(office, *names)
    assert set(ids(office, viewer, Ticket, [], 50)) == seen(office, viewer, Ticket)
    assert office.scalar(count_by_person(viewer, Ticket, [], 50)) == len(seen(office, viewer, Ticket))


def test_each_branch_is_limited_to_its_newest_rows(office: Session, rows: list[Any]) -> None:
    assert ids(office, who(office, "ben"), Ticket, [], 2) == [each.id for each in rows[-2:]]


def test_conditions_apply_to_every_branch(office: Session, rows: list[Any]) -> None:
    viewer, condition = who(office, "ana"), Ticket.id != rows[1].id
    assert ids(office, viewer, Ticket, [condition], 50) == [rows[0].id, rows[3].id]
    assert office.scalar(count_by_person(viewer, Ticket, [condition], 50)) == 2


@pytest.mark.parametrize("cap, expected", [(1, 1), (2, 2), (3, 3), (4, 3)])
def test_the_count_stops_at_the_cap(office: Session, rows: list[Any], cap: int, expected: int) -> None:
    assert office.scalar(count_by_person(who(office, "ana"), Ticket, [], cap)) == expected


def test_leads_are_found_by_owner_and_assignee(office: Session) -> None:
    ana = user(office, "ana")
    own, _ = lead(office, ana), lead(office)
    assert ids(office, who(office, "ana", module="Leads"), Lead, [], 50) == [own.id]
    assert len(_branches(person(ana.id, {"Leads.read": "own"}), Lead, [], 5)) == 2


@pytest.mark.parametrize(
    "viewer, record",
    [
        (person(1, {"Leads.read": "all"}), Lead),
        (person(1), Lead),
        (person(1, {"Call Logs.read": "own"}), CallLog),
        (person(1, {"Leads.read": "team"}, team=tuple(range(2, MAX_BRANCHES + 2))), Lead),
    ],
)
def test_without_that_shape_there_is_no_statement(viewer: Any, record: Any) -> None:
    assert ids_by_person(viewer, record, [], 5) is None
    assert count_by_person(viewer, record, [], 5) is None


def test_up_to_the_maximum_of_people_are_looked_up_one_by_one() -> None:
    team = tuple(range(2, MAX_BRANCHES + 1))
    assert ids_by_person(person(1, {"Leads.read": "team"}, team=team), Lead, [], 5) is not None
