"""Round robin: whose turn it is, who is skipped, and the pointer."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import round_robin
from app.domain.base import RuleBroken
from app.domain.people import users
from app.models import Group, ModulePermission, Role
from tests.factories import DAY, HOUR, NOW, user, without_hooks


def take_turns(session: Session, count: int, without: frozenset[int] = frozenset()) -> list[int | None]:
    return [round_robin.take_turn(session, "Sales User", NOW, without).user_id for _ in range(count)]


def test_turns_go_round(db: Session) -> None:
    ids = [user(db, name, "Sales User").id for name in ("ana", "ben", "dev")]
    assert take_turns(db, 7) == [*ids, *ids, ids[0]]


def test_a_new_user_joins_the_round(db: Session) -> None:
    ana, ben = (user(db, name, "Sales User").id for name in ("ana", "ben"))
    assert take_turns(db, 2) == [ana, ben]
    dev = user(db, "dev", "Sales User").id
    assert take_turns(db, 3) == [dev, ana, ben]


def test_a_member_through_a_group_has_turns(db: Session) -> None:
    ana, dev = user(db, "ana", "Sales User"), user(db, "dev")
    group = Group(name="west", roles=list(ana.roles))
    db.add(group)
    dev.groups = [group]
    db.flush()
    assert take_turns(db, 2) == [ana.id, dev.id]


def test_absent_users_are_skipped_with_the_reason(db: Session) -> None:
    ana, ben = user(db, "ana", "Sales User", available=False), user(db, "ben", "Sales User")
    decision = round_robin.take_turn(db, "Sales User", NOW)
    assert (decision.user_id, decision.skipped) == (ben.id, {ana.id: "not available"})
    assert decision.as_json()["skipped"] == [{"user": ana.id, "why": "not available"}]


def test_a_delegate_takes_the_turn_during_the_leave(db: Session) -> None:
    dev = user(db, "dev", "Support User")
    user(db, "ana", "Sales User", leave_from=NOW - DAY, leave_to=NOW + DAY, delegate_id=dev.id)
    assert take_turns(db, 2) == [dev.id, dev.id]


def test_an_absent_delegate_takes_no_turn(db: Session) -> None:
    dev = user(db, "dev", available=False)
    user(db, "ana", "Sales User", leave_from=NOW - DAY, delegate_id=dev.id)
    assert take_turns(db, 1) == [None]


def test_excluded_users_get_no_turn(db: Session) -> None:
    ana, ben = (user(db, name, "Sales User").id for name in ("ana", "ben"))
    assert take_turns(db, 2, frozenset({ana})) == [ben, ben]
    assert take_turns(db, 1, frozenset({ana, ben})) == [None]


def test_a_missing_role_is_refused_and_an_empty_one_has_no_turn(db: Session) -> None:
    with pytest.raises(RuleBroken, match="no role named"):
        round_robin.take_turn(db, "Nobody", NOW)
    db.add(Role(name="Empty"))
    db.flush()
    assert round_robin.take_turn(db, "Empty", NOW).user_id is None


def line_of(session: Session) -> round_robin.RoundRobinLine:
    role = users.get_role(session, "Sales User")
    pointer = session.scalars(select(round_robin.RoundRobin).where(round_robin.RoundRobin.role_id == role.id)).first()
    return round_robin.load_line(session, role, pointer.last_user_id if pointer else None)


def test_the_preview_is_right_and_moves_nothing(db: Session) -> None:
    dev = user(db, "dev", "Support User")
    away = {"leave_from": NOW - DAY, "leave_to": NOW + DAY, "delegate_id": dev.id}
    user(db, "ana", "Sales User", **away)
    user(db, "ben", "Sales User", available=False)
    user(db, "cy", "Sales User")
    take_turns(db, 1)
    foreseen = round_robin.preview_turns(line_of(db), NOW, 10)
    assert foreseen == round_robin.preview_turns(line_of(db), NOW, 10)
    given = [round_robin.take_turn(db, "Sales User", NOW) for _ in range(10)]
    assert foreseen == given and {each.substitute_for for each in foreseen} == {None, given[1].substitute_for}


def test_without_available_users_the_preview_is_empty(db: Session) -> None:
    user(db, "ana", "Sales User", active=False)
    assert round_robin.preview_turns(line_of(db), NOW, 10) == []


def test_the_next_turn_can_be_set(db: Session) -> None:
    ids = [user(db, name, "Sales User").id for name in ("ana", "ben", "dev")]
    take_turns(db, 2)
    for chosen in (*ids, None):
        round_robin.set_next(db, "Sales User", chosen, NOW + HOUR)
        assert take_turns(db, 1) == [chosen or ids[0]]


def test_the_next_turn_can_only_go_to_a_member(db: Session) -> None:
    user(db, "ana", "Sales User")
    with pytest.raises(RuleBroken, match="doesn't have the role"):
        round_robin.set_next(db, "Sales User", user(db, "cleo", "Support User").id, NOW)


def test_a_decision_shows_until_when_a_user_is_absent(db: Session) -> None:
    ana = user(db, "ana", "Sales User", leave_from=NOW - DAY, leave_to=NOW + DAY)
    user(db, "ben", "Sales User")
    (skipped,) = round_robin.take_turn(db, "Sales User", NOW).as_json()["skipped"]
    assert skipped == {"user": ana.id, "why": "on leave", "until": (NOW + DAY).isoformat()}


def test_each_turn_is_counted_and_moves_the_pointer(db: Session) -> None:
    ana = user(db, "ana", "Sales User")
    for at in (NOW, NOW + HOUR):
        round_robin.take_turn(db, "Sales User", at)
    pointer = db.scalars(select(round_robin.RoundRobin)).one()
    assert (pointer.turns, pointer.last_user_id, pointer.changed_on) == (2, ana.id, NOW + HOUR)
    round_robin.take_turn(db, "Sales User", NOW + DAY, frozenset({ana.id}))
    assert (pointer.turns, pointer.changed_on) == (2, NOW + HOUR)
    round_robin.set_next(db, "Sales User", ana.id, NOW + DAY)
    assert (pointer.turns, pointer.last_user_id, pointer.changed_on) == (2, None, NOW + DAY)


def test_a_substitutes_turn_moves_the_pointer_past_the_user_on_leave(db: Session) -> None:
    dev = user(db, "dev")
    ana = user(db, "ana", "Sales User", leave_from=NOW, delegate_id=dev.id)
    decision = round_robin.take_turn(db, "Sales User", NOW)
    assert (decision.user_id, decision.substitute_for, decision.role) == (dev.id, ana.id, "Sales User")
    assert db.scalars(select(round_robin.RoundRobin.last_user_id)).all() == [ana.id]
    assert decision.as_json()["candidates"] == [ana.id] and decision.as_json()["role"] == "Sales User"


def test_a_round_robin_exists_for_roles_that_edit_leads_or_tickets_or_had_a_turn(db: Session) -> None:
    with without_hooks():
        ids = {role.name: role.id for role in db.scalars(select(Role))}
        cells = [
            ("Compliance", "Leads", "read", "all"),
            ("Support User", "Tickets", "write", "own"),
            ("Sales User", "Leads", "write", "own"),
            ("Sales Manager", "Leads", "write", "none"),
            ("Admin", "Customers", "write", "all"),
        ]
        for name, module, verb, level in cells:
            db.add(ModulePermission(role_id=ids[name], module=module, verb=verb, level=level))
        user(db, "ana", "Sales User"), user(db, "mia", "Sales Manager")
        for name in ("Sales User", "Sales Manager"):
            round_robin.take_turn(db, name, NOW)
        found = {role.name: pointer.turns if pointer else None for role, pointer in round_robin.roles_in_use(db)}
        assert list(found.items()) == [("Sales Manager", 1), ("Sales User", 1), ("Support User", None)]
