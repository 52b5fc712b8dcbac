"""What no door can go around: cells and FAB's pairs agree, nobody gives more than he has, and all of it is noted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from flask import has_request_context, request
from flask_appbuilder.security.sqla.models import Permission, PermissionView, ViewMenu
from flask_babel import gettext as _
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from app import access
from app.domain import audit, permissions
from app.domain.pending import pending
from app.models import AuditEntry, FieldMask, Group, ModulePermission, Role, User
from app.web.settings.role_matrix import (
    BUILT_IN,
    FIELD_WORDS,
    MASK_WORDS,
    MODULE_WORDS,
    OPENNESS,
    RANK,
    VERB_WORDS,
    matrix_of,
)

_WATCHED = (ModulePermission, FieldMask, Role, Group, User)


def _touched(session: Session, *kinds: Any) -> list[Any]:
    """New, changed and deleted rows of these kinds."""
    rows = [row for row in (*session.new, *session.dirty, *session.deleted) if isinstance(row, kinds)]
    return [row for row in rows if row in session.new or row in session.deleted or session.is_modified(row)]


def enforce(session: Session, _context: Any, _instances: Any) -> None:
    """Session hook, before a flush: keep cells and FAB's permissions in step, refuse excess, write the audit."""
    if not _touched(session, *_WATCHED):
        return
    for cell in _touched(session, ModulePermission):
        _pair_follows_cell(session, cell)
    for role in _touched(session, Role):
        _cells_follow_pairs(session, role)
    who = access.acting(session)
    if who is not None and not who.is_admin:
        _refuse_excess(session, who)
    _note_changes(session, who)


def add_cells_of_new_roles(session: Session, _context: Any) -> None:
    """Session hook, after a flush: a new role has its id only now, so its cells follow in the next flush."""
    gathered = pending(session)
    new_roles, gathered.new_roles = gathered.new_roles, []
    for role, wanted in new_roles:
        session.add_all(ModulePermission(role_id=role.id, module=m, verb=v, level="own") for m, v in wanted)


def former(row: Any, name: str) -> Any:
    """The attribute's value before this flush."""
    history = inspect(row).attrs[name].history
    return history.deleted[0] if history.deleted else getattr(row, name)


def _role_of(session: Session, cell: Any) -> Any:
    role = session.get(Role, cell.role_id) if cell.role_id else None
    return None if role is None or role in session.deleted else role


def _pair_follows_cell(session: Session, cell: Any) -> None:
    role = _role_of(session, cell)
    if role is None or role.name == access.ADMIN:
        return
    pair = _pair(session, f"can_{cell.verb}", cell.module)
    held = pair in role.permissions
    is_open = cell not in session.deleted and cell.level != "none"
    if is_open and not held:
        role.permissions.append(pair)
    elif held and not is_open:
        role.permissions.remove(pair)


def _pair(session: Session, name: str, menu: str) -> Any:
    query = select(PermissionView).join(PermissionView.permission).join(PermissionView.view_menu)
    found = session.scalars(query.where(Permission.name == name, ViewMenu.name == menu)).first()
    return found or PermissionView(
        permission=session.scalars(select(Permission).where(Permission.name == name)).first() or Permission(name=name),
        view_menu=session.scalars(select(ViewMenu).where(ViewMenu.name == menu)).first() or ViewMenu(name=menu),
    )


def _keys(pairs: Any) -> set[tuple[str, str]]:
    """(module, verb) of those of FAB's pairs that stand for a cell."""
    found = {(pair.view_menu.name, pair.permission.name.removeprefix("can_")) for pair in pairs}
    return {(m, v) for m, v in found if m in permissions.MODULES and v in permissions.VERBS}


def _cells_follow_pairs(session: Session, role: Any) -> None:
    history = inspect(role).attrs.permissions.history
    if role.name == access.ADMIN or role in session.deleted or not history.has_changes():
        return
    if role.id is None:
        pending(session).new_roles.append((role, _keys(history.added)))
        return
    held = {(each.module, each.verb): each for each in _cells_with_pending(session, role)}
    for module, verb in _keys(history.added) - set(held):
        session.add(ModulePermission(role_id=role.id, module=module, verb=verb, level="own"))
    for key in _keys(history.deleted) & set(held):
        session.delete(held[key])


def _cells_with_pending(session: Session, role: Any) -> Iterator[Any]:
    yield from session.scalars(select(ModulePermission).where(ModulePermission.role_id == role.id))
    yield from (row for row in session.new if isinstance(row, ModulePermission) and row.role_id == role.id)


def _refuse_excess(session: Session, who: access.Person) -> None:
    """Raise Denied when the person would give, to whomever, more than he has himself."""
    for cell in _touched(session, ModulePermission):
        if cell not in session.deleted and RANK[cell.level] > RANK[who.level(cell.module, cell.verb)]:
            _deny(MODULE_WORDS[cell.module], VERB_WORDS[cell.verb])
    for mask in _touched(session, FieldMask):
        if mask not in session.deleted and OPENNESS[mask.level] > OPENNESS[who.mask(mask.field)]:
            _deny(FIELD_WORDS[mask.field], MASK_WORDS[mask.level])
    for role in _touched(session, Role):
        _refuse_role(who, role)
    for role in _roles_given(session):
        _refuse_giving(session, who, role)
    for user in _touched(session, User):
        _refuse_admin(who, user)


def _deny(what: Any, how: Any) -> None:
    text = _(
        "You can't grant more than you have yourself (%(what)s: %(how)s). Ask an administrator.", what=what, how=how
    )
    raise access.Denied(text)


