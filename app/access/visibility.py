"""Which of several people see a row: the law asked for all of them at once, in a fixed number of statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from flask_appbuilder.security.sqla.models import assoc_group_role, assoc_user_group, assoc_user_role
from sqlalchemy import literal, select, union_all
from sqlalchemy.orm import Session

from app.access.people import highest_levels
from app.access.person import Person
from app.access.row_rules import visible
from app.access.system_session import as_system
from app.models import ModulePermission, Role, User

#: About more people nobody asks at once; one branch of a statement each.
MAX_USERS = 100


def users_who_see(session: Session, user_ids: Iterable[int], row: Any, now: datetime) -> frozenset[int]:
    """Those of the users (the first MOST) who are active and see this stored row; at most five statements."""
    asked = list(dict.fromkeys(user_ids))[:MAX_USERS]
    if not asked:
        return frozenset()
    record = type(row)
    with as_system(session):
        people = list(_people(session, asked, now))
        ways = [select(literal(each.id)).where(record.id == row.id, visible(each, record)) for each in people]
        return frozenset(session.scalars(union_all(*ways))) if ways else frozenset()


def _people(session: Session, asked: list[int], now: datetime) -> Iterator[Person]:
    """The active ones as the law sees them, for rows only: no masks, no pairs of FAB."""
    house = {user.id: user for user in session.execute(_HOUSE)}
    roles = _roles(session, asked)
    held = {role for each in roles.values() for role in each}
    cells = list(session.scalars(select(ModulePermission).where(ModulePermission.role_id.in_(held))))
    for key in asked:
        if key not in house or not house[key].active:
            continue
        own = frozenset({key, *(user.id for user in house.values() if _stands_in(key, user, now))})
        mine = roles.get(key, {})
        yield Person(
            id=key,
            username=house[key].username,
            full_name="",
            roles=frozenset(mine.values()),
            masks={},
            own_ids=own,
            levels=highest_levels(cell for cell in cells if cell.role_id in mine),
            team_ids=_below(house, own),
            fab_permissions=frozenset(),
        )


_HOUSE = select(User.id, User.username, User.active, User.manager_id, User.delegate_id, User.leave_from, User.leave_to)


def _stands_in(key: int, user: Any, now: datetime) -> bool:
    """Whether the person of this id works in the user's stead."""
    away = user.leave_from is not None and user.leave_from <= now and (user.leave_to is None or user.leave_to > now)
    return bool(user.delegate_id == key and away)


def _below(house: dict[int, Any], heads: frozenset[int]) -> frozenset[int]:
    """These people and everybody below them in the reports-to tree."""
    found, new = set(heads), set(heads)
    while new:
        new = {user.id for user in house.values() if user.manager_id in new} - found
        found |= new
    return frozenset(found)


def _roles(session: Session, asked: list[int]) -> dict[int, dict[int, str]]:
    """User id -> role id -> name, directly or through a group."""
    direct = select(assoc_user_role.c.user_id, assoc_user_role.c.role_id)
    grouped = select(assoc_user_group.c.user_id, assoc_group_role.c.role_id).join(
        assoc_group_role, assoc_group_role.c.group_id == assoc_user_group.c.group_id
    )
    both = union_all(direct, grouped).subquery("held")
    query = select(both.c.user_id, Role.id, Role.name).join(Role, Role.id == both.c.role_id)
    found: dict[int, dict[int, str]] = {}
    for user, key, name in session.execute(query.where(both.c.user_id.in_(asked))):
        found.setdefault(user, {})[key] = name
    return found
