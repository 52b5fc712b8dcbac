"""What a role may do: the matrix of modules and verbs, its masks, their words, and the screen of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import abort, flash, redirect, request, url_for
from flask_appbuilder import BaseView, expose
from flask_appbuilder.security.decorators import has_access
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import permissions
from app.domain.base import Conflict, RuleBroken, join_texts
from app.extensions import db
from app.models import FieldMask, ModulePermission, Role
from app.web.core import gate
from app.web.core.languages import said
from app.web.pages.hardened import protect

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
MODULE_WORDS = {
    "Dashboard": lazy_gettext("Dashboard"),
    "Leads": lazy_gettext("Leads"),
    "Tickets": lazy_gettext("Tickets"),
    "Customers": lazy_gettext("Customers"),
    "Tasks": lazy_gettext("Tasks"),
    "Call Logs": lazy_gettext("Calls"),
    "Messages": lazy_gettext("Messages"),
    "Support Pages": lazy_gettext("Support pages"),
    "Notes": lazy_gettext("Notes"),
    "Requests": lazy_gettext("Requests"),
    "Reports": lazy_gettext("Reports"),
    "Settings": lazy_gettext("Settings"),
}
VERB_WORDS = {
    "read": lazy_gettext("View"),
    "create": lazy_gettext("Create"),
    "write": lazy_gettext("Edit"),
    "delete": lazy_gettext("Delete"),
    "assign": lazy_gettext("Assign"),
    "export": lazy_gettext("Export"),
    "import": lazy_gettext("Import"),
    "bulk": lazy_gettext("Bulk edit"),
    "reveal": lazy_gettext("Reveal"),
    "recordings": lazy_gettext("Recordings"),
}
LEVEL_WORDS = {
    "none": lazy_gettext("no"),
    "own": lazy_gettext("own"),
    "team": lazy_gettext("team"),
    "all": lazy_gettext("all"),
}
MASK_WORDS = {
    "hidden": lazy_gettext("hidden"),
    "last4": lazy_gettext("last four"),
    "full": lazy_gettext("full"),
}
FIELD_WORDS = {
    "mobile": lazy_gettext("Mobile"),
    "alternative_mobile": lazy_gettext("Other mobile"),
    "email": lazy_gettext("Email"),
    "pan": lazy_gettext("PAN"),
    "aadhaar": lazy_gettext("Aadhaar"),
    "address": lazy_gettext("Address"),
}
#: FAB's own two: the one may everything, the other is for nobody signed in.
BUILT_IN = (access.ADMIN, "Public")
RANK = {level: rank for rank, level in enumerate(permissions.LEVELS)}
OPENNESS = {level: rank for rank, level in enumerate(permissions.MASKS)}

Cells = dict[tuple[str, str], str]


def words(said: dict[str, Any]) -> list[tuple[str, str]]:
    """(key, word) pairs in the reader's language."""
    return [(key, str(word)) for key, word in said.items()]


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
        return gate.mark_of(held)


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


def refuse_fixed(role: Any) -> None:
    """Raise Denied for a role that nobody may change."""
    if role.name in BUILT_IN:
        raise access.Denied(_("The role %(name)s is built in and can't be changed.", name=role.name))


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
            refuse_fixed(role)
            _refuse_nonsense(wanted)
            _refuse_unseen(matrix_of(session, role), wanted)
            store(session, role, wanted)
            session.commit()
        except RuleBroken as broken:
            session.rollback()
            flash(said(broken.message), "danger")
            return self._page(role, wanted), gate.refusal(broken)[0]
        flash(_("Role saved."), "success")
        return redirect(url_for("RoleMatrix.matrix", role_id=role_id))

    def _page(self, role: Any, shown: Matrix) -> str:
        """The page with these levels chosen; the form carries the mark of what is stored."""
        mark = matrix_of(db.session(), role).mark
        return self.render_template(
            "crm/roles.html",
            title=_("Roles"),
            role=_role_card(role),
            roles=[_role_card(each) for each in _roles()],
            modules=words(MODULE_WORDS),
            verbs=words(VERB_WORDS),
            levels=words(LEVEL_WORDS),
            cells=_cells(shown),
            masks=_mask_rows(shown),
            mask_levels=words(MASK_WORDS),
            action_url=url_for("RoleMatrix.save", role_id=role.id, seen=mark),
            can_url=url_for("EffectiveRightsView.mine"),
            add_url=url_for("Roles.add"),
            advanced_url=url_for("Roles.edit", pk=role.id),
            settings_url="",
        )


def _roles() -> list[Any]:
    return list(db.session.scalars(select(Role).order_by(Role.name)))


def _role_card(role: Any) -> dict[str, Any]:
    url = url_for("RoleMatrix.matrix", role_id=role.id)
    return {"id": role.id, "name": role.name, "fixed": role.name in BUILT_IN, "url": url}


def _cells(shown: Matrix) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (module, verb): {
            "level": shown.level(module, verb),
            "possible": verb in POSSIBLE[module],
            "levels": _offered(module, shown.level(module, verb)),
        }
        for module in permissions.MODULES
        for verb in permissions.VERBS
    }


def _offered(module: str, now: str) -> list[tuple[str, str]]:
    few = module in _WITHOUT_OWNER
    return [(key, word) for key, word in words(LEVEL_WORDS) if not few or key in ("none", "all", now)]


def _mask_rows(shown: Matrix) -> list[dict[str, str]]:
    return [{"field": name, "label": str(word), "level": shown.mask(name)} for name, word in FIELD_WORDS.items()]


def _typed(held: Matrix) -> Matrix:
    """What the form says; a cell that it does not name stays as it is."""
    sent = request.form
    keys = [(m, v) for m in permissions.MODULES for v in permissions.VERBS]
    cells = {(m, v): sent.get(f"level_{m}_{v}", held.level(m, v)) for m, v in keys}
    masks = {name: sent.get(f"mask_{name}", held.mask(name)) for name in permissions.MASKED}
    return Matrix(cells, masks)


def _refuse_nonsense(wanted: Matrix) -> None:
    """Raise RuleBroken for a level that does not exist, or for a new one where the verb means nothing."""
    bad = [level for level in wanted.cells.values() if level not in RANK]
    bad += [level for level in wanted.masks.values() if level not in OPENNESS]
    if bad:
        raise RuleBroken(_("“%(level)s” isn't a valid level. Please choose one from the list.", level=bad[0][:20]))
    for module, verb in permissions_outside(request.form):
        what = {"module": MODULE_WORDS[module], "verb": VERB_WORDS[verb]}
        raise RuleBroken(_("%(module)s: “%(verb)s” doesn't apply to this module. Please leave it out.", **what))


def permissions_outside(sent: Any) -> list[tuple[str, str]]:
    """The cells of a sent matrix that are open although the verb means nothing in the module."""
    cells = ((m, v) for m in permissions.MODULES for v in permissions.VERBS if v not in POSSIBLE[m])
    return [(m, v) for m, v in cells if sent.get(f"level_{m}_{v}", "none") != "none"]


def _refuse_unseen(held: Matrix, wanted: Matrix) -> None:
    """Raise Conflict when the role was changed since the page was made; names where it differs."""
    if request.args.get("seen") == held.mark:
        return
    keys = [key for key, level in wanted.cells.items() if held.level(*key) != level][:5]
    where = ", ".join(f"{MODULE_WORDS[m]}: {VERB_WORDS[v]} ({LEVEL_WORDS[held.level(m, v)]})" for m, v in keys)
    text = _("Someone else changed this role. Your choices are still here: review them, then save again.")
    raise Conflict(join_texts([text, where] if where else [text]))
