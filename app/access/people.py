"""People as the law sees them, kept in the process and read anew when the version of access changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import inspect, or_, select, update
from sqlalchemy.orm import Session

from app.access.person import Person
from app.access.system_session import as_system
from app.domain import permissions, team
from app.domain.base import RuleBroken
from app.models import AccessVersion, FieldMask, ModulePermission, Role, User

#: Seconds after which a cached person is read again even if no version changed (leave and delegation pass by time).
CACHE_SECONDS = 30
_RANK = {level: rank for rank, level in enumerate(permissions.LEVELS)}
_OPENNESS = {level: rank for rank, level in enumerate(permissions.MASKS)}

_cache: dict[tuple[str, int], tuple[int, float, Person]] = {}
_lock = threading.Lock()


def version_query() -> Any:
    """Scalar sub-query for the version of access, to be read along with the signed-in user."""
    return select(AccessVersion.n).where(AccessVersion.id == 1).scalar_subquery()


def person(session: Session, user_id: int, version: int, now: datetime | None = None) -> Person:
    """The person as of this version of access; from the cache of this process unless something changed."""
    key = (str(session.get_bind().engine.url), user_id)
    held = _cache.get(key)
    if held is not None and held[0] == version and time.monotonic() - held[1] < CACHE_SECONDS:
        return held[2]
    with as_system(session):
        fresh = replace(load_person(session, user_id, now or datetime.now(UTC)), version=version)
    with _lock:
        if len(_cache) > 5000:
            _cache.clear()
        _cache[key] = (version, time.monotonic(), fresh)
    return fresh


def load_person(session: Session, user_id: int, now: datetime) -> Person:
    """Read everything that the law wants to know of a user; a handful of statements."""
    user = session.get(User, user_id)
    if user is None:
        raise RuleBroken("There is no such user.")
    roles = {role.id: role.name for role in [*user.roles, *(r for g in user.groups for r in g.roles)]}
    own = frozenset({user_id, *_delegators(session, user_id, now)})
    below = frozenset().union(*(team.reporting_tree(session, each) for each in own))
    return Person(
        id=user_id,
        username=user.username,
        full_name=user.get_full_name(),
        roles=frozenset(roles.values()),
        levels=_levels(session, roles),
        masks=_masks(session, roles),
        own_ids=own,
        team_ids=below,
        fab_permissions=_pairs(session, roles),
        time_zone=user.time_zone,
        locale=user.locale,
    )


def _delegators(session: Session, user_id: int, now: datetime) -> list[int]:
    away = select(User.id).where(
        User.delegate_id == user_id, User.leave_from <= now, or_(User.leave_to.is_(None), User.leave_to > now)
    )
    return list(session.scalars(away))


def _levels(session: Session, roles: dict[int, str]) -> dict[tuple[str, str], str]:
    return highest_levels(session.scalars(select(ModulePermission).where(ModulePermission.role_id.in_(roles))))


def highest_levels(cells: Iterable[ModulePermission]) -> dict[tuple[str, str], str]:
    """(module, verb) -> the highest of the cells' levels."""
    found: dict[tuple[str, str], str] = {}
    for row in cells:
        key = (row.module, row.verb)
        if _RANK[row.level] > _RANK[found.get(key, "none")]:
            found[key] = row.level
    return found


def _masks(session: Session, roles: dict[int, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in session.scalars(select(FieldMask).where(FieldMask.role_id.in_(roles))):
        if _OPENNESS[row.level] > _OPENNESS[found.get(row.field, "hidden")]:
            found[row.field] = row.level
    return found


def _pairs(session: Session, roles: dict[int, str]) -> frozenset[tuple[str, str]]:
    from flask_appbuilder.security.sqla.models import Permission, PermissionView, ViewMenu, assoc_permissionview_role

    link = assoc_permissionview_role
    query = (
        select(Permission.name, ViewMenu.name)
        .select_from(link)
        .join(PermissionView, PermissionView.id == link.c.permission_view_id)
        .join(Permission, Permission.id == PermissionView.permission_id)
        .join(ViewMenu, ViewMenu.id == PermissionView.view_menu_id)
        .where(link.c.role_id.in_(roles))
    )
    return frozenset((name, view) for name, view in session.execute(query))


_STATISTICS = {"last_login", "login_count", "fail_login_count", "changed_on"}


@lru_cache
def _watched() -> tuple[Any, ...]:
    from flask_appbuilder.security.sqla.models import Group, PermissionView

    from app.domain.settings import BusinessSetting, Holiday, Master, OfficeRange, SlaTarget
    from app.domain.webhooks import Webhook

    return (
        User,
        Role,
        Group,
        PermissionView,
        ModulePermission,
        FieldMask,
        Master,
        BusinessSetting,
        OfficeRange,
        Holiday,
        SlaTarget,
        Webhook,
    )


def bump_version_on_change(session: Session, _context: Any) -> None:
    """Count the version up when users, roles, permissions, masters or settings change in this flush."""
    changed = [*session.new, *session.deleted, *(row for row in session.dirty if _really_changed(row))]
    if any(isinstance(row, _watched()) for row in changed):
        bump_version(session)


def _really_changed(row: Any) -> bool:
    attrs = inspect(row).attrs
    return any(attr.history.has_changes() for attr in attrs if attr.key not in _STATISTICS)


def bump_version(session: Session) -> None:
    """Make every process read people and masters anew."""
    step = update(AccessVersion).where(AccessVersion.id == 1).values(n=AccessVersion.n + 1)
    session.execute(step, execution_options={"synchronize_session": False})


def clear_cache() -> None:
    """Empty this process's cache (tests, and after a restore)."""
    _cache.clear()
