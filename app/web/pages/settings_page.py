"""The base of settings pages: people who may read the module "Settings" can open them, those who may write it can
change them.
"""

from __future__ import annotations

from typing import Any

from flask import request
from flask_appbuilder import BaseView
from flask_babel import gettext as _

from app import access
from app.domain.base import Conflict
from app.web.core.fab_access import ModulePermissions, content_hash, current_viewer


class SettingsPage(ModulePermissions, BaseView):
    """A page of the settings; it declares `route_base` and VERBS (method -> verb)."""

    module = "Settings"
    default_view = "index"


def refuse_all_but_admins(sentence: str) -> None:
    """Raise Denied with the sentence unless the viewer is an admin."""
    if not current_viewer().person.is_admin:
        raise access.Denied(sentence)


def refuse_stale(stored: Any) -> None:
    """Raise Conflict if the stored settings differ from those that the posted form was based on."""
    if request.form.get("version") != content_hash(stored):
        raise Conflict(_("Someone else changed the settings. Review yours, then save again."))


def settings_form(title: str, action: str, sections: list[dict[str, Any]], version: Any) -> dict[str, Any]:
    """The context of a form of settings, shown and posted at the same URL; if it was refused, set its "error".

    `version`: identifies the stored state, to detect concurrent saves.
    """
    return {
        "title": title,
        "back_label": _("Settings"),
        "cancel_url": "/settings/",
        "action": action,
        "sections": sections,
        "version": version,
        "error": "",
        "conflict": None,
    }
