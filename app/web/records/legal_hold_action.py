"""Legal holds on a record's page: the mark of an active one, and the menu entry of its form."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask_babel import gettext as _

from app import access
from app.domain.legal_holds import HELD_COLUMNS, is_held
from app.extensions import db
from app.web.core.viewer import Viewer

LIST = "/settings/legal-holds/"
FORM = f"{LIST}new"


def action(record: Any, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The menu entry for people who may put records under a hold; no statement."""
    if record.__tablename__ not in HELD_COLUMNS or not viewer.person.may("Legal Holds", "create"):
        return []
    url = f"{FORM}?{urlencode({'record': row['number']})}"
    return [{"label": _("Put under a legal hold"), "url": url, "method": "get", "icon": "lock"}]


def mark_url(record: Any, key: int, viewer: Viewer) -> str | None:
    """The page of holds for a record under one, for people who may read that page; else None."""
    may_know = record.__tablename__ in (*HELD_COLUMNS, "task") and viewer.person.may("Legal Holds", "read")
    if not may_know:
        return None
    with access.as_system(db.session()) as session:
        return LIST if is_held(session, record.__tablename__, key, viewer.now) else None
