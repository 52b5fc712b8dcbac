"""Whose second factor would no longer be demanded after a flush, because they lose every role that demands one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy.orm import Session

from app.access.changed_rows import previous_value
from app.access.person import Denied
from app.access.user_account_rules import changed_members, stored
from app.models import Role


def refuse_lifted(session: Session) -> None:
    """Raise Denied if the flush takes somebody out of the last of their roles that demand two factors."""
    if released(session):
        raise Denied("Only an admin can take somebody out of the last role that demands two-factor sign-in.", "roles")


def released(session: Session) -> list[Any]:
    """The users who lose the demand by a change of their roles or groups, or because these are deleted.

    A switch of the role itself isn't meant.
    """
    members = dict.fromkeys([*changed_members(session), *_members_of_deleted(session)])
    return [user for user in members if user not in session.deleted and _is_released(session, user)]


def _members_of_deleted(session: Session) -> Iterator[Any]:
    for role in session.deleted:
        if isinstance(role, Role):
            yield from stored(role, "user")
            yield from (user for group in stored(role, "groups") for user in stored(group, "users"))


def _is_released(session: Session, user: Any) -> bool:
    if user.id is None:
        return False
    groups = stored(user, "groups")
    before = [*stored(user, "roles"), *(role for group in groups for role in stored(group, "roles"))]
    left = [group for group in user.groups if group not in session.deleted]
    after = [*user.roles, *(role for group in left for role in group.roles)]
    return _demands(before) and not _demands(role for role in after if role not in session.deleted)


def _demands(roles: Iterable[Any]) -> bool:
    """Whether one of the roles demanded two factors before the flush."""
    return any(previous_value(role, "needs_two_factor") for role in roles)
