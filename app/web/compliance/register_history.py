"""The history of a row of a register, from the audit: who noted and changed it, and which fields."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.audit_log.audit import AuditEntry
from app.extensions import db
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.viewer import Viewer

#: Entries that are shown, the newest.
MOST = 50
#: What happened, in sentences of their own: nobody stands before them.
_SENTENCES = frozenset(("identity check cleared", "erased what no duty keeps", "erasure done"))


def history(screen: Any, key: int, viewer: Viewer) -> list[dict[str, Any]]:
    """The entries for the record's page, newest first; the row is visible, and so is who has changed it."""
    event = screen.service.event
    query = select(AuditEntry).where(AuditEntry.about == f"{event} {key}", AuditEntry.event == event)
    with access.as_system(db.session()) as session:
        entries = list(session.scalars(query.order_by(AuditEntry.id.desc()).limit(MOST)))
    labels = {each.key: str(each.label) for each in screen.record_table.by_name.values()}
    return [_entry(each, labels, viewer) for each in entries]


def _entry(entry: AuditEntry, labels: dict[str, str], viewer: Viewer) -> dict[str, Any]:
    card = viewer.lookups.person(entry.user_id)
    payload = entry.payload or {}
    fields = ", ".join(labels.get(name, name) for name in payload.get("columns") or ())
    words = {
        "noted": _("noted this"),
        "changed": _("changed: %(fields)s", fields=fields),
        "copy asked for": _("had the copy of the data made"),
        "copy in full asked for": _("had a copy of the data in full made"),
        "copy downloaded": _("downloaded the copy of the data"),
        "identity check cleared": _("The check of the identity was cleared: it was for another person or purpose"),
        "erasure confirmed": _("confirmed the erasure"),
        "erased what no duty keeps": _("What no duty keeps was erased"),
        "erasure done": _("All was erased"),
        "end of the accounts": _("noted the end of the accounts"),
    }
    what = str(payload.get("what"))
    return {
        "id": entry.id,
        "kind": "system",
        "actor": person_card(card) if card else None,
        "at": moment_cell(entry.at, viewer),
        "icon": "download" if what.startswith("copy") else "pencil",
        "tone": "slate",
        "headline": words.get(what, what),
        "is_sentence": what in _SENTENCES,
        "body": None,
    }
