"""FAB's permissions (pairs of permission and view): what they allow, and how they are synced to the database."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_appbuilder.security.sqla.models import Permission, PermissionView, ViewMenu, assoc_permissionview_role
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import access
from app.domain.people import permissions
from app.models import Role
from app.web.core.request_transaction import request_transaction

#: Views that need no sign-in.
PUBLIC_VIEWS = ("AuthDBView", "LocaleView", "UtilView")
#: Permissions of every role: the person's profile and related pages. The index view is added by name.
BASE_PERMISSIONS = frozenset(
    {
        ("can_userinfo", "UserDBModelView"),
        ("userinfoedit", "UserDBModelView"),
        ("resetmypassword", "UserDBModelView"),
        ("can_this_form_get", "UserInfoEditView"),
        ("can_this_form_post", "UserInfoEditView"),
        ("can_this_form_get", "ResetMyPasswordView"),
        ("can_this_form_post", "ResetMyPasswordView"),
        ("can_index", "LocaleView"),
        ("can_get", "MenuApi"),
        ("can_get", "OpenApi"),
        ("can_show", "SwaggerView"),
    }
)
#: FAB permissions outside the modules that change nothing: the only ones for a read-only person.
READ_ONLY_PERMISSIONS = frozenset(
    {
        "can_get",
        "can_index",
        "can_info",
        "can_list",
        "can_read",
        "can_show",
        "can_this_form_get",
        "can_userinfo",
        "menu_access",
    }
)


def is_allowed(person: access.Person, permission_name: str, view_name: str) -> bool:
    """Whether the person has FAB's permission and, for a module, its cell of the matrix. No SQL."""
    is_held = person.is_admin or (permission_name, view_name) in person.fab_permissions
    if view_name in permissions.all_modules():
        return is_held and person.may(view_name, permission_name.removeprefix("can_"))
    if person.scope is not None or (person.read_only and permission_name not in READ_ONLY_PERMISSIONS):
        return False
    return is_held


def sync_permissions(app: Flask) -> int:
    """Store FAB's permissions of all views and menus; Admin gets all, every other role BASE_PERMISSIONS.

    Run it after each migration; several processes may do so at once. Returns how many permissions are new.
    """
    with app.app_context():
        try:
            return _sync(app.appbuilder)  # type: ignore[attr-defined]
        except IntegrityError:  # another process stored them meanwhile
            return _sync(app.appbuilder)  # type: ignore[attr-defined]


def _sync(appbuilder: Any) -> int:
    wanted = _wanted(appbuilder)
    own = BASE_PERMISSIONS | {pair for pair in wanted if pair[1] == type(appbuilder._indexview).__name__}
    with request_transaction() as session:
        new = _write_pairs(session, wanted)
        pairs = _pairs(session)
        for role in session.scalars(select(Role).where(Role.name != "Public")):
            mine = set(pairs) if role.name == access.ADMIN else own & set(pairs)
            _grant(session, role.id, {pairs[pair] for pair in mine})
        access.bump_version(session)
    return new


def _wanted(appbuilder: Any) -> set[tuple[str, str]]:
    views = {
        (name, view.class_permission_name)
        for view in appbuilder.baseviews
        for name in view.base_permissions
        if not _is_no_cell(name, view.class_permission_name)
    }
    entries = [each for top in appbuilder.menu.get_list() for each in (top, *top.childs)]
    return views | {("menu_access", entry.name) for entry in entries if entry.name != "-"}


def _is_no_cell(name: str, view: str) -> bool:
    """Whether the pair names a module and a verb that the matrix does not offer for it."""
    verb = name.removeprefix("can_")
    return view in permissions.all_modules() and verb in permissions.VERBS and not permissions.is_offered(view, verb)


def _pairs(session: Session) -> dict[tuple[str, str], int]:
    query = select(Permission.name, ViewMenu.name, PermissionView.id).select_from(PermissionView)
    rows = session.execute(
        query.join(Permission, Permission.id == PermissionView.permission_id).join(
            ViewMenu, ViewMenu.id == PermissionView.view_menu_id
        )
    )
    return {(permission, view): key for permission, view, key in rows}


def _write_pairs(session: Session, wanted: set[tuple[str, str]]) -> int:
    missing = wanted - set(_pairs(session))
    names = _ids(session, Permission, {name for name, _view in missing})
    views = _ids(session, ViewMenu, {view for _name, view in missing})
    session.add_all(
        PermissionView(permission_id=names[name], view_menu_id=views[view]) for name, view in sorted(missing)
    )
    session.flush()
    return len(missing)


def _ids(session: Session, model: Any, names: set[str]) -> dict[str, int]:
    """Name -> id of all rows of the model, after adding the missing ones."""
    known = set(session.scalars(select(model.name)))
    session.add_all(model(name=name) for name in sorted(names - known))
    session.flush()
    return dict(session.execute(select(model.name, model.id)).all())


def _grant(session: Session, role_id: int, pairs: set[int]) -> None:
    link = assoc_permissionview_role
    known = set(session.scalars(select(link.c.permission_view_id).where(link.c.role_id == role_id)))
    rows = [{"role_id": role_id, "permission_view_id": key} for key in sorted(pairs - known)]
    if rows:
        session.execute(insert(link), rows)
