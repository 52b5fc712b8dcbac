"""The page where a role's permission matrix and field masks are changed."""

from __future__ import annotations

from typing import Any

from flask import abort, flash, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.access.role_matrix import FIXED_ROLES, PUBLIC, Matrix, load_matrix, refuse_fixed_role, save_matrix
from app.domain.base import Conflict, RuleBroken, join_texts
from app.domain.custom_fields import mask_name
from app.domain.people import permissions, users
from app.domain.people.authentication import note_sign_in_ended
from app.domain.people.permission_labels import FIELD_LABELS, LEVEL_LABELS, MASK_LABELS, VERB_LABELS, module_labels
from app.extensions import db
from app.models import Role
from app.web.core import fab_access, request_custom_fields
from app.web.core.localization.languages import translate_text
from app.web.core.views import custom_columns
from app.web.pages.hardened_view import protect
from app.web.pages.settings_page import SettingsPage


def translated(labels: dict[str, Any]) -> list[tuple[str, str]]:
    """(key, label) pairs in the language of this page."""
    return [(key, translate_text(label)) for key, label in labels.items()]


def etag_of(matrix: Matrix, needs_two_factor: bool) -> str:
    """A hash of the whole page; a save must contain the one that the form was based on."""
    cells = sorted((*key, level) for key, level in matrix.cells.items())
    return fab_access.content_hash([cells, sorted(matrix.masks.items()), needs_two_factor])


class RoleMatrix(SettingsPage):
    """A role's matrix of modules and verbs, and its masks."""

    route_base = "/roles/matrix"
    default_view = "first"
    VERBS = {"first": "read", "matrix": "read", "save": "write", "two_factor": "write"}

    @expose("/")
    @has_access
    def first(self) -> Any:
        """Redirect to the first role that can be changed."""
        roles = _roles()
        chosen = next((role for role in roles if role.name not in FIXED_ROLES), roles[0])
        return redirect(url_for("RoleMatrix.matrix", role_id=chosen.id))

    @expose("/<int:role_id>")
    @has_access
    def matrix(self, role_id: int) -> Any:
        """The matrix as it is stored."""
        role = access.get_visible(db.session(), Role, role_id) or abort(404)
        return self._page(role, load_matrix(db.session(), role))

    @expose("/<int:role_id>", methods=["POST"])
    @has_access
    def save(self, role_id: int) -> Any:
        """Store the posted levels, unless the role changed since the page was made."""
        protect()
        session = db.session()
        role = session.scalars(select(Role).where(Role.id == min(role_id, 2**31 - 1)).with_for_update()).first()
        role = role or abort(404)
        posted = _posted(load_matrix(session, role))
        try:
            refuse_fixed_role(role)
            _refuse_invalid(posted)
            _refuse_stale(load_matrix(session, role), posted, role.needs_two_factor)
            save_matrix(session, role, posted)
            if "two_factor" in request.form:
                _demand_two_factor(session, role)
            session.commit()
        except RuleBroken as broken:
            session.rollback()
            flash(translate_text(broken.message), "danger")
            return self._page(role, posted), fab_access.refusal(broken).status
        flash(_("Role saved."), "success")
        return redirect(url_for("RoleMatrix.matrix", role_id=role_id))

    @expose("/<int:role_id>/two-factor", methods=["POST"])
    @has_access
    def two_factor(self, role_id: int) -> Any:
        """Demand two-factor sign-in of the role's people, or no longer; also of Admin, whose matrix is fixed."""
        protect()
        session = db.session()
        role = access.get_visible(session, Role, role_id) or abort(404)
        try:
            if role.name == PUBLIC:
                raise access.Denied(_("The role %(name)s is for people who aren't signed in.", name=role.name))
            _demand_two_factor(session, role)
            session.commit()
        except RuleBroken as broken:
            session.rollback()
            flash(translate_text(broken.message), "danger")
            return self._page(role, load_matrix(session, role)), fab_access.refusal(broken).status
        flash(_("Role saved."), "success")
        return redirect(url_for("RoleMatrix.matrix", role_id=role_id))

    def _page(self, role: Any, matrix: Matrix) -> str:
        """The page with these levels selected; the form contains the hash of the stored ones."""
        stored = load_matrix(db.session(), role)
        return self.render_template(
            "settings/role_matrix.html",
            title=_("Roles"),
            role=_role_card(role),
            roles=[_role_card(each) for each in _roles()],
            modules=translated(module_labels()),
            verbs=translated(VERB_LABELS),
            levels=translated(LEVEL_LABELS),
            cells=_cells(matrix),
            masks=_mask_rows(matrix),
            mask_levels=translated(MASK_LABELS),
            action_url=url_for("RoleMatrix.save", role_id=role.id, seen=etag_of(stored, role.needs_two_factor)),
            can_url=url_for("EffectiveRightsView.mine"),
            two_factor_url=None if role.name == PUBLIC else url_for("RoleMatrix.two_factor", role_id=role.id),
            needs_two_factor="needed" in request.form if "two_factor" in request.form else role.needs_two_factor,
            add_url=url_for("Roles.add"),
            advanced_url=url_for("Roles.edit", pk=role.id),
            list_url=url_for("Roles.list"),
            settings_url="/settings/",
        )


