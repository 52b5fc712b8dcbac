"""Which of several people see a row: the access rules of all of them in a fixed number of statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from flask_appbuilder.security.sqla.models import assoc_group_role, assoc_user_group, assoc_user_role
from sqlalchemy import ColumnElement, literal, select, true, union_all
from sqlalchemy.orm import Session, aliased

from app.access.paging.reach_branches import HOLDERS
from app.access.person import Person
from app.access.rights_cache import highest_levels
from app.access.row_rules import MODULE_OF, has_own_rule, reads_all, visible, visible_alias
from app.access.system_session import as_system
from app.domain.people.users import is_on_leave
from app.models import ModulePermission, Role, User

#: The most users of one call; each is a branch of the statement.
MAX_USERS = 100


def users_who_see(session: Session, user_ids: Iterable[int], row: Any, now: datetime) -> frozenset[int]:
    """Those of the users (the first MAX_USERS) who are active and see this stored row; at most five statements."""
    ids = list(dict.fromkeys(user_ids))[:MAX_USERS]
    if not ids:
        return frozenset()
    record = type(row)
    with as_system(session):
        people = list(_people(session, ids, now))
        parts = [select(literal(each.id)).where(record.id == row.id, visible(each, record)) for each in people]
        return frozenset(session.scalars(union_all(*parts))) if parts else frozenset()


def sees_as_holder(person: Person, row: Any) -> bool:
    """Whether the person sees this stored row because of who holds it; False = only the database can tell."""
    record = type(row)
    if not has_own_rule(record) or record not in HOLDERS:
        return False
    reach = person.reach(MODULE_OF[record])
    return reach is None or any(getattr(row, name) in reach for name in HOLDERS[record])


def _people(session: Session, ids: list[int], now: datetime) -> Iterator[Person]:
    """The active users with the rights that decide over rows: without masks and FAB's permissions."""
    users = {user.id: user for user in session.execute(_USERS)}
    roles = _roles(session, ids)
    role_ids = {role_id for each in roles.values() for role_id in each}
    cells = list(session.scalars(select(ModulePermission).where(ModulePermission.role_id.in_(role_ids))))
    for key in ids:
        if key not in users or not users[key].active:
            continue
        own_ids = frozenset({key, *(user.id for user in users.values() if _is_substituted_by(user, key, now))})
        own_roles = roles.get(key, {})
        yield Person(
            id=key,
            username=users[key].username,
            full_name="",
            roles=frozenset(own_roles.values()),
            masks={},
            own_ids=own_ids,
            levels=highest_levels(cell for cell in cells if cell.role_id in own_roles),
            team_ids=_with_reports(users, own_ids),
            fab_permissions=frozenset(),
        )


_USERS = select(User.id, User.username, User.active, User.manager_id, User.delegate_id, User.leave_from, User.leave_to)


def _is_substituted_by(user: Any, delegate_id: int, now: datetime) -> bool:
    return bool(user.delegate_id == delegate_id and is_on_leave(user, now))


def _with_reports(users: dict[int, Any], managers: frozenset[int]) -> frozenset[int]:
    """These people and everyone who reports to them, directly or through others."""
    found, new = set(managers), set(managers)
    while new:
        new = {user.id for user in users.values() if user.manager_id in new} - found
        found |= new
    return frozenset(found)


def _roles(session: Session, ids: list[int]) -> dict[int, dict[int, str]]:
    """User id -> role id -> name, directly or through a group."""
    direct = select(assoc_user_role.c.user_id, assoc_user_role.c.role_id)
    grouped = select(assoc_user_group.c.user_id, assoc_group_role.c.role_id).join(
        assoc_group_role, assoc_group_role.c.group_id == assoc_user_group.c.group_id
    )
    both = union_all(direct, grouped).subquery("user_roles")
    query = select(both.c.user_id, Role.id, Role.name).join(Role, Role.id == both.c.role_id)
    roles: dict[int, dict[int, str]] = {}
    for user_id, role_id, name in session.execute(query.where(both.c.user_id.in_(ids))):
        roles.setdefault(user_id, {})[role_id] = name
    return roles


def visible_id(person: Person, record: Any, key: Any) -> ColumnElement[bool]:
    """SQL: whether the row with this id is visible, for comparison with the rows of the statement.

    True for a rule of an add-on, which can't be applied to a second row; the statement's own rows are still filtered.
    """
    if reads_all(person, record) or not has_own_rule(record):
        return true()
    seen = aliased(record)
    rule: ColumnElement[bool] = key.in_(select(seen.id).where(visible_alias(person, record, seen)))
    return rule
