"""The audit of role changes: who changed which cell, mask, role, group or account, written in the same flush."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from app.access.changed_rows import changed_rows, history_of, previous_value
from app.access.person import Person
from app.domain import audit, permissions
from app.domain.session_context import session_context
from app.models import FieldMask, Group, ModulePermission, Role, User

#: Event, what it is about, payload.
_Line = tuple[str, str, dict[str, Any]]
_AUDITED = {User: ("roles", "groups", "active", "manager_id"), Group: ("users", "roles")}


def write(session: Session, actor: Person | None) -> None:
    """Add an audit entry for each change in this flush; changes of accounts only when a person makes them."""
    lines = [*_cell_lines(session), *_role_lines(session)]
    if actor is not None:
        lines += _account_lines(session)
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
        history = history_of(role, "permissions")
        changes = {"added": _outside_matrix(history.added), "removed": _outside_matrix(history.deleted)}
        if role not in session.deleted and any(changes.values()):
            yield "permission change", about, {"role": role.name, **changes}


def _outside_matrix(fab_permissions: Any) -> list[str]:
    """FAB's permissions that stand for no cell of the matrix; cells have lines of their own."""
    return [str(each) for each in fab_permissions or () if not is_cell(each)]


def is_cell(fab_permission: Any) -> bool:
    """Whether FAB's permission stands for a cell of the matrix."""
    verb = fab_permission.permission.name.removeprefix("can_")
    return fab_permission.view_menu.name in permissions.all_modules() and verb in permissions.VERBS


def _account_lines(session: Session) -> Iterator[_Line]:
    for row in changed_rows(session, User, Group):
        is_user = isinstance(row, User)
        about = f"user {row.username}" if is_user else f"group {row.name}"
        names = _AUDITED[User if is_user else Group]
        changes = {name: _change(row, name) for name in names if history_of(row, name).has_changes()}
        what = "made" if row in session.new else "deleted" if row in session.deleted else "changed"
        if changes or what != "changed":
            yield ("user change" if is_user else "role change"), about, {"what": what, **changes}


def _change(row: Any, name: str) -> dict[str, Any]:
    history = history_of(row, name)
    plain = {"added": list(history.added or ()), "removed": list(history.deleted or ())}
    return {key: [v if isinstance(v, int | None) else str(v) for v in values] for key, values in plain.items()}
