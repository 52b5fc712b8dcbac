"""FAB's screens of roles, groups, permissions and menus; permissions should be changed in the matrix."""

from __future__ import annotations

from typing import Any

from flask import current_app, flash, g, redirect, url_for
from flask_appbuilder.actions import action
from flask_appbuilder.models.sqla.filters import FilterNotEqual
from flask_appbuilder.security.sqla.models import PermissionView, ViewMenu
from flask_appbuilder.security.views import (
    PermissionModelView,
    PermissionViewModelView,
    RoleModelView,
    UserGroupModelView,
    ViewMenuModelView,
)
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.access.changed_rows import previous_value
from app.access.role_matrix import FIXED_ROLES, PUBLIC, load_matrix, refuse_fixed_role, save_matrix
from app.domain.base import RuleBroken
from app.domain.people import users
from app.extensions import db
from app.models import Role
from app.web.pages.hardened_view import VERBS as SCREEN_VERBS
from app.web.pages.hardened_view import HardenedInterface, HardenedView, link
from app.web.security.fab_permissions import BASE_PERMISSIONS

#: Round robin refers to these by name. No permission does, except for Admin's, which only an admin can grant.
FIXED_NAMES = (*FIXED_ROLES, "Sales User", "Support User")


class RoleRows(HardenedInterface):
    """Roles with the number of their users and a link to the matrix."""

    def _get_attr_value(self, item: Any, col: str) -> Any:
        if col == "people":
            return len(users.members(self.session, item.id))
        if col == "matrix":
            return link(url_for("RoleMatrix.matrix", role_id=item.id), _("Open the permission matrix"))
        return super()._get_attr_value(item, col)


class Roles(HardenedView, RoleModelView):
    """FAB's roles; their permissions should be changed in the matrix."""

    interface = RoleRows
    class_permission_name = "Settings"
    method_permission_name = SCREEN_VERBS | {"copy_role": "create", "to_matrix": "read"}
    list_title, show_title = lazy_gettext("Roles"), lazy_gettext("Role")
    add_title, edit_title = lazy_gettext("New role"), lazy_gettext("Edit role")
    list_columns = ["name", "people", "matrix"]
    show_columns = ["name", "people", "matrix", "permissions"]
    search_columns = ["name"]
    label_columns = RoleModelView.label_columns | {
        "people": lazy_gettext("Users"),
        "matrix": lazy_gettext("Permissions"),
    }
    base_order = ("name", "asc")

    def post_add(self, item: Any) -> None:
        """Remember the new role for the redirect."""
        super().post_add(item)
        g.new_role_id = item.id

    def post_add_redirect(self) -> Any:
        """To the matrix of the new role, which can do nothing yet."""
        return redirect(url_for("RoleMatrix.matrix", role_id=g.new_role_id))

    @action("matrix", lazy_gettext("Permissions"), "", "fa-table", multiple=False)
    def to_matrix(self, item: Any) -> Any:
        """Redirect to the role's matrix."""
        return redirect(url_for("RoleMatrix.matrix", role_id=item.id))

    @action("copyrole", lazy_gettext("Copy role"), lazy_gettext("Copy the selected roles?"), "fa-copy", single=False)
    def copy_role(self, items: Any) -> Any:
        """Copy each with its permissions, levels, masks and demand of two factors, under a new name."""
        for role in items:
            _copy(db.session(), role)
        db.session.commit()
        flash(_("Copied."), "success")
        return self._to_list()

    def pre_add(self, item: Any) -> None:
        """Give every role the base permissions."""
        item.permissions = list({*item.permissions, *_base_permissions(db.session())})

    def pre_update(self, item: Any) -> None:
        """Refuse changes of Admin, and new names for roles that rules refer to."""
        before = previous_value(item, "name")
        if before == access.ADMIN:
            raise RuleBroken(_("The role Admin can do everything and can't be changed."))
        if before in FIXED_NAMES and item.name != before:
            raise RuleBroken(_("The CRM relies on the name of this role, so it can't be renamed."), "name")

    def pre_delete(self, item: Any) -> None:
        """Refuse to delete a role in use, or one that rules refer to; its cells and masks are deleted with it."""
        if item.name in FIXED_NAMES:
            raise RuleBroken(_("The CRM needs the role %(name)s, so it can't be deleted.", name=item.name))
        if item.groups or users.members(db.session(), item.id):
            raise RuleBroken(_("This role is still in use. Remove it from its users and groups first."))


def _base_permissions(session: Session) -> list[Any]:
    """FAB's permissions that every role has: see BASE_PERMISSIONS."""
    index = type(current_app.appbuilder._indexview).__name__  # type: ignore[attr-defined]
    query = select(PermissionView).join(PermissionView.permission).join(PermissionView.view_menu)
    found = list(session.scalars(query.where(ViewMenu.name.in_({index, *(view for _name, view in BASE_PERMISSIONS)}))))
    names = {pair: (pair.permission.name, pair.view_menu.name) for pair in found}
    return [pair for pair, (name, view) in names.items() if view == index or (name, view) in BASE_PERMISSIONS]


def _copy(session: Session, role: Any) -> None:
    refuse_fixed_role(role)
    name = f"{role.name} copy"
    if session.scalars(select(Role).where(Role.name == name)).first() is not None:
        raise RuleBroken(_("There is already a role “%(name)s”. Rename or delete it first.", name=name))
    copy = Role(name=name[:64], permissions=list(role.permissions), needs_two_factor=role.needs_two_factor)
    session.add(copy)
    session.flush()
    session.flush()  # adds the cells for the permissions
    save_matrix(session, copy, load_matrix(session, role))


class Groups(HardenedView, UserGroupModelView):
    """Groups of users who share roles."""

    class_permission_name = "Settings"
    method_permission_name = SCREEN_VERBS
    add_form_query_rel_fields = edit_form_query_rel_fields = {"roles": [["name", FilterNotEqual, PUBLIC]]}
    list_title, show_title = lazy_gettext("Groups"), lazy_gettext("Group")
    add_title, edit_title = lazy_gettext("New group"), lazy_gettext("Edit group")
    search_columns = ["name", "label", "roles"]
    label_columns = {
        "name": lazy_gettext("Name"),
        "label": lazy_gettext("Label"),
        "description": lazy_gettext("Description"),
        "users": lazy_gettext("Users"),
        "roles": lazy_gettext("Roles"),
    }

    def pre_delete(self, item: Any) -> None:
        """Refuse to delete a group with users."""
        if item.users:
            raise RuleBroken(_("This group still has users. Remove them first."))


class Permissions(HardenedView, PermissionModelView):
    """FAB's names of permissions; admins only."""

    search_columns = ["name"]


class ViewMenus(HardenedView, ViewMenuModelView):
    """FAB's names of screens and menus; admins only."""

    search_columns = ["name"]


class PermissionViews(HardenedView, PermissionViewModelView):
    """FAB's permissions on views; admins only."""

    search_columns = ["permission", "view_menu"]
