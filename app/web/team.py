"""People and what they may do: users, roles, the matrix, and "what can this person do"."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

from flask import abort, current_app, flash, g, has_request_context, redirect, request, url_for
from flask_appbuilder import BaseView, expose
from flask_appbuilder.actions import action
from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
from flask_appbuilder.security.decorators import has_access
from flask_appbuilder.security.sqla.models import Permission, PermissionView, ViewMenu
from flask_appbuilder.security.views import (
    PermissionModelView,
    PermissionViewModelView,
    RoleModelView,
    UserDBModelView,
    UserGroupModelView,
    ViewMenuModelView,
)
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from markupsafe import Markup
from sqlalchemy import event, func, inspect, select
from sqlalchemy.orm import Session, selectinload
from wtforms import BooleanField, StringField
from wtforms.validators import Email, Length, Optional, ValidationError

from app import access
from app.domain import audit, permissions, team
from app.domain.base import Conflict, RuleBroken
from app.extensions import db
from app.lib import phone
from app.models import AuditEntry, FieldMask, Group, ModulePermission, Role, User
from app.web import gate
from app.web.fields import initials
from app.web.pairs import OWN_PAIRS
from app.web.sessions import signed_in
from app.web.sturdy import VERBS as SCREEN_VERBS
from app.web.sturdy import Interface, LocalMoment, Sturdy, pick, protect

_ROWS = ("read", "create", "write", "delete", "assign", "export", "import", "bulk")
#: Module -> the verbs that mean something there; every other cell of the matrix is empty.
POSSIBLE: dict[str, tuple[str, ...]] = {
    "Dashboard": ("read", "write", "export"),
    "Leads": (*_ROWS, "reveal"),
    "Tickets": (*_ROWS, "reveal"),
    "Customers": (*_ROWS, "reveal"),
    "Tasks": _ROWS,
    "Call Logs": ("read", "create", "write", "delete", "export", "import", "bulk", "reveal", "recordings"),
    "Messages": ("read", "create", "write", "delete", "export", "bulk", "reveal"),
    "Support Pages": ("read", "create", "write", "delete"),
    "Notes": ("read", "create", "write", "delete", "export"),
    "Requests": ("read", "create", "write", "delete", "assign", "export"),
    "Reports": ("read", "export"),
    "Settings": ("read", "create", "write", "delete", "export", "import"),
}
#: Their rows belong to nobody, so there is only all or nothing.
_WITHOUT_OWNER = ("Support Pages", "Settings")
_MODULE_WORDS = {
    "Dashboard": lazy_gettext("Dashboard"), "Leads": lazy_gettext("Leads"), "Tickets": lazy_gettext("Tickets"),
    "Customers": lazy_gettext("Customers"), "Tasks": lazy_gettext("Tasks"), "Call Logs": lazy_gettext("Call Logs"),
    "Messages": lazy_gettext("Messages"), "Support Pages": lazy_gettext("Support Pages"),
    "Notes": lazy_gettext("Notes"), "Requests": lazy_gettext("Requests"), "Reports": lazy_gettext("Reports"),
    "Settings": lazy_gettext("Settings"),
}  # fmt: skip
_VERB_WORDS = {
    "read": lazy_gettext("See"), "create": lazy_gettext("Create"), "write": lazy_gettext("Change"),
    "delete": lazy_gettext("Delete"), "assign": lazy_gettext("Assign"), "export": lazy_gettext("Export"),
    "import": lazy_gettext("Import"), "bulk": lazy_gettext("Change many"), "reveal": lazy_gettext("Reveal"),
    "recordings": lazy_gettext("Recordings"),
}  # fmt: skip
_LEVEL_WORDS = {
    "none": lazy_gettext("no"), "own": lazy_gettext("own"), "team": lazy_gettext("team"), "all": lazy_gettext("all"),
}  # fmt: skip
_MASK_WORDS = {
    "hidden": lazy_gettext("hidden"), "last4": lazy_gettext("last four"), "full": lazy_gettext("full"),
}  # fmt: skip
_FIELD_WORDS = {
    "mobile": lazy_gettext("Mobile"), "alternative_mobile": lazy_gettext("Alternative mobile"),
    "email": lazy_gettext("E-mail"), "pan": lazy_gettext("PAN"), "aadhaar": lazy_gettext("Aadhaar"),
    "address": lazy_gettext("Address"),
}  # fmt: skip
#: FAB's own two: the one may everything, the other is for nobody signed in.
BUILT_IN = (access.ADMIN, "Public")
#: The rules call them by name: round robin, access to the audit.
CALLED_BY_NAME = (*BUILT_IN, "Sales User", "Support User", "Compliance")
_RANK = {level: rank for rank, level in enumerate(permissions.LEVELS)}
_OPENNESS = {level: rank for rank, level in enumerate(permissions.MASKS)}
_MOST_PEOPLE = 1000

Cells = dict[tuple[str, str], str]


# --- the matrix of one role --------------------------------------------------------------------------------------


@dataclass
class Matrix:
    """What a role may do: levels by (module, verb), masks by field."""

    cells: Cells = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)

    def level(self, module: str, verb: str) -> str:
        """none, own, team or all."""
        return self.cells.get((module, verb), "none")

    def mask(self, name: str) -> str:
        """hidden, last4 or full."""
        return self.masks.get(name, "hidden")

    @property
    def mark(self) -> str:
        """A hash of all of it: who saves must have seen this one."""
        held = [sorted((*key, level) for key, level in self.cells.items()), sorted(self.masks.items())]
        return hashlib.sha256(json.dumps(held).encode()).hexdigest()[:32]


def matrix_of(session: Session, role: Any) -> Matrix:
    """The role's matrix as it is stored; Admin's is everything."""
    if role.name == access.ADMIN:
        return Matrix({(m, v): "all" for m in POSSIBLE for v in POSSIBLE[m]}, dict.fromkeys(permissions.MASKED, "full"))
    cells = session.scalars(select(ModulePermission).where(ModulePermission.role_id == role.id))
    masks = session.scalars(select(FieldMask).where(FieldMask.role_id == role.id))
    return Matrix({(each.module, each.verb): each.level for each in cells}, {each.field: each.level for each in masks})


def store(session: Session, role: Any, wanted: Matrix) -> None:
    """Make the role's rows those of the matrix. The flush notes it, and refuses what the person may not give."""
    cells = session.scalars(select(ModulePermission).where(ModulePermission.role_id == role.id))
    held: dict[Any, Any] = {(each.module, each.verb): each for each in cells}
    for (module, verb), level in wanted.cells.items():
        fresh = ModulePermission(role_id=role.id, module=module, verb=verb, level=level)
        _store_level(session, held.get((module, verb)), fresh, level, "none")
    masks = {each.field: each for each in session.scalars(select(FieldMask).where(FieldMask.role_id == role.id))}
    for name, level in wanted.masks.items():
        _store_level(session, masks.get(name), FieldMask(role_id=role.id, field=name, level=level), level, "hidden")