def _demand_two_factor(session: Session, role: Any) -> None:
    """Demand two-factor sign-in of the role's people as the form says."""
    role.needs_two_factor = request.form.get("needed") == "1"
    with access.as_system(session):
        members = [user.id for user in users.members(session, role.id)]
    for user_id in members:
        note_sign_in_ended(session, user_id)  # closes the sockets of those who must set it up


def _roles() -> list[Any]:
    return list(db.session.scalars(select(Role).order_by(Role.name)))


def _role_card(role: Any) -> dict[str, Any]:
    url = url_for("RoleMatrix.matrix", role_id=role.id)
    return {"id": role.id, "name": role.name, "fixed": role.name in FIXED_ROLES, "url": url}


def _cells(matrix: Matrix) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (module, verb): {
            "level": matrix.level(module, verb),
            "possible": permissions.is_offered(module, verb),
            "levels": _level_choices(module, matrix.level(module, verb)),
        }
        for module in permissions.all_modules()
        for verb in permissions.VERBS
    }


def _level_choices(module: str, current: str) -> list[tuple[str, str]]:
    has_owner = permissions.has_owner(module)
    return [(key, label) for key, label in translated(LEVEL_LABELS) if has_owner or key in ("none", "all", current)]


def _mask_rows(matrix: Matrix) -> list[dict[str, str]]:
    return [{"field": name, "label": label, "level": matrix.mask(name)} for name, label in masked_fields()]


def masked_fields() -> list[tuple[str, str]]:
    """(name of the mask, label) of the fields that roles see in part: the product's, then custom ones."""
    custom = request_custom_fields.current().restricted
    return [*translated(FIELD_LABELS), *((mask_name(each.id), custom_columns.label_of(each)) for each in custom)]


def _posted(stored: Matrix) -> Matrix:
    """The matrix of the form; a missing cell keeps its stored value."""
    form = request.form
    keys = [(m, v) for m in permissions.all_modules() for v in permissions.VERBS_OF[m]]
    cells = {(m, v): form.get(f"level_{m}_{v}", stored.level(m, v)) for m, v in keys}
    masks = {name: form.get(f"mask_{name}", stored.mask(name)) for name, _label in masked_fields()}
    return Matrix(cells, masks)


def _refuse_invalid(posted: Matrix) -> None:
    """Raise RuleBroken for an unknown level, or for a level of a verb that does not apply to the module."""
    unknown = [level for level in posted.cells.values() if level not in permissions.LEVEL_RANK]
    unknown += [level for level in posted.masks.values() if level not in permissions.MASK_RANK]
    if unknown:
        raise RuleBroken(_("“%(level)s” isn't a valid level. Please choose one from the list.", level=unknown[0][:20]))
    for cell in _inapplicable(request.form):
        raise RuleBroken(_("There is no such permission: %(cell)s. Please leave it out.", cell=cell[:60]))
    for module, verb in posted.cells:
        if posted.level(module, verb) in ("own", "team") and not permissions.has_owner(module):
            what = {"module": translate_text(module_labels()[module]), "verb": translate_text(VERB_LABELS[verb])}
            raise RuleBroken(_("%(module)s: “%(verb)s” is either “no” or “all”. Please choose one.", **what))


def _inapplicable(form: Any) -> list[str]:
    """The cells in the form that the matrix does not offer, by their names in the form."""
    offered = {f"level_{m}_{v}" for m in permissions.all_modules() for v in permissions.VERBS_OF[m]}
    named = [name for name in form if name.startswith("level_") and name not in offered]
    return [name.removeprefix("level_").replace("_", ": ") for name in named if form[name] != "none"]


def _refuse_stale(stored: Matrix, posted: Matrix, needs_two_factor: bool) -> None:
    """Raise Conflict if the role was changed since the page was loaded; names up to five cells that differ."""
    if request.args.get("seen") == etag_of(stored, needs_two_factor):
        return
    keys = [key for key, level in posted.cells.items() if stored.level(*key) != level][:5]
    where = ", ".join(_cell_text(module, verb, stored.level(module, verb)) for module, verb in keys)
    text = _("Someone else changed this role. Your choices are still here: review them, then save again.")
    raise Conflict(join_texts([text, where] if where else [text]))


def _cell_text(module: str, verb: str, level: str) -> str:
    labels = (module_labels()[module], VERB_LABELS[verb], LEVEL_LABELS[level])
    return "{}: {} ({})".format(*map(translate_text, labels))
