"""People with their rights, cached in the process and read again when the version of access changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import inspect, select, update
from sqlalchemy.orm import Session

from app.access.person import Person
from app.access.system_session import as_system
from app.domain.base import RuleBroken
from app.domain.people import permissions, teams, two_factor, users
from app.domain.persistence.row_effects import Rows
from app.models import AccessVersion, FieldMask, ModulePermission, Role, User
from app.ops.database.connections import address_of

#: Seconds after which a cached person is read again even if no version changed (leave begins and ends with time).
CACHE_SECONDS = 30

_cache: dict[tuple[str, int], tuple[int, float, Person]] = {}
_lock = threading.Lock()


def version_query() -> Any:
    """Scalar sub-query for the version of access, to be read together with the signed-in user."""
    return select(AccessVersion.n).where(AccessVersion.id == 1).scalar_subquery()


def lists_version_query() -> Any:
    """Scalar sub-query for the version of saved views and choices for lists, to be read together with the user."""
    return select(AccessVersion.lists).where(AccessVersion.id == 1).scalar_subquery()


def person(session: Session, user_id: int, version: int, now: datetime | None = None) -> Person:
    """The person as of this version of access; from the cache of this process unless something changed."""
    key = (address_of(session), user_id)
    cached = _cache.get(key)
    if cached is not None and cached[0] == version and time.monotonic() - cached[1] < CACHE_SECONDS:
        return cached[2]
    with as_system(session):
        fresh = replace(load_person(session, user_id, now or datetime.now(UTC)), version=version)
    if cached is not None and _has_same_rights(cached[2], fresh):
        fresh = cached[2]  # keeps its compiled statements
    with _lock:
        if len(_cache) > 5000:
            _cache.clear()
        _cache[key] = (version, time.monotonic(), fresh)
    return fresh


def _has_same_rights(one: Person, other: Person) -> bool:
    """Whether everything read about the two is equal, the version of access included."""
    return all(getattr(one, each.name) == getattr(other, each.name) for each in fields(Person) if each.init)


def load_person(session: Session, user_id: int, now: datetime) -> Person:
    """Read the user's roles, rights and reach. Raises RuleBroken when there is no such user."""
    user = session.get(User, user_id)
    if user is None:
        raise RuleBroken("There is no such user.")
    held = [*user.roles, *(role for group in user.groups for role in group.roles)]
    roles = {role.id: role.name for role in held}
    own_ids = frozenset({user_id, *_delegators(session, user_id, now)})
    return Person(
        id=user_id,
        username=user.username,
        full_name=user.get_full_name(),
        roles=_shared(frozenset(roles.values())),
        levels=dict(_shared(frozenset(_levels(session, roles).items()))),
        masks=_masks(session, roles),
        own_ids=own_ids,
        team_ids=_shared(frozenset().union(*(teams.reporting_tree(session, each) for each in own_ids))),
        fab_permissions=_shared(_fab_permissions(session, roles)),
        time_zone=user.time_zone,
        locale=user.locale,
        owes_two_factor=two_factor.is_owed(session, user_id, held),
    )


@lru_cache(maxsize=200)
def _shared(rights: frozenset[Any]) -> frozenset[Any]:
    """The first of all equal sets, so that people with the same roles share one."""
    return rights


def _delegators(session: Session, user_id: int, now: datetime) -> list[int]:
    """The ids of users on leave who named this user their delegate."""
    return list(session.scalars(select(User.id).where(User.delegate_id == user_id, users.on_leave(now))))


def _levels(session: Session, roles: dict[int, str]) -> dict[tuple[str, str], str]:
    return highest_levels(session.scalars(select(ModulePermission).where(ModulePermission.role_id.in_(roles))))


def highest_levels(cells: Iterable[ModulePermission]) -> dict[tuple[str, str], str]:
    """(module, verb) -> the highest level among the cells; cells that the matrix does not offer are ignored."""
    levels: dict[tuple[str, str], str] = {}
    for cell in cells:
        key = (cell.module, cell.verb)
        if (
            permissions.is_offered(*key)
            and permissions.LEVEL_RANK[cell.level] > permissions.LEVEL_RANK[levels.get(key, "none")]
        ):
            levels[key] = cell.level
    return levels


def _masks(session: Session, roles: dict[int, str]) -> dict[str, str]:
    """field -> the most open mask among the roles."""
    masks: dict[str, str] = {}
    for row in session.scalars(select(FieldMask).where(FieldMask.role_id.in_(roles))):
        if permissions.MASK_RANK[row.level] > permissions.MASK_RANK[masks.get(row.field, "hidden")]:
            masks[row.field] = row.level
    return masks


def _fab_permissions(session: Session, roles: dict[int, str]) -> frozenset[tuple[str, str]]:
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


#: Columns of a user that FAB updates at every sign-in.
_STATISTICS = {"last_login", "login_count", "fail_login_count", "changed_on"}


@cache
def _cached_records() -> tuple[Any, ...]:
    from flask_appbuilder.security.sqla.models import Group, PermissionView

    from app.domain.brand import Brand
    from app.domain.business_settings import BusinessSetting
    from app.domain.custom_fields import CustomField
    from app.domain.messaging.channel_accounts import ChannelAccount
    from app.domain.picklists import PicklistEntry
    from app.domain.saved_views import ListSetup
    from app.domain.webhooks import Webhook
    from app.domain.working_time.office_schedule import Holiday, OfficeRange
    from app.domain.working_time.sla_policies import SlaTarget

    return (
        User,
        Role,
        Group,
        PermissionView,
        ModulePermission,
        FieldMask,
        PicklistEntry,
        BusinessSetting,
        OfficeRange,
        Holiday,
        SlaTarget,
        Webhook,
        ChannelAccount,
        ListSetup,
        Brand,
        CustomField,
    )


def is_cached(record: type) -> bool:
    """Whether processes cache rows of this class: people, roles, rights, picklists and settings."""
    return issubclass(record, _cached_records())


def bump_version_on_change(session: Session, rows: Rows) -> None:
    """Effect after a flush: bump the version if cached rows have changed."""
    if rows.new or rows.deleted or any(_has_changes(row) for row in rows.changed):
        bump_version(session)


def _has_changes(row: Any) -> bool:
    attrs = inspect(row).attrs
    return any(attr.history.has_changes() for attr in attrs if attr.key not in _STATISTICS)


def bump_version(session: Session) -> None:
    """Make every process read people and picklists again."""
    step = update(AccessVersion).where(AccessVersion.id == 1).values(n=AccessVersion.n + 1)
    session.execute(step, execution_options={"synchronize_session": False})


def clear_cache() -> None:
    """Empty the cache of this process (tests, and after a restore)."""
    _cache.clear()
