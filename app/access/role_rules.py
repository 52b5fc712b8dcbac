"""Rules of every flush that changes roles: matrix and FAB's permissions agree, and nobody grants more than they have.

Both are audited (see `role_audit`). No endpoint can bypass them, because the session itself applies them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flask_appbuilder.security.sqla.models import Permission, PermissionView, ViewMenu
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access import role_audit, two_factor_demands, user_account_rules
from app.access.changed_rows import changed_rows, history_of, previous_value
from app.access.person import ADMIN, Denied, Person
from app.access.role_matrix import FIXED_ROLES, PUBLIC, load_matrix
from app.access.system_session import acting, asking
from app.domain.base import RuleBroken, translatable
from app.domain.people import permissions
from app.domain.people.permission_labels import FIELD_LABELS, MASK_LABELS, VERB_LABELS, module_labels
from app.domain.persistence.row_effects import Rows
from app.domain.persistence.transaction_state import transaction_state
from app.models import CustomField, FieldMask, Group, ModulePermission, Role, User


def enforce(session: Session, _rows: Rows) -> None:
    """Effect before a flush: sync matrix cells and FAB's permissions, refuse excess, write the audit.

    Raises Denied if the acting person would grant more than they have, RuleBroken if somebody gets the role Public.
    """
    _refuse_opened_fields(session)
    if not changed_rows(session, ModulePermission, FieldMask, Role, Group, User):
        return
    for cell in changed_rows(session, ModulePermission):
        _sync_permission(session, cell)
    for role in changed_rows(session, Role):
        _sync_cells(session, role)
    granted = list(_granted_roles(session))
    _refuse_public(granted)
    actor = acting(session)
    if actor is not None and not actor.is_admin:
        _refuse_excess(session, actor, granted)
    role_audit.write(session, actor)


def add_cells_of_new_roles(session: Session, _roles: Rows) -> None:
    """Effect after a flush: add the cells of new roles in the next flush, because only now do they have ids."""
    gathered = transaction_state(session)
    new_roles, gathered.new_roles = gathered.new_roles, []
    for role, cells in new_roles:
        session.add_all(ModulePermission(role_id=role.id, module=m, verb=v, level="own") for m, v in cells)


# --- matrix cells and FAB's permissions agree --------------------------------------------------------------------


def _sync_permission(session: Session, cell: Any) -> None:
    """Grant FAB's permission to the cell's role, or revoke it, as the cell says."""
    role = session.get(Role, cell.role_id) if cell.role_id else None
    if role is None or role in session.deleted or role.name == ADMIN:
        return
    permission = _permission(session, f"can_{cell.verb}", cell.module)
    is_held = permission in role.permissions
    is_open = cell not in session.deleted and cell.level != "none"
    if is_open and not is_held:
        role.permissions.append(permission)
    elif is_held and not is_open:
        role.permissions.remove(permission)


def _permission(session: Session, name: str, view: str) -> Any:
    """FAB's permission of that name on that view; a new one where there is none."""
    query = select(PermissionView).join(PermissionView.permission).join(PermissionView.view_menu)
    found = session.scalars(query.where(Permission.name == name, ViewMenu.name == view)).first()
    return found or PermissionView(
        permission=session.scalars(select(Permission).where(Permission.name == name)).first() or Permission(name=name),
        view_menu=session.scalars(select(ViewMenu).where(ViewMenu.name == view)).first() or ViewMenu(name=view),
    )


def _cells_of(fab_permissions: Iterable[Any]) -> set[tuple[str, str]]:
    """(module, verb) of those of FAB's permissions that belong to a cell of the matrix."""
    return {
        (each.view_menu.name, each.permission.name.removeprefix("can_"))
        for each in fab_permissions
        if role_audit.is_cell(each)
    }


def _sync_cells(session: Session, role: Any) -> None:
    """Add and delete matrix cells as FAB's permissions of the role were added and removed."""
    history = history_of(role, "permissions")
    if role.name == ADMIN or role in session.deleted or not history.has_changes():
        return
    if role.id is None:
        transaction_state(session).new_roles.append((role, _cells_of(history.added)))
        return
    cells = {(cell.module, cell.verb): cell for cell in _cells_with_new(session, role)}
    for module, verb in _cells_of(history.added) - set(cells):
        session.add(ModulePermission(role_id=role.id, module=module, verb=verb, level="own"))
    for key in _cells_of(history.deleted) & set(cells):
        session.delete(cells[key])


def _cells_with_new(session: Session, role: Any) -> Iterator[Any]:
    yield from session.scalars(select(ModulePermission).where(ModulePermission.role_id == role.id))
    yield from (row for row in session.new if isinstance(row, ModulePermission) and row.role_id == role.id)