def _refuse_role(who: access.Person, role: Any) -> None:
    if role.name in BUILT_IN or former(role, "name") in BUILT_IN:
        raise access.Denied(_("Only an administrator can change the roles Admin and Public."))
    for pair in inspect(role).attrs.permissions.history.added:
        if (pair.permission.name, pair.view_menu.name) not in who.fab_permissions:
            _deny(pair.view_menu.name, pair.permission.name)


def _roles_given(session: Session) -> Iterator[Any]:
    """The roles that somebody gets in this flush, directly or through a group."""
    for user in _touched(session, User):
        yield from _added(user, "roles")
        yield from (role for group in _added(user, "groups") for role in group.roles)
    for group in _touched(session, Group):
        yield from _added(group, "roles")
        yield from (group.roles if _added(group, "users") else ())
    for role in _touched(session, Role):
        yield from ([role] if _added(role, "user") or _added(role, "groups") else ())


def _added(row: Any, name: str) -> Any:
    return inspect(row).attrs[name].history.added or ()


def _refuse_giving(session: Session, who: access.Person, role: Any) -> None:
    if role.name == access.ADMIN:
        _deny(_("Role"), role.name)
    gives = matrix_of(session, role)
    for (module, verb), level in gives.cells.items():
        if RANK[level] > RANK[who.level(module, verb)]:
            _deny(role.name, MODULE_WORDS[module])
    for name, level in gives.masks.items():
        if OPENNESS[level] > OPENNESS[who.mask(name)]:
            _deny(role.name, FIELD_WORDS[name])
    if any((pair.permission.name, pair.view_menu.name) not in who.fab_permissions for pair in role.permissions):
        _deny(role.name, _("pages"))


def _refuse_admin(who: access.Person, user: Any) -> None:
    """An administrator's account is changed by administrators and by himself."""
    history = inspect(user).attrs.roles.history
    before = [*(history.unchanged or ()), *(history.deleted or ())] or ([] if history.added else user.roles)
    if user.id is not None and user.id != who.id and any(role.name == access.ADMIN for role in before):
        raise access.Denied(_("Only an administrator can change an administrator's account."))


# --- the audit of it ---------------------------------------------------------------------------------------------


def _note_changes(session: Session, who: access.Person | None) -> None:
    lines = [*_lines_of_cells(session), *_lines_of_roles(session)]
    if who is not None:
        lines += _lines_of_people(session)
    if lines:
        _append(session, who, lines)


def _lines_of_cells(session: Session) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for row in _touched(session, ModulePermission, FieldMask):
        nothing = "none" if isinstance(row, ModulePermission) else "hidden"
        old = nothing if row in session.new else former(row, "level")
        new = nothing if row in session.deleted else row.level
        role = session.get(Role, row.role_id)
        if old != new and role is not None:
            what = {"module": row.module, "verb": row.verb} if nothing == "none" else {"field": row.field}
            yield "permission change", f"role {role.name}", {"role": role.name, **what, "old": old, "new": new}


def _lines_of_roles(session: Session) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for role in _touched(session, Role):
        history = inspect(role).attrs.permissions.history
        about, has_new_name = f"role {role.name}", former(role, "name") != role.name
        if role in session.new or role in session.deleted or has_new_name:
            what = "made" if role in session.new else "deleted" if role in session.deleted else "renamed"
            yield "role change", about, {"what": what, "before": former(role, "name")}
        other = {
            kind: [str(p) for p in pairs or () if not _keys([p])]
            for kind, pairs in (("added", history.added), ("removed", history.deleted))
        }
        if role not in session.deleted and any(other.values()):
            yield "permission change", about, {"role": role.name, **other}


def _lines_of_people(session: Session) -> Iterator[tuple[str, str, dict[str, Any]]]:
    watched = {User: ("roles", "groups", "active", "manager_id"), Group: ("users", "roles")}
    for row in _touched(session, User, Group):
        kind = User if isinstance(row, User) else Group
        about = f"user {row.username}" if kind is User else f"group {row.name}"
        changes = {name: _change(row, name) for name in watched[kind] if inspect(row).attrs[name].history.has_changes()}
        what = "made" if row in session.new else "deleted" if row in session.deleted else "changed"
        if changes or what != "changed":
            yield ("user change" if kind is User else "role change"), about, {"what": what, **changes}


def _change(row: Any, name: str) -> dict[str, Any]:
    history = inspect(row).attrs[name].history
    plain = {"added": list(history.added or ()), "removed": list(history.deleted or ())}
    return {key: [v if isinstance(v, int | None) else str(v) for v in values] for key, values in plain.items()}


def _append(session: Session, who: access.Person | None, lines: Any) -> None:
    """As audit.write, which cannot be called inside a flush: entries chained to the last one."""
    address = request.remote_addr if has_request_context() else None
    before = _last_hash(session)
    for name, about, payload in lines:
        entry = AuditEntry(
            at=datetime.now(UTC),
            event=name,
            user_id=who.id if who else None,
            about=about[:190],
            address=address,
            payload=payload,
        )
        entry.hash = before = audit.entry_hash(before, entry)
        session.add(entry)


def _last_hash(session: Session) -> str:
    pending = [row.hash for row in session.new if isinstance(row, AuditEntry)]
    if pending:
        return pending[-1]
    with access.as_system(session):
        last = select(AuditEntry.hash).order_by(AuditEntry.id.desc()).limit(1).with_for_update()
        return session.execute(last).scalar() or ""
