"""The settings page of support pages: help pages that can be sent to a customer."""

from __future__ import annotations

import re
from typing import Any

from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from app.domain.base import RuleBroken
from app.models import SupportPage
from app.web.settings.picklists import PicklistScreen

_URL = re.compile(r"https?://[^\s/]+\.?[^\s]*", re.IGNORECASE)


class SupportPages(PicklistScreen):
    """Help pages that can be sent to a customer."""

    datamodel = SQLAInterface(SupportPage)
    route_base = "/settings/support-pages"
    class_permission_name = "Support Pages"
    list_title, show_title = lazy_gettext("Support pages"), lazy_gettext("Support page")
    add_title, edit_title = lazy_gettext("New support page"), lazy_gettext("Edit support page")
    columns = ("label", "url", "description", "position", "is_active")

    def refuse_invalid(self, item: Any) -> None:
        """Also: the URL must be one that a customer can open."""
        super().refuse_invalid(item)
        if not _URL.fullmatch(item.url or ""):
            raise RuleBroken(_("Please enter an address that starts with http:// or https://."), "url")