# --- nobody grants more than they have --------------------------------------------------------------------------


def _refuse_public(granted: Iterable[Any]) -> None:
    """Raise RuleBroken if somebody gets the role of people who aren't signed in."""
    if any(role.name == PUBLIC for role in granted):
        raise RuleBroken("The role “Public” is for people who aren't signed in. Please choose another role.", "roles")


def _refuse_excess(session: Session, actor: Person, granted: Iterable[Any]) -> None:
    """Raise Denied if the actor would grant anyone more than they have themselves."""
    for cell in changed_rows(session, ModulePermission):
        if cell not in session.deleted and _exceeds(actor, cell.module, cell.verb, cell.level):
            _deny(module_labels()[cell.module], VERB_LABELS[cell.verb])
    for mask in changed_rows(session, FieldMask):
        if mask not in session.deleted and _unmasks_more(actor, mask.field, mask.level):
            _deny(FIELD_LABELS.get(mask.field) or _custom_label(session, mask.field), MASK_LABELS[mask.level])
    for role in changed_rows(session, Role):
        _refuse_role_change(actor, role)
    for role in granted:
        _refuse_role_grant(session, actor, role)
    user_account_rules.refuse_foreign_changes(session, actor)
    two_factor_demands.refuse_lifted(session)


def _custom_label(session: Session, name: str) -> str:
    """The label of the custom field of this mask."""
    with session.no_autoflush:
        label = session.execute(select(CustomField.label).where(CustomField.id == int(name[2:]))).scalar()
    return label or name


def _exceeds(actor: Person, module: str, verb: str, level: str) -> bool:
    return permissions.LEVEL_RANK[level] > permissions.LEVEL_RANK[actor.level(module, verb)]


def _unmasks_more(actor: Person, field: str, mask: str) -> bool:
    return permissions.MASK_RANK[mask] > permissions.MASK_RANK[actor.mask(field)]


def _refuse_opened_fields(session: Session) -> None:
    """Raise Denied if the person opens a limited custom field for everybody without seeing it themselves.

    Definitions are written as the system, so it is the person who asks that counts.
    """
    person = asking(session)
    if person is None:
        return
    for row in changed_rows(session, CustomField):
        is_opened = previous_value(row, "is_restricted") and not row.is_restricted
        if is_opened and _unmasks_more(person, row.mask_name, "full"):
            _deny(row.label, MASK_LABELS["full"])


def _lacks(actor: Person, permission: Any) -> bool:
    return (permission.permission.name, permission.view_menu.name) not in actor.fab_permissions


def _deny(what: str, how: str) -> None:
    raise Denied(
        translatable(
            "You can't grant more than you have yourself (%(what)s: %(how)s). Ask an admin.",
            what=what,
            how=how,
        )
    )


def _refuse_role_change(actor: Person, role: Any) -> None:
    if role.name in FIXED_ROLES or previous_value(role, "name") in FIXED_ROLES:
        raise Denied("Only an admin can change the roles Admin and Public.")
    if previous_value(role, "needs_two_factor") and not role.needs_two_factor:
        raise Denied("Only an admin can lift the demand of two-factor sign-in.")
    for permission in history_of(role, "permissions").added:
        if _lacks(actor, permission):
            _deny(permission.view_menu.name, permission.permission.name)


def _granted_roles(session: Session) -> Iterator[Any]:
    """The roles that someone gains in this flush, directly or through a group."""
    for user in changed_rows(session, User):
        yield from _added(user, "roles")
        yield from (role for group in _added(user, "groups") for role in group.roles)
    for group in changed_rows(session, Group):
        yield from _added(group, "roles")
        yield from (group.roles if _added(group, "users") else ())
    for role in changed_rows(session, Role):
        yield from ([role] if _added(role, "user") or _added(role, "groups") else ())


def _added(row: Any, name: str) -> Any:
    return history_of(row, name).added or ()


def _refuse_role_grant(session: Session, actor: Person, role: Any) -> None:
    if role.name == ADMIN:
        _deny(translatable("Role"), role.name)
    matrix = load_matrix(session, role)
    for (module, verb), level in matrix.cells.items():
        if _exceeds(actor, module, verb, level):
            _deny(role.name, module_labels()[module])
    for field, mask in matrix.masks.items():
        if _unmasks_more(actor, field, mask):
            _deny(role.name, FIELD_LABELS.get(field) or _custom_label(session, field))
    if any(_lacks(actor, permission) for permission in role.permissions):
        _deny(role.name, translatable("pages"))
