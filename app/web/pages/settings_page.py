"""The base of settings pages: people who may read the module "Settings" can open them, those who may write it can
change them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain.base import Conflict, RuleBroken
from app.web.core.fab_access import NOT_REFUSED, ModulePermissions, Refusal, content_hash, current_viewer, refusal
from app.web.core.request_transaction import request_transaction
from app.web.pages.routes import page_route


class SettingsPage(ModulePermissions, BaseView):
    """A page of the settings; it declares `route_base` and VERBS (method -> verb)."""

    module = "Settings"
    default_view = "index"


class SettingsFormPage(SettingsPage):
    """A page with one form, shown and posted at its `route_base`; a subclass stores what was posted, and draws it."""

    VERBS = {"index": "read", "save": "write"}

    @page_route("/")
    def index(self) -> Any:
        """The form with the stored values."""
        self._refuse()
        return self._page({})

    @page_route("/", methods=["POST"])
    def save(self) -> Any:
        """Store what was posted, or show the errors by field."""
        self._refuse()
        try:
            with request_transaction() as session:
                self._save(session)
        except RuleBroken as broken:
            refused = refusal(broken)
            return self._page(request.form, refused), refused.status
        flash(_("Settings saved."), "success")
        return redirect(f"{self.route_base}/")

    def _refuse(self) -> None:
        """Raise Denied for people who have the verb of the module, but may not open the page."""

    def _save(self, session: Session) -> None:
        """Store what was posted, unless it was based on other values. Raises RuleBroken."""
        raise NotImplementedError

    def _page(self, posted: Mapping[str, str], refused: Refusal = NOT_REFUSED) -> str:
        """The page with the stored values, or with those that were posted and refused."""
        raise NotImplementedError


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
