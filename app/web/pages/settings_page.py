"""The base of settings pages: who may read the module "Settings" opens them, who may write it changes them."""

from __future__ import annotations

from flask_appbuilder import BaseView

from app.web.core.fab_access import ModulePermissions


class SettingsPage(ModulePermissions, BaseView):
    """A page of the settings; it declares `route_base` and VERBS (method -> verb)."""

    module = "Settings"
    default_view = "index"