def _store_level(session: Session, held: Any, fresh: Any, level: str, nothing: str) -> None:
    if held is not None and level == nothing:
        session.delete(held)
    elif held is not None:
        held.level = level
    elif level != nothing:
        session.add(fresh)


# --- what no door can go around: cells and FAB's pairs agree, nobody gives more than he has, all of it is noted --


def watch(session_class: Any) -> None:
    """Make every session of the class keep these rules. Idempotent."""
    if not event.contains(session_class, "before_flush", _before_flush):
        event.listen(session_class, "before_flush", _before_flush)
        event.listen(session_class, "after_flush_postexec", _after_flush)


_WATCHED = (ModulePermission, FieldMask, Role, Group, User)


def _touched(session: Session, *kinds: Any) -> list[Any]:
    """New, changed and deleted rows of these kinds."""
    rows = [row for row in (*session.new, *session.dirty, *session.deleted) if isinstance(row, kinds)]
    return [row for row in rows if row in session.new or row in session.deleted or session.is_modified(row)]


def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
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


def _after_flush(session: Session, _context: Any) -> None:
    """A role made with pairs has its key only now: its cells follow in the next flush of the same transaction."""
    for role, wanted in session.info.pop("new_roles", ()):
        session.add_all(ModulePermission(role_id=role.id, module=m, verb=v, level="own") for m, v in wanted)


def _old(row: Any, name: str) -> Any:
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
        session.info.setdefault("new_roles", []).append((role, _keys(history.added)))
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
        if cell not in session.deleted and _RANK[cell.level] > _RANK[who.level(cell.module, cell.verb)]:
            _deny(_MODULE_WORDS[cell.module], _VERB_WORDS[cell.verb])
    for mask in _touched(session, FieldMask):
        if mask not in session.deleted and _OPENNESS[mask.level] > _OPENNESS[who.mask(mask.field)]:
            _deny(_FIELD_WORDS[mask.field], _MASK_WORDS[mask.level])
    for role in _touched(session, Role):
        _refuse_role(who, role)
    for role in _roles_given(session):
        _refuse_giving(session, who, role)
    for user in _touched(session, User):
        _refuse_admin(who, user)


def _deny(what: Any, how: Any) -> None:
    text = _("You cannot give more than you have yourself (%(what)s: %(how)s). Ask an administrator.",
             what=what, how=how)  # fmt: skip
    raise access.Denied(text)


