"""FAB's pairs of permission and view: what they open, and how they come into the database."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_appbuilder.security.sqla.models import Permission, PermissionView, ViewMenu, assoc_permissionview_role
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import access
from app.domain import permissions
from app.models import Role
from app.web.security.sessions import own_transaction

#: Views that nobody must sign in for.
PUBLIC_VIEWS = ("AuthDBView", "LocaleView", "UtilView")
#: What every role gets: one's own page and the frame around it. The index view is added by its own name.
OWN_PAIRS = frozenset(
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
#: FAB permissions outside the modules that change nothing: all that somebody may use who looks through other eyes.
READING = frozenset(
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


def allowed(who: access.Person, permission_name: str, view_name: str) -> bool:
    """Whether FAB's pair and, for a module, its cell of the matrix are open to the person. No SQL."""
    held = who.is_admin or (permission_name, view_name) in who.fab_permissions
    if view_name in permissions.all_modules():
        return held and who.may(view_name, permission_name.removeprefix("can_"))
    if who.scope is not None or (who.read_only and permission_name not in READING):
        return False
    return held


def sync_permissions(app: Flask) -> int:
    """Write down FAB's pairs for all views and menus; Admin gets all, every other role its own page.

    Run it after each migration; it is safe to run by several at once. Returns how many pairs are new.
    """
    with app.app_context():
        try:
            return _sync(app.appbuilder)  # type: ignore[attr-defined]
        except IntegrityError:  # somebody else wrote them meanwhile
            return _sync(app.appbuilder)  # type: ignore[attr-defined]


def _sync(appbuilder: Any) -> int:
    wanted = _wanted(appbuilder)
    own = OWN_PAIRS | {pair for pair in wanted if pair[1] == type(appbuilder._indexview).__name__}
    with own_transaction() as held:
        new = _write_pairs(held, wanted)
        pairs = _pairs(held)
        for role in held.scalars(select(Role).where(Role.name != "Public")):
            mine = set(pairs) if role.name == access.ADMIN else own & set(pairs)
            _grant(held, role.id, {pairs[pair] for pair in mine})
        access.bump_version(held)
    return new


def _wanted(appbuilder: Any) -> set[tuple[str, str]]:
    views = {(name, view.class_permission_name) for view in appbuilder.baseviews for name in view.base_permissions}
    entries = [each for top in appbuilder.menu.get_list() for each in (top, *top.childs)]
    return views | {("menu_access", entry.name) for entry in entries if entry.name != "-"}


def _pairs(held: Session) -> dict[tuple[str, str], int]:
    query = select(Permission.name, ViewMenu.name, PermissionView.id).select_from(PermissionView)
    rows = held.execute(
        query.join(Permission, Permission.id == PermissionView.permission_id).join(
            ViewMenu, ViewMenu.id == PermissionView.view_menu_id
        )
    )
    return {(permission, view): key for permission, view, key in rows}


def _write_pairs(held: Session, wanted: set[tuple[str, str]]) -> int:
    missing = wanted - set(_pairs(held))
    names = _ids(held, Permission, {name for name, _view in missing})
    views = _ids(held, ViewMenu, {view for _name, view in missing})
    held.add_all(PermissionView(permission_id=names[name], view_menu_id=views[view]) for name, view in sorted(missing))
    held.flush()
    return len(missing)


def _ids(held: Session, kind: Any, names: set[str]) -> dict[str, int]:
    """Name -> id of all rows of the kind, after the missing ones were made."""
    known = set(held.scalars(select(kind.name)))
    held.add_all(kind(name=name) for name in sorted(names - known))
    held.flush()
    return dict(held.execute(select(kind.name, kind.id)).all())


def _grant(held: Session, role_id: int, pairs: set[int]) -> None:
    link = assoc_permissionview_role
    known = set(held.scalars(select(link.c.permission_view_id).where(link.c.role_id == role_id)))
    rows = [{"role_id": role_id, "permission_view_id": key} for key in sorted(pairs - known)]
    if rows:
        held.execute(insert(link), rows)
