"""Users: round robin, availability and reporting lines."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import team
from app.domain.base import RuleBroken
from app.models import Group, ModulePermission, Role, User
from tests.factories import DAY, HOUR, NOW, user, without_hooks

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
def test_why_a_user_takes_no_work(office: Session, columns: Any, reason: str | None) -> None:
    assert team.why_absent(user(office, "ana", "Sales User", **columns), NOW) == reason


def take_turns(session: Session, count: int, without: frozenset[int] = frozenset()) -> list[int | None]:
    return [team.take_turn(session, "Sales User", NOW, without).user_id for _ in range(count)]


def test_turns_go_round(office: Session) -> None:
    ids = [user(office, name, "Sales User").id for name in ("ana", "ben", "dev")]
    assert take_turns(office, 7) == [*ids, *ids, ids[0]]


def test_a_new_user_joins_the_round(office: Session) -> None:
    ana, ben = (user(office, name, "Sales User").id for name in ("ana", "ben"))
    assert take_turns(office, 2) == [ana, ben]
    dev = user(office, "dev", "Sales User").id
    assert take_turns(office, 3) == [dev, ana, ben]


def test_a_member_through_a_group_has_turns(office: Session) -> None:
    ana, dev = user(office, "ana", "Sales User"), user(office, "dev")
    group = Group(name="west", roles=list(ana.roles))
    office.add(group)
    dev.groups = [group]
    office.flush()
    assert take_turns(office, 2) == [ana.id, dev.id]


def test_absent_users_are_skipped_with_the_reason(office: Session) -> None:
    ana, ben = user(office, "ana", "Sales User", available=False), user(office, "ben", "Sales User")
    decision = team.take_turn(office, "Sales User", NOW)
    assert (decision.user_id, decision.skipped) == (ben.id, {ana.id: "not available"})
    assert decision.as_json()["skipped"] == [{"user": ana.id, "why": "not available"}]


def test_a_delegate_takes_the_turn_during_the_leave(office: Session) -> None:
    dev = user(office, "dev", "Support User")
    user(office, "ana", "Sales User", leave_from=NOW - DAY, leave_to=NOW + DAY, delegate_id=dev.id)
    assert take_turns(office, 2) == [dev.id, dev.id]


def test_an_absent_delegate_takes_no_turn(office: Session) -> None:
    dev = user(office, "dev", available=False)
    user(office, "ana", "Sales User", leave_from=NOW - DAY, delegate_id=dev.id)
    assert take_turns(office, 1) == [None]


def test_excluded_users_get_no_turn(office: Session) -> None:
    ana, ben = (user(office, name, "Sales User").id for name in ("ana", "ben"))
    assert take_turns(office, 2, frozenset({ana})) == [ben, ben]
    assert take_turns(office, 1, frozenset({ana, ben})) == [None]


def test_a_missing_role_is_refused_and_an_empty_one_has_no_turn(office: Session) -> None:
    with pytest.raises(RuleBroken, match="no role named"):
        team.take_turn(office, "Nobody", NOW)
    office.add(Role(name="Empty"))
    office.flush()
    assert team.take_turn(office, "Empty", NOW).user_id is None


def test_the_reporting_tree(office: Session) -> None:
    root = user(office, "root")
    mia = user(office, "mia", manager_id=root.id)
    ana = user(office, "ana", manager_id=mia.id)
    assert team.reporting_tree(office, root.id) == {root.id, mia.id, ana.id}
    assert team.reporting_tree(office, ana.id) == {ana.id}
    assert team.managers_above(office, ana.id) == [mia.id, root.id]


def test_no_one_can_report_to_themselves_through_others(office: Session) -> None:
    mia = user(office, "mia")
    ana = user(office, "ana", manager_id=mia.id)
    for manager in (mia.id, ana.id):
        with pytest.raises(RuleBroken, match="report to themselves"):
            team.refuse_cycle(office, mia.id, manager)
    team.refuse_cycle(office, ana.id, mia.id)


def test_a_stored_cycle_does_not_loop_forever(office: Session) -> None:
    mia = user(office, "mia")
    ana = user(office, "ana", manager_id=mia.id)
    mia.manager_id = ana.id
    office.flush()
    assert team.reporting_tree(office, mia.id) == {mia.id, ana.id} and team.managers_above(office, ana.id) == [mia.id]


# --- previews


def line_of(session: Session) -> team.RoundRobinLine:
    role = team.get_role(session, "Sales User")
    pointer = session.scalars(select(team.RoundRobin).where(team.RoundRobin.role_id == role.id)).first()
    return team.load_line(session, role, pointer.last_user_id if pointer else None)


def test_the_preview_is_right_and_moves_nothing(office: Session) -> None:
    dev = user(office, "dev", "Support User")
    away = {"leave_from": NOW - DAY, "leave_to": NOW + DAY, "delegate_id": dev.id}
    user(office, "ana", "Sales User", **away)
    user(office, "ben", "Sales User", available=False)
    user(office, "cy", "Sales User")
    take_turns(office, 1)
    foreseen = team.preview_turns(line_of(office), NOW, 10)
    assert foreseen == team.preview_turns(line_of(office), NOW, 10)
    given = [team.take_turn(office, "Sales User", NOW) for _ in range(10)]
    assert foreseen == given and {each.substitute_for for each in foreseen} == {None, given[1].substitute_for}


def test_without_available_users_the_preview_is_empty(office: Session) -> None:
    user(office, "ana", "Sales User", active=False)
    assert team.preview_turns(line_of(office), NOW, 10) == []


def test_the_next_turn_can_be_set(office: Session) -> None:
    ids = [user(office, name, "Sales User").id for name in ("ana", "ben", "dev")]
    take_turns(office, 2)
    for chosen in (*ids, None):
        team.set_next(office, "Sales User", chosen, NOW + HOUR)
        assert take_turns(office, 1) == [chosen or ids[0]]


def test_the_next_turn_can_only_go_to_a_member(office: Session) -> None:
    user(office, "ana", "Sales User")
    with pytest.raises(RuleBroken, match="doesn't have the role"):
        team.set_next(office, "Sales User", user(office, "cleo", "Support User").id, NOW)


def test_a_decision_shows_until_when_a_user_is_absent(office: Session) -> None:
    ana = user(office, "ana", "Sales User", leave_from=NOW - DAY, leave_to=NOW + DAY)
    user(office, "ben", "Sales User")
    (skipped,) = team.take_turn(office, "Sales User", NOW).as_json()["skipped"]
    assert skipped == {"user": ana.id, "why": "on leave", "until": (NOW + DAY).isoformat()}


@pytest.mark.parametrize("columns, reason", ABSENCES)
def test_availability_is_the_same_in_sql(office: Session, columns: Any, reason: str | None) -> None:
    ana = user(office, "ana", **columns)
    found = office.scalars(select(User.id).where(User.id == ana.id, *team.available(NOW))).first()
    assert (found is None) == (reason is not None)


# --- What is stored and told


@pytest.mark.parametrize(
    "columns, expected",
    [
        ({"active": False, "away_until": NOW + DAY}, team.Absence("deactivated")),
        ({"available": False}, team.Absence("not available")),
        ({"away_until": NOW + HOUR}, team.Absence("away", NOW + HOUR)),
        ({"leave_from": NOW, "leave_to": NOW + DAY}, team.Absence("on leave", NOW + DAY)),
        ({"leave_from": NOW}, team.Absence("on leave")),
    ],
)
def test_an_absence_says_why_and_until_when(office: Session, columns: Any, expected: team.Absence) -> None:
    assert team.absence(user(office, "ana", **columns), NOW) == expected


def test_each_turn_is_counted_and_moves_the_pointer(office: Session) -> None:
    ana = user(office, "ana", "Sales User")
    for at in (NOW, NOW + HOUR):
        team.take_turn(office, "Sales User", at)
    pointer = office.scalars(select(team.RoundRobin)).one()
    assert (pointer.turns, pointer.last_user_id, pointer.changed_on) == (2, ana.id, NOW + HOUR)
    team.take_turn(office, "Sales User", NOW + DAY, frozenset({ana.id}))
    assert (pointer.turns, pointer.changed_on) == (2, NOW + HOUR)
    team.set_next(office, "Sales User", ana.id, NOW + DAY)
    assert (pointer.turns, pointer.last_user_id, pointer.changed_on) == (2, None, NOW + DAY)


def test_a_substitutes_turn_moves_the_pointer_past_the_user_on_leave(office: Session) -> None:
    dev = user(office, "dev")
    ana = user(office, "ana", "Sales User", leave_from=NOW, delegate_id=dev.id)
    decision = team.take_turn(office, "Sales User", NOW)
    assert (decision.user_id, decision.substitute_for, decision.role) == (dev.id, ana.id, "Sales User")
    assert office.scalars(select(team.RoundRobin.last_user_id)).all() == [ana.id]
    assert decision.as_json()["candidates"] == [ana.id] and decision.as_json()["role"] == "Sales User"


@pytest.mark.parametrize(
    "refuse, field",
    [
        (lambda session: team.set_next(session, "Sales User", 999, NOW), "user"),
        (lambda session: team.get_role(session, "Nobody"), "assign_to_role"),
        (lambda session: team.refuse_cycle(session, user(session, "ana").id, 1), "manager"),
    ],
)
def test_each_refusal_names_its_field(office: Session, refuse: Any, field: str) -> None:
    with pytest.raises(RuleBroken) as refused:
        refuse(office)
    assert list(refused.value.errors) == [field]
    assert "Nobody" in str(refused.value) if field == "assign_to_role" else True


def test_a_round_robin_exists_for_roles_that_edit_leads_or_tickets_or_had_a_turn(office: Session) -> None:
    with without_hooks():
        ids = {role.name: role.id for role in office.scalars(select(Role))}
        cells = [
            ("Compliance", "Leads", "read", "all"),
            ("Support User", "Tickets", "write", "own"),
            ("Sales User", "Leads", "write", "own"),
            ("Sales Manager", "Leads", "write", "none"),
            ("Admin", "Customers", "write", "all"),
        ]
        for name, module, verb, level in cells:
            office.add(ModulePermission(role_id=ids[name], module=module, verb=verb, level=level))
        user(office, "ana", "Sales User"), user(office, "mia", "Sales Manager")
        for name in ("Sales User", "Sales Manager"):
            team.take_turn(office, name, NOW)
        found = {role.name: pointer.turns if pointer else None for role, pointer in team.roles_in_use(office)}
        assert list(found.items()) == [("Sales Manager", 1), ("Sales User", 1), ("Support User", None)]


def test_the_active_admins(office: Session) -> None:
    ada = user(office, "ada", "Admin")
    user(office, "old", "Admin", active=False), user(office, "ana", "Sales User")
    assert team.active_admins(office) == [ada.id]
