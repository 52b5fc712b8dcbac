"""CONTENTS: people and what they may do. Their screens, and those that stand in for FAB's own."""

from __future__ import annotations

from flask_babel import lazy_gettext

from app.web.settings.effective_rights import EffectiveRightsView
from app.web.settings.role_matrix import RoleMatrix
from app.web.settings.roles import Groups, Permissions, PermissionViews, Roles, ViewMenus
from app.web.settings.users import Users

#: (label, view class, icon, address) for the menu; FAB's security manager registers those of FAB's own kind.
SCREENS = (
    (lazy_gettext("Users"), Users, "users", "/users/list/"),
    (lazy_gettext("Roles"), RoleMatrix, "shield", "/roles/matrix/"),
    (lazy_gettext("All roles"), Roles, "shield-lock", "/roles/list/"),
    (lazy_gettext("Groups"), Groups, "users-group", "/groups/list/"),
    (lazy_gettext("My permissions"), EffectiveRightsView, "user-question", "/users/can/"),
)
#: For the security manager: its attribute -> our screen.
OF_FAB = {
    "userdbmodelview": Users,
    "rolemodelview": Roles,
    "groupmodelview": Groups,
    "permissionmodelview": Permissions,
    "viewmenumodelview": ViewMenus,
    "permissionviewmodelview": PermissionViews,
    "userstatschartview": None,
}
