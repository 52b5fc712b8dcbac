"""The page of a person's effective permissions, and which of their roles grant them."""

from __future__ import annotations

from typing import Any

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _
from sqlalchemy import func, select

from app import access
from app.access.role_matrix import Matrix, load_matrix
from app.domain.base import RuleBroken
from app.domain.people import permissions, teams
from app.domain.people.permission_labels import LEVEL_LABELS, MASK_LABELS, VERB_LABELS, module_labels
from app.extensions import db
from app.lib.digit_grouping import GroupedInt
from app.models import User
from app.web.core import fab_access
from app.web.core.fab_access import current_viewer
from app.web.core.fields.contact_field_types import initials
from app.web.core.fields.reference_fields import picture_url
from app.web.core.localization.languages import translate_text
from app.web.records.attachments import profile_pictures
from app.web.security import view_as
from app.web.security.sessions import signed_in
from app.web.settings.role_matrix import masked_fields, translated


class EffectiveRightsView(BaseView):
    """A person's effective permissions, with the roles that grant them."""

    route_base = "/users/can"
    default_view = "mine"

    @expose("/")
    @signed_in
    def mine(self) -> Any:
        """Redirect to one's own permissions, or to those of ?who=."""
        return redirect(url_for("EffectiveRightsView.of", user_id=request.args.get("who", type=int) or g.person.id))

    @expose("/<int:user_id>")
    @signed_in
    def of(self, user_id: int) -> Any:
        """One person's permissions, visible to themselves, their managers and admins."""
        other = request.args.get("who", type=int)
        if other and other != user_id:
            return redirect(url_for("EffectiveRightsView.of", user_id=other))
        people = _visible_people(g.person)
        if user_id not in people:
            abort(404)
        return self._page(db.session.get(User, user_id), people)

    @expose("/<int:user_id>/view", methods=["POST"])
    @signed_in
    def view(self, user_id: int) -> Any:
        """See the CRM as this user sees it, without changing anything."""
        if user_id not in _visible_people(g.person):
            abort(404)
        try:
            view_as.begin(db.session.get(User, user_id), fab_access.request_time())
        except RuleBroken as broken:
            flash(str(broken), "danger")
            return redirect(url_for("EffectiveRightsView.of", user_id=user_id))
        return redirect("/")

    def _page(self, user: Any, people: dict[int, str]) -> str:
        session = db.session()
        with access.as_system(session):
            person = access.load_person(session, user.id, fab_access.request_time())
            matrices = {role.name: load_matrix(session, role) for role in _all_roles(user)}
            active = session.scalar(select(func.count()).select_from(User).where(User.active.is_(True)))
        return self.render_template(
            "settings/effective_rights.html",
            title=_("Permissions of this user"),
            who=_person_card(user, matrices),
            people=list(people.items()) if len(people) > 1 else [],
            can=_effective_cells(person, matrices),
            levels=translated(LEVEL_LABELS),
            modules=translated(module_labels()),
            verbs=translated(VERB_LABELS),
            masks=_effective_masks(person, matrices),
            reach=(
                (translate_text(LEVEL_LABELS["own"]), GroupedInt(len(person.own_ids))),
                (translate_text(LEVEL_LABELS["team"]), GroupedInt(len(person.team_ids))),
                (translate_text(LEVEL_LABELS["all"]), GroupedInt(active or 0)),
            ),
            view_as_url=url_for("EffectiveRightsView.view", user_id=user.id) if view_as.is_offered(user) else "",
            roles_url=url_for("RoleMatrix.first") if g.person.may("Settings", "read") else "",
        )


def _visible_people(person: access.Person) -> dict[int, str]:
    """The people whose permissions this person can see, by id: all for an admin, else their own reporting tree."""
    query = select(User.id, User.first_name, User.last_name).order_by(User.first_name, User.last_name)
    if not person.is_admin:
        query = query.where(User.id.in_(sorted(teams.reporting_tree(db.session(), person.id))))
    return {key: f"{first} {last}".strip() for key, first, last in db.session.execute(query)}


def _all_roles(user: Any) -> list[Any]:
    roles = {role.id: role for role in (*user.roles, *(each for group in user.groups for each in group.roles))}
    return sorted(roles.values(), key=lambda role: str(role.name))


def _person_card(user: Any, matrices: dict[str, Matrix]) -> dict[str, Any]:
    manager = db.session.get(User, user.manager_id) if user.manager_id else None
    name = user.get_full_name().strip()
    card = {"id": user.id, "full_name": name, "initials": initials(name), "username": user.username}
    return card | {
        "email": user.email,
        "picture": picture_url(user.id, user.picture),
        "picture_change_url": f"/pictures/of/{user.id}"
        if profile_pictures.may_change(user, current_viewer())
        else None,
        "roles": list(matrices),
        "reports_to": manager.get_full_name() if manager else "",
    }


def _effective_cells(person: access.Person, matrices: dict[str, Matrix]) -> dict[tuple[str, str], dict[str, str]]:
    found = {}
    for module, verb in ((m, v) for m in permissions.VERBS_OF for v in permissions.VERBS):
        level = person.level(module, verb)
        if level != "none" and verb in permissions.VERBS_OF[module]:
            sources = [name for name, matrix in matrices.items() if matrix.level(module, verb) == level]
            found[module, verb] = {
                "level": level,
                "word": translate_text(LEVEL_LABELS[level]),
                "from": ", ".join(sources),
            }
    return found


def _effective_masks(person: access.Person, matrices: dict[str, Matrix]) -> list[dict[str, str]]:
    rows = []
    for name, word in masked_fields():
        level = person.mask(name)
        sources = [role for role, matrix in matrices.items() if matrix.mask(name) == level and level != "hidden"]
        rows.append(
            {"label": word, "level": level, "word": translate_text(MASK_LABELS[level]), "from": ", ".join(sources)}
        )
    return rows
