"""The page "Who has seen this person's data" of a customer, from the audit."""

from __future__ import annotations

from typing import Any

from flask import render_template
from flask_babel import gettext as _

from app import access
from app.domain import who_has_seen
from app.domain.audit_log.audit import AuditEntry
from app.domain.people.permission_labels import FIELD_LABELS
from app.extensions import db
from app.models import Customer
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer


def may_see(viewer: Viewer) -> bool:
    """Whether the person may see this page: people who may reveal values themselves, and readers of the audit."""
    return viewer.person.may("Audit Log", "read") or viewer.person.may("Customers", "reveal")


def who_has_seen_action(row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The entry of the customer's menu."""
    if not may_see(viewer):
        return []
    label, url = _("Who has seen the data"), f"/customers/seen/{row['id']}"
    return [{"label": label, "url": url, "method": "get", "icon": "eye", "confirm": None}]


def who_has_seen_page(row: Customer, viewer: Viewer) -> str:
    """The page, newest first. Raises Denied."""
    if not viewer.person.may("Audit Log", "read"):
        viewer.person.refuse_unless("Customers", "reveal")
    with access.as_system(db.session()) as session:  # the customer is visible, and so is who has looked
        entries = who_has_seen.of_customer(session, row)
    return render_template(
        "records/who_has_seen.html",
        name=f"{row.first_name or ''} {row.last_name or ''}".strip() or row.number,
        number=row.number,
        entries=[_line(each, viewer) for each in entries],
        most=who_has_seen.MAX_ENTRIES,
        audit_url="/audit/?event=reveal" if viewer.person.may("Audit Log", "read") else None,
    )


def _line(entry: AuditEntry, viewer: Viewer) -> dict[str, Any]:
    card = viewer.lookups.person(entry.user_id)
    return {
        "at": moment_cell(entry.at, viewer),
        "who": {"kind": "person", **person_card(card)} if card else None,
        "what": _what(entry),
        "reason": (entry.payload or {}).get("reason"),
    }


def _what(entry: AuditEntry) -> str:
    if entry.event == "recording":
        return _("Recording of a call heard")
    kind, _space, number = (entry.about or "").partition(" ")
    if entry.event == "export":
        return _("Consents exported")
    name = str((entry.payload or {}).get("field"))
    if name == who_has_seen.FULL_COPY:
        return _("Copy of all data, in full")
    label = translate_text(FIELD_LABELS[name]) if name in FIELD_LABELS else name
    what = _("%(field)s revealed", field=label)
    return what if kind == "customer" else f"{what} ({number})"