def _refuse_role(who: access.Person, role: Any) -> None:
    if role.name in BUILT_IN or _old(role, "name") in BUILT_IN:
        raise access.Denied(_("Only an administrator may change the roles Admin and Public."))
    for pair in inspect(role).attrs.permissions.history.added:
        if (pair.permission.name, pair.view_menu.name) not in who.pairs:
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
        if _RANK[level] > _RANK[who.level(module, verb)]:
            _deny(role.name, _MODULE_WORDS[module])
    for name, level in gives.masks.items():
        if _OPENNESS[level] > _OPENNESS[who.mask(name)]:
            _deny(role.name, _FIELD_WORDS[name])
    if any((pair.permission.name, pair.view_menu.name) not in who.pairs for pair in role.permissions):
        _deny(role.name, _("screens"))


def _refuse_admin(who: access.Person, user: Any) -> None:
    """An administrator's account is changed by administrators and by himself."""
    history = inspect(user).attrs.roles.history
    before = [*(history.unchanged or ()), *(history.deleted or ())] or ([] if history.added else user.roles)
    if user.id is not None and user.id != who.id and any(role.name == access.ADMIN for role in before):
        raise access.Denied(_("Only an administrator may change the account of an administrator."))


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
        old = nothing if row in session.new else _old(row, "level")
        new = nothing if row in session.deleted else row.level
        role = session.get(Role, row.role_id)
        if old != new and role is not None:
            what = {"module": row.module, "verb": row.verb} if nothing == "none" else {"field": row.field}
            yield "permission change", f"role {role.name}", {"role": role.name, **what, "old": old, "new": new}


def _lines_of_roles(session: Session) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for role in _touched(session, Role):
        history = inspect(role).attrs.permissions.history
        about, has_new_name = f"role {role.name}", _old(role, "name") != role.name
        if role in session.new or role in session.deleted or has_new_name:
            what = "made" if role in session.new else "deleted" if role in session.deleted else "renamed"
            yield "role change", about, {"what": what, "before": _old(role, "name")}
        other = {kind: [str(p) for p in pairs or () if not _keys([p])]
                 for kind, pairs in (("added", history.added), ("removed", history.deleted))}  # fmt: skip
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
        entry = AuditEntry(at=datetime.now(UTC), event=name, user_id=who.id if who else None, about=about[:190],
                           address=address, payload=payload)  # fmt: skip
        entry.hash = before = audit.digest(before, entry)
        session.add(entry)


def _last_hash(session: Session) -> str:
    pending = [row.hash for row in session.new if isinstance(row, AuditEntry)]
    if pending:
        return pending[-1]
    with access.as_system(session):
        last = select(AuditEntry.hash).order_by(AuditEntry.id.desc()).limit(1).with_for_update()
        return session.execute(last).scalar() or ""


# --- screen: the matrix ------------------------------------------------------------------------------------------


class RoleMatrix(BaseView):
    """A role's matrix of modules and verbs, and its masks."""

    route_base = "/roles/matrix"
    default_view = "first"
    class_permission_name = "Settings"
    method_permission_name = {"first": "read", "matrix": "read", "save": "write"}

    @expose("/")
    @has_access
    def first(self) -> Any:
        """The first role that can be changed."""
        roles = _roles()
        chosen = next((role for role in roles if role.name not in BUILT_IN), roles[0])
        return redirect(url_for("RoleMatrix.matrix", role_id=chosen.id))

    @expose("/<int:role_id>")
    @has_access
    def matrix(self, role_id: int) -> Any:
        """The matrix as it is."""
        role = access.get_visible(db.session(), Role, role_id) or abort(404)
        return self._page(role, matrix_of(db.session(), role))

    @expose("/<int:role_id>", methods=["POST"])
    @has_access
    def save(self, role_id: int) -> Any:
        """Store what was chosen, if nobody changed the role meanwhile."""
        protect()
        session = db.session()
        role = session.scalars(select(Role).where(Role.id == min(role_id, 2**31 - 1)).with_for_update()).first()
        role = role or abort(404)
        wanted = _typed(matrix_of(session, role))
        try:
            _refuse_fixed(role)
            _refuse_nonsense(wanted)
            _refuse_unseen(matrix_of(session, role), wanted)
            store(session, role, wanted)
            session.commit()
        except RuleBroken as broken:
            session.rollback()
            flash(str(broken.message), "danger")
            return self._page(role, wanted), gate.refusal(broken)[0]
        flash(_("The role is saved."), "success")
        return redirect(url_for("RoleMatrix.matrix", role_id=role_id))

    def _page(self, role: Any, shown: Matrix) -> str:
        """The page with these levels chosen; the form carries the mark of what is stored."""
        mark = matrix_of(db.session(), role).mark
        return self.render_template(
            "crm/roles.html", title=_("Roles"), role=_role_card(role), roles=[_role_card(each) for each in _roles()],
            modules=_words(_MODULE_WORDS), verbs=_words(_VERB_WORDS), levels=_words(_LEVEL_WORDS),
            cells=_cells(shown), masks=_mask_rows(shown), mask_levels=_words(_MASK_WORDS),
            action_url=url_for("RoleMatrix.save", role_id=role.id, seen=mark), can_url=url_for("Abilities.mine"),
            add_url=url_for("Roles.add"), advanced_url=url_for("Roles.edit", pk=role.id), settings_url="",
        )  # fmt: skip


