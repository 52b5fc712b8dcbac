"""The audit of role changes: who changed which cell, mask, role, group or account, written in the same flush."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access import two_factor_demands
from app.access.changed_rows import changed_rows, history_of, previous_value
from app.access.person import Person
from app.access.system_session import as_system
from app.access.user_account_rules import LABELS
from app.domain.audit_log import audit
from app.domain.people import permissions
from app.domain.persistence.session_context import session_context
from app.lib.masking import masked
from app.models import ApiKey, FieldMask, Group, ModulePermission, Role, User

#: Event, what it is about, payload.
_Line = tuple[str, str, dict[str, Any]]
_AUDITED = {User: tuple(LABELS), Group: ("users", "roles")}
#: Preferences, which are audited only where somebody else changes them.
_PREFERENCES = frozenset(
    {"available", "away_until", "time_zone", "locale", "reminder_minutes", "notice_choices", "picture"}
)
#: Columns of which the audit keeps the last four digits; and columns of which it records only that they changed.
_SHORTENED, _SECRET = ("mobile", "mobile_e164", "telephony_number"), ("password", "notice_choices")


def write(session: Session, actor: Person | None) -> None:
    """Add an audit entry for each change in this flush; commands audit the accounts that they create themselves."""
    lines = [*_cell_lines(session), *_role_lines(session), *_account_lines(session, actor), *_demand_lines(session)]
    now, address = datetime.now(UTC), session_context(session).address
    for event, about, payload in lines:
        audit.write(session, event, actor.id if actor else None, now, about[:190], address, **payload)


def _cell_lines(session: Session) -> Iterator[_Line]:
    for row in changed_rows(session, ModulePermission, FieldMask):
        is_cell = isinstance(row, ModulePermission)
        absent = "none" if is_cell else "hidden"
        old = absent if row in session.new else previous_value(row, "level")
        new = absent if row in session.deleted else row.level
        role = session.get(Role, row.role_id)
        if old != new and role is not None:
            what = {"module": row.module, "verb": row.verb} if is_cell else {"field": row.field}
            yield "permission change", f"role {role.name}", {"role": role.name, **what, "old": old, "new": new}


def _role_lines(session: Session) -> Iterator[_Line]:
    for role in changed_rows(session, Role):
        about, before = f"role {role.name}", previous_value(role, "name")
        if role in session.new or role in session.deleted or before != role.name:
            what = "made" if role in session.new else "deleted" if role in session.deleted else "renamed"
            yield "role change", about, {"what": what, "before": before}
        demand = history_of(role, "needs_two_factor")
        if role not in session.new and role not in session.deleted and demand.has_changes():
            yield "role change", about, {"what": "two factors", "needed": bool(role.needs_two_factor)}
        history = history_of(role, "permissions")
        changes = {"added": _outside_matrix(history.added), "removed": _outside_matrix(history.deleted)}
        if role not in session.deleted and any(changes.values()):
            yield "permission change", about, {"role": role.name, **changes}


def _outside_matrix(fab_permissions: Any) -> list[str]:
    """FAB's permissions without a cell in the matrix; cells have audit entries of their own."""
    return [str(each) for each in fab_permissions or () if not is_cell(each)]


def is_cell(fab_permission: Any) -> bool:
    """Whether FAB's permission belongs to a cell of the matrix."""
    verb = fab_permission.permission.name.removeprefix("can_")
    return permissions.is_offered(fab_permission.view_menu.name, verb)


def _account_lines(session: Session, actor: Person | None) -> Iterator[_Line]:
    for row in changed_rows(session, User, Group):
        is_user = isinstance(row, User)
        if is_user and row in session.new and actor is None:
            continue
        about = f"user {previous_value(row, 'username')}" if is_user else f"group {row.name}"
        quiet = _PREFERENCES if actor is not None and is_user and row.id == actor.id else frozenset()
        names = [name for name in _AUDITED[User if is_user else Group] if name not in quiet]
        changes: dict[str, Any] = {name: _change(row, name) for name in names if history_of(row, name).has_changes()}
        what = "made" if row in session.new else "deleted" if row in session.deleted else "changed"
        if is_user and "active" in changes and not row.active:
            changes["api keys revoked"] = _count_live_keys(session, row.id)
        if changes or what != "changed":
            yield ("user change" if is_user else "role change"), about, {"what": what, **changes}


def _demand_lines(session: Session) -> Iterator[_Line]:
    for user in two_factor_demands.released(session):
        yield "user change", f"user {user.username}", {"what": "two factors", "needed": False}


def _count_live_keys(session: Session, user_id: int) -> int:
    """The number of keys that deactivating this user revokes: see `account_effects.end_sign_ins`."""
    with as_system(session):
        live = select(func.count(ApiKey.id)).where(ApiKey.user_id == user_id, ApiKey.revoked_on.is_(None))
        return session.scalar(live) or 0


def _change(row: Any, name: str) -> dict[str, Any]:
    history = history_of(row, name)
    if name in _SECRET:
        return {"changed": True}
    plain = {"added": list(history.added or ()), "removed": list(history.deleted or ())}
    return {key: [_audited_value(name, value) for value in values] for key, values in plain.items()}


def _audited_value(name: str, value: Any) -> Any:
    if name in _SHORTENED and value:
        return masked(str(value), "last4")
    return value if isinstance(value, int | None) else str(value)
