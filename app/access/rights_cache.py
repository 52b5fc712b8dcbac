"""People with their rights, cached in the process and read again when the version of access changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, bindparam, inspect, or_, select, update
from sqlalchemy.orm import Session

from app.access.compiled_statements import answer_as_system
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


class HeldRole(NamedTuple):
    """A role of a user, their own or of a group of theirs."""

    id: int
    name: str
    needs_two_factor: bool


class Cell(NamedTuple):
    """A cell of the role matrix."""

    module: str
    verb: str
    level: str


def load_person(session: Session, user_id: int, now: datetime) -> Person:
    """Read the user's roles, rights and reach. Raises RuleBroken when there is no such user."""
    user = session.get(User, user_id)
    if user is None:
        raise RuleBroken("There is no such user.")
    who, asked = {"who": user_id}, _queries()
    held = [HeldRole(*row) for row in answer_as_system(session, asked.roles, who)]
    delegators = answer_as_system(session, asked.delegators, who | {"now": now})
    own_ids = frozenset({user_id, *[key for (key,) in delegators]})
    trees = [answer_as_system(session, asked.reports, {"who": each}) for each in own_ids]
    levels = highest_levels(Cell(*row) for row in answer_as_system(session, asked.cells, who))
    return Person(
        id=user_id,
        username=user.username,
        full_name=user.get_full_name(),
        roles=_shared(frozenset(role.name for role in held)),
        levels=dict(_shared(frozenset(levels.items()))),
        masks=_most_open(answer_as_system(session, asked.masks, who)),
        own_ids=own_ids,
        team_ids=_shared(frozenset(key for tree in trees for (key,) in tree)),
        fab_permissions=_shared(frozenset(answer_as_system(session, asked.permissions, who))),
        time_zone=user.time_zone,
        locale=user.locale,
        owes_two_factor=two_factor.is_owed(session, user_id, held),
    )


@lru_cache(maxsize=200)
def _shared(rights: frozenset[Any]) -> frozenset[Any]:
    """The first of all equal sets, so that people with the same roles share one."""
    return rights


def highest_levels(cells: Iterable[ModulePermission | Cell]) -> dict[tuple[str, str], str]:
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


def _most_open(rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    """field -> the most open mask among the roles."""
    masks: dict[str, str] = {}
    for field, level in rows:
        if permissions.MASK_RANK[level] > permissions.MASK_RANK[masks.get(field, "hidden")]:
            masks[field] = level
    return masks


# --- what is read of a person: the same statements for everybody


@dataclass(frozen=True)
class _Queries:
    """SELECTs about the user `who`."""

    #: id, name and whether it needs two factors, of each role.
    roles: Any
    #: The ids of users on leave at `now` who named the user their delegate.
    delegators: Any
    #: The ids of the user and of everyone who reports to them.
    reports: Any
    #: Module, verb and level of the cells of all roles.
    cells: Any
    #: Field and level of the masks of all roles.
    masks: Any
    #: FAB's permissions: name and view.
    permissions: Any


@cache
def _queries() -> _Queries:
    who: Any = bindparam("who", type_=Integer)
    cells = (ModulePermission.module, ModulePermission.verb, ModulePermission.level)
    is_on_leave = users.on_leave(bindparam("now", type_=User.__table__.c.leave_from.type))
    return _Queries(
        roles=select(Role.id, Role.name, Role.needs_two_factor).where(_is_held(Role.id, who)),
        delegators=select(User.id).where(User.delegate_id == who, is_on_leave),
        reports=teams.reports_query(who),
        cells=select(*cells).where(_is_held(ModulePermission.role_id, who)),
        masks=select(FieldMask.field, FieldMask.level).where(_is_held(FieldMask.role_id, who)),
        permissions=_fab_permissions(who),
    )


def _is_held(role_id: Any, who: Any) -> ColumnElement[bool]:
    """SQL: whether a role is the user's, directly or through a group."""
    from flask_appbuilder.security.sqla.models import assoc_group_role, assoc_user_group, assoc_user_role

    own, group = assoc_user_role.c, assoc_user_group.c
    grouped = select(assoc_group_role.c.role_id).join(assoc_user_group, group.group_id == assoc_group_role.c.group_id)
    found: ColumnElement[bool] = or_(
        role_id.in_(select(own.role_id).where(own.user_id == who)), role_id.in_(grouped.where(group.user_id == who))
    )
    return found


def _fab_permissions(who: Any) -> Any:
    from flask_appbuilder.security.sqla.models import Permission, PermissionView, ViewMenu, assoc_permissionview_role

    link = assoc_permissionview_role
    return (
        select(Permission.name, ViewMenu.name)
        .select_from(link)
        .join(PermissionView, PermissionView.id == link.c.permission_view_id)
        .join(Permission, Permission.id == PermissionView.permission_id)
        .join(ViewMenu, ViewMenu.id == PermissionView.view_menu_id)
        .where(_is_held(link.c.role_id, who))
    )


# --- what makes people be read again

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