def _roles() -> list[Any]:
    return list(db.session.scalars(select(Role).order_by(Role.name)))


def _role_card(role: Any) -> dict[str, Any]:
    url = url_for("RoleMatrix.matrix", role_id=role.id)
    return {"id": role.id, "name": role.name, "fixed": role.name in BUILT_IN, "url": url}


def _words(words: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key, str(word)) for key, word in words.items()]


def _cells(shown: Matrix) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (module, verb): {
            "level": shown.level(module, verb), "possible": verb in POSSIBLE[module],
            "levels": _offered(module, shown.level(module, verb)),
        }
        for module in permissions.MODULES for verb in permissions.VERBS
    }  # fmt: skip


def _offered(module: str, now: str) -> list[tuple[str, str]]:
    few = module in _WITHOUT_OWNER
    return [(key, word) for key, word in _words(_LEVEL_WORDS) if not few or key in ("none", "all", now)]


def _mask_rows(shown: Matrix) -> list[dict[str, str]]:
    return [{"field": name, "label": str(word), "level": shown.mask(name)} for name, word in _FIELD_WORDS.items()]


def _typed(held: Matrix) -> Matrix:
    """What the form says; a cell that it does not name stays as it is."""
    sent = request.form
    keys = [(m, v) for m in permissions.MODULES for v in permissions.VERBS]
    cells = {(m, v): sent.get(f"level_{m}_{v}", held.level(m, v)) for m, v in keys}
    masks = {name: sent.get(f"mask_{name}", held.mask(name)) for name in permissions.MASKED}
    return Matrix(cells, masks)


def _refuse_fixed(role: Any) -> None:
    if role.name in BUILT_IN:
        raise access.Denied(_("The role %(name)s is part of the product and cannot be changed.", name=role.name))


def _refuse_nonsense(wanted: Matrix) -> None:
    """Raise RuleBroken for a level that does not exist, or for a new one where the verb means nothing."""
    bad = [level for level in wanted.cells.values() if level not in _RANK]
    bad += [level for level in wanted.masks.values() if level not in _OPENNESS]
    if bad:
        raise RuleBroken(_("“%(level)s” is no level. Please choose one from the list.", level=bad[0][:20]))
    for module, verb in permissions_outside(request.form):
        what = {"module": _MODULE_WORDS[module], "verb": _VERB_WORDS[verb]}
        raise RuleBroken(_("%(module)s: “%(verb)s” means nothing there. Please leave it out.", **what))


def permissions_outside(sent: Any) -> list[tuple[str, str]]:
    """The cells of a sent matrix that are open although the verb means nothing in the module."""
    cells = ((m, v) for m in permissions.MODULES for v in permissions.VERBS if v not in POSSIBLE[m])
    return [(m, v) for m, v in cells if sent.get(f"level_{m}_{v}", "none") != "none"]


def _refuse_unseen(held: Matrix, wanted: Matrix) -> None:
    """Raise Conflict when the role was changed since the page was made; names where it differs."""
    if request.args.get("seen") == held.mark:
        return
    keys = [key for key, level in wanted.cells.items() if held.level(*key) != level][:5]
    where = ", ".join(f"{_MODULE_WORDS[m]}: {_VERB_WORDS[v]} ({_LEVEL_WORDS[held.level(m, v)]})" for m, v in keys)
    text = _("Somebody changed this role meanwhile. What you chose is still here; look at it, then save again.")
    raise Conflict(f"{text} {where}".strip())


# --- screen: what can this person do -----------------------------------------------------------------------------


class Abilities(BaseView):
    """What a person may do, and which of his roles says so."""

    route_base = "/users/can"
    default_view = "mine"

    @expose("/")
    @signed_in
    def mine(self) -> Any:
        """One's own, or the person of ?who=."""
        return redirect(url_for("Abilities.of", user_id=request.args.get("who", type=int) or g.person.id))

    @expose("/<int:user_id>")
    @signed_in
    def of(self, user_id: int) -> Any:
        """One person's, for himself, those above him and administrators."""
        other = request.args.get("who", type=int)
        if other and other != user_id:
            return redirect(url_for("Abilities.of", user_id=other))
        people = _whom(g.person)
        if user_id not in people:
            abort(404)
        return self._page(db.session.get(User, user_id), people)

    def _page(self, user: Any, people: dict[int, str]) -> str:
        session = db.session()
        with access.as_system(session):
            person = access.load_person(session, user.id, gate.now())
            given = {role.name: matrix_of(session, role) for role in _all_roles(user)}
            active = session.scalar(select(func.count()).select_from(User).where(User.active.is_(True)))
        return self.render_template(
            "team/can.html", title=_("What can this person do"), who=_person_card(user, given),
            people=list(people.items()) if len(people) > 1 else [], can=_can(person, given),
            levels=_words(_LEVEL_WORDS), modules=_words(_MODULE_WORDS), verbs=_words(_VERB_WORDS),
            masks=_effective_masks(person, given),
            reach=((_LEVEL_WORDS["own"], len(person.own)), (_LEVEL_WORDS["team"], len(person.team)),
                   (_LEVEL_WORDS["all"], active)),
            roles_url=url_for("RoleMatrix.first") if g.person.may("Settings", "read") else "",
        )  # fmt: skip


