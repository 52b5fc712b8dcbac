"""The page /settings/: links to all settings, by group, as settings_menu.py lists them."""

from __future__ import annotations

from typing import Any

from flask import current_app, render_template

from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage


class SettingsView(SettingsPage):
    """/settings/"""

    route_base = "/settings"
    VERBS = {"index": "read"}

    @page_route("/")
    def index(self) -> Any:
        """The settings as tiles, by group."""
        return render_template("settings/settings_menu.html", groups=current_app.extensions["crm_settings_menu"]())
