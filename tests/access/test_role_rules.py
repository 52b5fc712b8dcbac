"""Every flush keeps the matrix and FAB's permissions equal, and nobody grants more than they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask_appbuilder.security.sqla.models import Permission, PermissionView, ViewMenu
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from app import access
from app.access import ADMIN, Denied, role_rules
from app.domain.audit_log.audit import PendingEntries
from app.domain.base import RuleBroken
from app.domain.persistence.row_effects import Rows
from app.domain.persistence.transaction_state import part_of
from app.models import FieldMask, Group, ModulePermission, Role, User
from tests.access.factories import person
from tests.factories import user

HELD = frozenset({("can_read", "Leads"), ("can_list", "Page")})


@pytest.fixture(autouse=True)
def actor(db: Session) -> Any:
    """The user with id 1, who makes all changes."""
    return user(db, "ana")


def save(session: Session, *rows: Any, **more: Any) -> None:
    """Flush the rows, as a person who holds HELD would, with the rules that every flush of the product runs."""
    actor = person(1, {"Leads.read": "team"}, fab_permissions=HELD, masks={"pan": "last4"}, **more)
    session.add_all(rows)
    with access.acting_as(session, actor), session.no_autoflush:
        role_rules.enforce(session, Rows())
    session.flush()
    role_rules.add_cells_of_new_roles(session, Rows())
    session.flush()


def named(session: Session, name: str) -> Any:
    return session.scalars(select(Role).where(Role.name == name)).one()


def fab(session: Session, name: str, view: str) -> Any:
    made = PermissionView(permission=Permission(name=name), view_menu=ViewMenu(name=view))
    session.add(made)
    session.flush()
    return made


def pairs(role: Any) -> list[tuple[str, str]]:
    return [(each.permission.name, each.view_menu.name) for each in role.permissions]


def cells(session: Session, role: Any) -> list[tuple[str, str, str]]:
    query = select(ModulePermission).where(ModulePermission.role_id == role.id).order_by(ModulePermission.id)
    return [(cell.module, cell.verb, cell.level) for cell in session.scalars(query)]


def cell(role: Any, level: str = "own", module: str = "Leads", verb: str = "read") -> ModulePermission:
    return ModulePermission(role_id=role.id, module=module, verb=verb, level=level)


def test_a_cell_gives_and_takes_fabs_permission(db: Session) -> None:
    role = named(db, "Compliance")
    made = cell(role)
    save(db, made)
    assert pairs(role) == [("can_read", "Leads")]
    made.level = "team"
    save(db)
    assert pairs(role) == [("can_read", "Leads")]
    made.level = "none"
    save(db)
    assert (pairs(role), cells(db, role)) == ([], [])
    made = cell(role)
    save(db, made)
    db.delete(made)
    save(db)
    assert (pairs(role), len(db.scalars(select(PermissionView)).all())) == ([], 1)


def test_existing_permissions_and_views_are_used_again(db: Session) -> None:
    fab(db, "can_read", "Tickets"), fab(db, "can_write", "Leads")
    save(db, cell(named(db, "Compliance")))
    assert len(db.scalars(select(Permission)).all()) == len(db.scalars(select(ViewMenu)).all()) == 2


def test_fabs_permission_gives_and_takes_a_cell(db: Session) -> None:
    role, read, page = named(db, "Compliance"), fab(db, "can_read", "Leads"), fab(db, "can_list", "Page")
    role.permissions = [read, page]
    save(db)
    assert cells(db, role) == [("Leads", "read", "own")]
    role.permissions = [page]
    save(db)
    assert cells(db, role) == []


def test_a_cell_that_is_there_keeps_its_level(db: Session) -> None:
    role, read = named(db, "Compliance"), fab(db, "can_read", "Leads")
    db.add(cell(role, "team"))
    db.flush()
    role.permissions = [read]
    save(db)
    assert cells(db, role) == [("Leads", "read", "team")]


def test_a_new_role_gets_its_cells_once_it_has_an_id(db: Session) -> None:
    role = Role(name="Trainee", permissions=[fab(db, "can_read", "Leads"), fab(db, "can_list", "Page")])
    save(db, role)
    assert cells(db, role) == [("Leads", "read", "own")]


GRANTS: dict[str, Callable[[Session, Any], Any]] = {
    "a higher level": lambda session, role: session.add(cell(role, "all")),
    "another module": lambda session, role: session.add(cell(role, module="Tickets")),
    "a wider mask": lambda session, role: session.add(FieldMask(role_id=role.id, field="pan", level="full")),
    "a page": lambda session, role: role.permissions.append(fab(session, "can_edit", "Page")),
    "another name for Admin": lambda session, role: setattr(named(session, ADMIN), "name", "Boss"),
    "the name of Public": lambda session, role: setattr(role, "name", "Public"),
    "Admin": lambda session, role: session.get_one(User, 1).roles.append(named(session, ADMIN)),
}
ALLOWED: dict[str, Callable[[Session, Any], Any]] = {
    "the same level": lambda session, role: session.add(cell(role, "team")),
    "the same mask": lambda session, role: session.add(FieldMask(role_id=role.id, field="pan", level="last4")),
    "a page of one's own": lambda session, role: role.permissions.append(fab(session, "can_list", "Page")),
    "another name": lambda session, role: setattr(role, "name", "Auditors"),
}


@pytest.mark.parametrize("what", GRANTS)
def test_nobody_grants_more_than_they_hold(db: Session, what: str) -> None:
    with db.no_autoflush:
        GRANTS[what](db, named(db, "Compliance"))
        with pytest.raises(Denied):
            save(db)


@pytest.mark.parametrize("what", [*GRANTS, *ALLOWED])
def test_admins_grant_anything_and_others_what_they_hold(db: Session, what: str) -> None:
    with db.no_autoflush:
        (GRANTS | ALLOWED)[what](db, named(db, "Compliance"))
        save(db, roles=frozenset({ADMIN} if what in GRANTS else {"Sales User"}))


def test_taking_away_is_always_allowed(db: Session) -> None:
    role = named(db, "Compliance")
    rows = [cell(role, "all"), FieldMask(role_id=role.id, field="pan", level="full")]
    db.add_all(rows)
    db.flush()
    for each in rows:
        db.delete(each)
    save(db)
    assert cells(db, role) == []


WAYS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "a user's role": lambda role, someone, group: someone.roles.append(role),
    "a user's group": lambda role, someone, group: someone.groups.append(group),
    "a group's role": lambda role, someone, group: group.roles.append(role),
    "a group's user": lambda role, someone, group: group.users.append(someone),
    "a role's user": lambda role, someone, group: role.user.append(someone),
    "a role's group": lambda role, someone, group: role.groups.append(group),
}
HOLDINGS: dict[str, Callable[[Session, Any], Any]] = {
    "a level": lambda session, role: cell(role, "all"),
    "a mask": lambda session, role: FieldMask(role_id=role.id, field="aadhaar", level="last4"),
    "no more": lambda session, role: cell(role, "team"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_role_of_people_who_are_not_signed_in_is_given_to_nobody_by_anybody(db: Session, way: str) -> None:
    role, someone, group = Role(name="Public"), user(db, "dev", manager_id=1), Group(name="Desk", label="Desk")
    db.add_all([role, group])
    if way in ("a user's group", "a group's user"):
        group.roles.append(role)
    db.flush()
    with db.no_autoflush, pytest.raises(RuleBroken, match="aren't signed in"):
        WAYS[way](role, someone, group)
        role_rules.enforce(db, Rows())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("holding", HOLDINGS)
def test_a_role_that_holds_more_is_granted_on_no_way(db: Session, way: str, holding: str) -> None:
    role, someone, group = (
        named(db, "Compliance"),
        user(db, "dev", manager_id=1),
        Group(name="Desk", label="Desk"),
    )
    db.add_all([group, HOLDINGS[holding](db, role)])
    if way in ("a user's group", "a group's user"):
        group.roles.append(role)
    db.flush()
    with db.no_autoflush:
        WAYS[way](role, someone, group)
        if holding == "no more":
            save(db)
        else:
            with pytest.raises(Denied, match=r"Compliance: "):
                save(db)


def test_a_role_with_other_pages_is_not_granted(db: Session) -> None:
    role, someone = named(db, "Compliance"), user(db, "dev")
    role.permissions.append(fab(db, "can_edit", "Page"))
    db.flush()
    with db.no_autoflush, pytest.raises(Denied, match="Compliance: pages"):
        someone.roles.append(role)
        save(db)


@pytest.mark.parametrize(
    "is_self, roles, is_refused", [(False, [ADMIN], True), (True, [ADMIN], False), (False, [], False)]
)
def test_an_administrators_account_is_changed_by_administrators_only(
    db: Session, actor: Any, is_self: bool, roles: list[str], is_refused: bool
) -> None:
    changed = actor if is_self else user(db, "dev", manager_id=1)
    changed.roles = [named(db, name) for name in roles]
    db.flush()
    changes: list[dict[str, Any]] = [{"first_name": "New"}, *([] if is_self else [{"roles": []}])]
    for change in changes:
        with db.no_autoflush:
            for name, value in change.items():
                setattr(changed, name, value)
            if is_refused:
                with pytest.raises(Denied, match="admin's account"):
                    save(db)
                db.expire(changed)
            else:
                save(db)


LOSSES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "a user's role": lambda role, someone, group: someone.roles.remove(role),
    "other roles": lambda role, someone, group: setattr(someone, "roles", []),
    "a role's user": lambda role, someone, group: role.user.remove(someone),
    "a user's group": lambda role, someone, group: someone.groups.remove(group),
    "a group's user": lambda role, someone, group: group.users.remove(someone),
    "a group's role": lambda role, someone, group: group.roles.remove(role),
    "a deleted role": lambda role, someone, group: inspect(role).session.delete(role),
    "a deleted role of a group": lambda role, someone, group: inspect(role).session.delete(role),
    "a deleted group": lambda role, someone, group: inspect(group).session.delete(group),
}


def demanded(session: Session, way: str) -> tuple[Any, Any, Any]:
    """A role that demands two factors, somebody who has it in this way, and the group through which they do."""
    role, someone, group = (
        named(session, "Compliance"),
        user(session, "dev", manager_id=1),
        Group(name="Desk", label="Desk"),
    )
    session.add(group)
    session.flush()
    role.needs_two_factor = True
    (group if "group" in way else someone).roles.append(role)
    someone.groups.append(group)
    session.flush()
    return role, someone, group


@pytest.mark.parametrize("way", LOSSES)
def test_only_an_admin_takes_somebody_out_of_the_last_role_that_demands_two_factors(db: Session, way: str) -> None:
    role, someone, group = demanded(db, way)
    with db.no_autoflush:
        LOSSES[way](role, someone, group)
        with pytest.raises(Denied, match="two-factor"):
            save(db)
        save(db, roles=frozenset({ADMIN}))
    written = part_of(db, PendingEntries).entries[-1]  # stored at the commit
    assert (written.event, written.payload) == ("user change", {"what": "two factors", "needed": False})


@pytest.mark.parametrize("way", LOSSES)
def test_another_role_that_demands_two_factors_lets_one_go(db: Session, way: str) -> None:
    role, someone, group = demanded(db, way)
    other = Role(name="Desk lead", needs_two_factor=True)
    someone.roles.append(other)
    db.add(other)
    db.flush()
    with db.no_autoflush:
        LOSSES[way](role, someone, group)
        someone.roles = [*someone.roles] if other in someone.roles else [other]
        save(db)