def _whom(who: access.Person) -> dict[int, str]:
    """The people whose rights this person may look at, by id: all for an admin, else himself and those below."""
    query = select(User.id, User.first_name, User.last_name).order_by(User.first_name, User.last_name)
    if not who.is_admin:
        query = query.where(User.id.in_(sorted(team.below(db.session(), who.id))))
    return {key: f"{first} {last}".strip() for key, first, last in db.session.execute(query)}


def _all_roles(user: Any) -> list[Any]:
    roles = {role.id: role for role in (*user.roles, *(each for group in user.groups for each in group.roles))}
    return sorted(roles.values(), key=lambda role: str(role.name))


def _person_card(user: Any, given: dict[str, Matrix]) -> dict[str, Any]:
    manager = db.session.get(User, user.manager_id) if user.manager_id else None
    name = user.get_full_name().strip()
    card = {"id": user.id, "full_name": name, "initials": initials(name), "username": user.username}
    return card | {"email": user.email, "roles": list(given), "reports_to": manager.get_full_name() if manager else ""}


def _can(person: access.Person, given: dict[str, Matrix]) -> dict[tuple[str, str], dict[str, str]]:
    found = {}
    for module, verb in ((m, v) for m in POSSIBLE for v in permissions.VERBS):
        level = person.level(module, verb)
        if level != "none" and verb in POSSIBLE[module]:
            sources = [name for name, matrix in given.items() if matrix.level(module, verb) == level]
            found[module, verb] = {"level": level, "word": str(_LEVEL_WORDS[level]), "from": ", ".join(sources)}
    return found


def _effective_masks(person: access.Person, given: dict[str, Matrix]) -> list[dict[str, str]]:
    rows = []
    for name, word in _FIELD_WORDS.items():
        level = person.mask(name)
        sources = [role for role, matrix in given.items() if matrix.mask(name) == level and level != "hidden"]
        rows.append({"label": str(word), "level": level, "word": str(_MASK_WORDS[level]), "from": ", ".join(sources)})
    return rows


# --- screen: users -----------------------------------------------------------------------------------------------


class People(Interface):
    """Users with what their list shows beside the columns: full name, manager, what they can do."""

    def get_values(self, lst: Any, list_columns: Any) -> Iterator[dict[str, Any]]:
        """FAB's rows; roles and managers come with two statements for the whole page."""
        people = list(lst)
        keys = [user.id for user in people]
        self.session.scalars(select(User).where(User.id.in_(keys)).options(selectinload(User.roles))).all()
        managers = {user.manager_id for user in people if user.manager_id}
        self.session.scalars(select(User).where(User.id.in_(managers))).all()
        yield from super().get_values(people, list_columns)

    def _get_attr_value(self, item: Any, col: str) -> Any:
        if col == "name":
            return item.get_full_name().strip()
        if col in ("manager", "delegate"):
            key = getattr(item, f"{col}_id")
            return self.session.get(User, key).get_full_name() if key else None
        if col == "can":
            return _link(url_for("Abilities.of", user_id=item.id), _("What can they do?"))
        return super()._get_attr_value(item, col)


