"""The entry in a record's menu that leads to the form of a legal hold on it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask_babel import gettext as _

from app.domain.legal_holds import HELD_COLUMNS
from app.web.core.fields import Viewer

FORM = "/settings/legal-holds/new"


def action(record: Any, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """For those who may put records under a hold, also if they may change nothing else; no statement."""
    if record.__tablename__ not in HELD_COLUMNS or not viewer.person.may("Legal Holds", "create"):
        return []
    url = f"{FORM}?{urlencode({'record': row['number']})}"
    return [{"label": _("Put under a legal hold"), "url": url, "method": "get", "icon": "lock"}]