def _link(url: str, words: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(url, words)


def _people_choices() -> list[tuple[str, str]]:
    query = select(User.id, User.first_name, User.last_name, User.active).limit(_MOST_PEOPLE)
    rows = db.session.execute(query.order_by(User.active.desc(), User.first_name, User.last_name, User.id)).all()
    return [("", "–"), *((str(key), _labelled(f"{first} {last}", active)) for key, first, last, active in rows)]


def _labelled(name: str, active: bool | None) -> str:
    return name.strip() if active else _("%(name)s (inactive)", name=name.strip())


def _zone_choices() -> list[tuple[str, str]]:
    areas = ("Africa/", "America/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")
    names = sorted(name for name in available_timezones() if name.startswith(areas) or name == "UTC")
    return [("", _("As the office")), *((name, name.replace("_", " ")) for name in names)]


def _language_choices() -> list[tuple[str, str]]:
    languages = current_app.config["LANGUAGES"].items()
    return [("", _("As the office")), *((code, each["name"]) for code, each in languages)]


def _key_or_none(raw: Any) -> int | None:
    return int(raw) if raw not in (None, "", "None") else None


def _text_or_none(raw: Any) -> str | None:
    return str(raw) if raw not in (None, "", "None") else None


class Minutes(StringField):
    """Minutes before due: "60, 5" in the form, [60, 5] in the row, None for the house's."""

    def _value(self) -> str:
        return self.raw_data[0] if self.raw_data else ", ".join(str(each) for each in self.data or ())

    def process_formdata(self, valuelist: list[str]) -> None:
        """Whole minutes, largest first."""
        if valuelist:
            self.data = _minutes(valuelist[0])


def _minutes(typed: str) -> list[int] | None:
    parts = [part for part in typed.replace(",", " ").split() if part]
    if not parts:
        return None
    good = all(part.isascii() and part.isdigit() and len(part) < 6 and 0 < int(part) <= 10080 for part in parts)
    if not good or len(parts) > 5:
        raise ValidationError(_("Please write up to five numbers of minutes from 1 to 10080, such as 60, 5."))
    return sorted({int(part) for part in parts}, reverse=True)


def _line(label: Any, *checks: Any, **more: Any) -> Any:
    return StringField(label, validators=[Optional(), *checks], widget=BS3TextFieldWidget(), **more)


_TRADE_FIELDS = {
    "mobile": _line(lazy_gettext("Mobile"), Length(max=40)),
    "telephony_number": _line(lazy_gettext("Telephony number"), Length(max=40),
                              description=lazy_gettext("The Twilio or Exotel number of this person")),
    "manager_id": pick(lazy_gettext("Reports to"), _people_choices, coerce=_key_or_none),
    "available": BooleanField(lazy_gettext("Takes new work"), default=True),
    "away_until": LocalMoment(lazy_gettext("Away until"), [Optional()]),
    "leave_from": LocalMoment(lazy_gettext("On leave from"), [Optional()]),
    "leave_to": LocalMoment(lazy_gettext("On leave to"), [Optional()]),
    "delegate_id": pick(lazy_gettext("Delegate"), _people_choices, coerce=_key_or_none,
                         description=lazy_gettext("Works in this person's stead during the leave")),
    "time_zone": pick(lazy_gettext("Time zone"), _zone_choices, coerce=_text_or_none),
    "locale": pick(lazy_gettext("Language"), _language_choices, coerce=_text_or_none),
    "reminder_minutes": Minutes(lazy_gettext("Reminders"), widget=BS3TextFieldWidget(),
                                description=lazy_gettext("Minutes before a task is due, such as 60, 5")),
}  # fmt: skip
_WHO = ["first_name", "last_name", "username", "email", "active", "roles", "groups"]
_AWAY = ["available", "away_until", "leave_from", "leave_to", "delegate_id"]
_HABITS = ["time_zone", "locale", "reminder_minutes"]
_PARTS = [
    (lazy_gettext("Person"), {"fields": [*_WHO, "mobile", "telephony_number", "manager_id"]}),
    (lazy_gettext("Availability"), {"fields": _AWAY}),
    (lazy_gettext("Habits"), {"fields": _HABITS}),
]
_PASSWORD = (lazy_gettext("Password"), {"fields": ["password", "conf_password"]})


class Users(Sturdy, UserDBModelView):
    """The people of the house."""

    interface = People
    class_permission_name = "Settings"
    #: Another's password stays with administrators: that action keeps a permission of its own.
    method_permission_name = SCREEN_VERBS | {"abilities": "read"}
    list_title, show_title = lazy_gettext("Users"), lazy_gettext("User")
    add_title, edit_title = lazy_gettext("New user"), lazy_gettext("Edit user")
    list_columns = ["name", "username", "email", "active", "roles", "manager", "available", "can"]
    order_columns = ["username", "email", "active", "available"]
    base_order = ("username", "asc")
    search_columns = ["first_name", "last_name", "username", "email", "active", "available", "roles", "groups"]
    label_columns = UserDBModelView.label_columns | {
        "name": lazy_gettext("Name"), "username": lazy_gettext("User name"), "active": lazy_gettext("Active"),
        "roles": lazy_gettext("Roles"), "manager": lazy_gettext("Reports to"), "can": lazy_gettext("Rights"),
        "available": lazy_gettext("Takes new work"), "delegate": lazy_gettext("Delegate"),
        **{name: each.args[0] if each.args else name for name, each in _TRADE_FIELDS.items()},
    }  # fmt: skip
    validators_columns = UserDBModelView.validators_columns | {"email": [Email()]}
    add_form_extra_fields = UserDBModelView.add_form_extra_fields | _TRADE_FIELDS
    edit_form_extra_fields = _TRADE_FIELDS
    add_fieldsets = [*_PARTS, _PASSWORD]
    edit_fieldsets = _PARTS
    show_fieldsets = [
        (lazy_gettext("Person"), {"fields": [*_WHO, "mobile", "telephony_number", "manager"]}),
        (lazy_gettext("Availability"), {"fields": [*_AWAY[:-1], "delegate"]}),
        (lazy_gettext("Habits"), {"fields": _HABITS}),
        (lazy_gettext("History"), {"fields": ["last_login", "login_count", "created_on", "changed_on", "can"]}),
    ]
    user_show_fieldsets = [*show_fieldsets[:3], (lazy_gettext("Rights"), {"fields": ["can"]})]
    in_use_message = lazy_gettext("This person has records. Please deactivate the user instead.")

    @expose("/show/<pk>", methods=["GET"])
    @has_access
    def show(self, pk: Any) -> Any:
        """One person."""
        item = self.datamodel.get(pk, self._base_filters) or abort(404)
        actions = {name: self.actions[name] for name in ("abilities", "resetpasswords")}
        widgets = self._get_show_widget(pk, item, actions=actions)
        return self.render_template(self.show_template, pk=pk, title=self.show_title, widgets=widgets)

    @expose("/userinfo/")
    @signed_in
    def userinfo(self) -> Any:
        """One's own page."""
        item = db.session.get(User, g.person.id)
        widgets = self._get_show_widget(item.id, item, actions={}, show_fieldsets=self.user_show_fieldsets)
        return self.render_template("team/me.html", pk=item.id, title=_("My page"), widgets=widgets)

    @action("abilities", lazy_gettext("What can this person do"), "", "fa-user", multiple=False)
    def abilities(self, item: Any) -> Any:
        """To the table of rights."""
        return redirect(url_for("Abilities.of", user_id=item.id))

    def pre_add(self, item: Any) -> None:
        """Check what the trade adds, and hash the password."""
        _refuse_bad_person(item)
        super().pre_add(item)

    def pre_update(self, item: Any) -> None:
        """Check what the trade adds."""
        _refuse_bad_person(item)
        super().pre_update(item)

    def pre_delete(self, item: Any) -> None:
        """Nobody deletes himself."""
        if item.id == g.person.id:
            raise RuleBroken(_("You cannot delete yourself. Ask another administrator."))


def _refuse_bad_person(user: Any) -> None:
    """Normal form of the numbers; raises RuleBroken for a bad number, a circle of managers or an odd leave."""
    user.mobile, user.telephony_number = user.mobile or None, user.telephony_number or None
    user.mobile_e164 = _e164(user.mobile, "mobile")
    user.telephony_number = _e164(user.telephony_number, "telephony_number")
    if user.manager_id and user.id:
        _refuse_circle(user)
    if user.leave_to and (user.leave_from is None or user.leave_to <= user.leave_from):
        raise RuleBroken(_("The leave must end after it begins."), "leave_to")
    if user.delegate_id is not None and user.delegate_id == user.id:
        raise RuleBroken(_("Nobody can be his own delegate. Choose a colleague."), "delegate_id")


def _refuse_circle(user: Any) -> None:
    try:
        team.refuse_cycle(db.session(), user.id, user.manager_id)
    except RuleBroken as broken:
        raise RuleBroken(str(broken.message), "manager_id") from broken


def _e164(typed: str | None, name: str) -> str | None:
    if not typed:
        return None
    found = phone.normal(typed)
    if found is None:
        raise RuleBroken(_("This is no telephone number. Please check it."), name)
    return found


# --- screen: roles, groups, FAB's own lists ----------------------------------------------------------------------


class RoleRows(Interface):
    """Roles with the number of their people and a way to the matrix."""

    def _get_attr_value(self, item: Any, col: str) -> Any:
        if col == "people":
            return len(team.members(self.session, item.id))
        if col == "matrix":
            return _link(url_for("RoleMatrix.matrix", role_id=item.id), _("Open the matrix"))
        return super()._get_attr_value(item, col)


class Roles(Sturdy, RoleModelView):
    """FAB's roles; the matrix is where they are meant to be changed."""

    interface = RoleRows
    class_permission_name = "Settings"
    method_permission_name = SCREEN_VERBS | {"copy_role": "create", "to_matrix": "read"}
    list_title, show_title = lazy_gettext("Roles"), lazy_gettext("Role")
    add_title, edit_title = lazy_gettext("New role"), lazy_gettext("Edit role")
    list_columns = ["name", "people", "matrix"]
    show_columns = ["name", "people", "matrix", "permissions"]
    search_columns = ["name"]
    label_columns = RoleModelView.label_columns | {
        "people": lazy_gettext("People"), "matrix": lazy_gettext("Matrix"),
    }  # fmt: skip
    base_order = ("name", "asc")

    @action("matrix", lazy_gettext("Matrix"), "", "fa-table", multiple=False)
    def to_matrix(self, item: Any) -> Any:
        """To the role's matrix."""
        return redirect(url_for("RoleMatrix.matrix", role_id=item.id))

    @action("copyrole", lazy_gettext("Copy role"), lazy_gettext("Copy the chosen roles?"), "fa-copy", single=False)
    def copy_role(self, items: Any) -> Any:
        """Each with its pairs, levels and masks, under a new name."""
        for role in items:
            _copy(db.session(), role)
        db.session.commit()
        flash(_("Copied."), "success")
        return self._to_list()

    def pre_add(self, item: Any) -> None:
        """Every role opens one's own page."""
        item.permissions = list({*item.permissions, *_own_pairs(db.session())})

    def pre_update(self, item: Any) -> None:
        """The two of FAB stay as they are, and a name that the rules know stays too."""
        before = _old(item, "name")
        if before == access.ADMIN:
            raise RuleBroken(_("The role Admin may do everything and cannot be changed."))
        if before in CALLED_BY_NAME and item.name != before:
            raise RuleBroken(_("The product calls this role by its name, so it cannot be renamed."), "name")

    def pre_delete(self, item: Any) -> None:
        """Not a role that the product or somebody needs; its cells and masks go with it."""
        if item.name in CALLED_BY_NAME:
            raise RuleBroken(_("The product needs the role %(name)s, so it cannot be deleted.", name=item.name))
        if item.groups or team.members(db.session(), item.id):
            raise RuleBroken(_("Somebody still has this role. Take it from its users and groups first."))


def _own_pairs(session: Session) -> list[Any]:
    """FAB's pairs that every role has: see pairs.OWN_PAIRS."""
    index = type(current_app.appbuilder._indexview).__name__  # type: ignore[attr-defined]
    query = select(PermissionView).join(PermissionView.permission).join(PermissionView.view_menu)
    found = list(session.scalars(query.where(ViewMenu.name.in_({index, *(view for _name, view in OWN_PAIRS)}))))
    names = {pair: (pair.permission.name, pair.view_menu.name) for pair in found}
    return [pair for pair, (name, view) in names.items() if view == index or (name, view) in OWN_PAIRS]


def _copy(session: Session, role: Any) -> None:
    _refuse_fixed(role)
    name = f"{role.name} copy"
    if session.scalars(select(Role).where(Role.name == name)).first() is not None:
        raise RuleBroken(_("There is a role “%(name)s” already. Rename or delete it first.", name=name))
    made = Role(name=name[:64], permissions=list(role.permissions))
    session.add(made)
    session.flush()
    session.flush()  # the cells that follow from the pairs
    store(session, made, matrix_of(session, role))


class Groups(Sturdy, UserGroupModelView):
    """Groups of users who share roles."""

    class_permission_name = "Settings"
    method_permission_name = SCREEN_VERBS
    list_title, show_title = lazy_gettext("Groups"), lazy_gettext("Group")
    add_title, edit_title = lazy_gettext("New group"), lazy_gettext("Edit group")
    search_columns = ["name", "label", "roles"]
    label_columns = {
        "name": lazy_gettext("Name"), "label": lazy_gettext("Label"), "description": lazy_gettext("Description"),
        "users": lazy_gettext("Users"), "roles": lazy_gettext("Roles"),
    }  # fmt: skip

    def pre_delete(self, item: Any) -> None:
        """Not while somebody is in it."""
        if item.users:
            raise RuleBroken(_("Somebody is still in this group. Take its users out first."))


class Permissions(Sturdy, PermissionModelView):
    """FAB's names of permissions; administrators only."""

    search_columns = ["name"]


class ViewMenus(Sturdy, ViewMenuModelView):
    """FAB's names of screens and menus; administrators only."""

    search_columns = ["name"]


class PermissionViews(Sturdy, PermissionViewModelView):
    """FAB's pairs; administrators only."""

    search_columns = ["permission", "view_menu"]


watch(Session)

#: (label, view class, icon, address) for the menu; FAB's security manager registers those of FAB's own kind.
SCREENS = (
    (lazy_gettext("Users"), Users, "users", "/users/list/"),
    (lazy_gettext("Roles"), RoleMatrix, "shield", "/roles/matrix/"),
    (lazy_gettext("All roles"), Roles, "shield-lock", "/roles/list/"),
    (lazy_gettext("Groups"), Groups, "users-group", "/groups/list/"),
    (lazy_gettext("What can I do"), Abilities, "user-question", "/users/can/"),
)
#: For the security manager: its attribute -> our screen.
OF_FAB = {
    "userdbmodelview": Users, "rolemodelview": Roles, "groupmodelview": Groups, "permissionmodelview": Permissions,
    "viewmenumodelview": ViewMenus, "permissionviewmodelview": PermissionViews, "userstatschartview": None,
}  # fmt: skip
