"""What stands beside a complaint and beside its ticket: clocks, the ways it came, others of the same person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.complaints import joining
from app.domain.complaints.complaint import Complaint, ComplaintEntry
from app.extensions import db
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer
from app.web.records.complaint_fields import days_left, terms_for


def of_ticket(row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The complaint of a ticket with its clocks; nothing, and no statement, for a ticket that is none."""
    if not row.get("complaint_state") or not viewer.person.may("Complaints", "read"):
        return []
    found = db.session.scalars(select(Complaint).where(Complaint.ticket_id == row["id"])).first()
    if found is None:
        return []
    url = f"/complaints/{found.number}"
    rows: list[dict[str, Any]] = [{"url": url, "about": _about(found), "cells": [_text(found.number)]}]
    rows += [{"url": None, "about": "", "cells": [_text(label), cell]} for label, cell in clocks(found, viewer)]
    shown = {"title": _("Complaint"), "count": 1, "url": url, "add_url": None, "rows": rows}
    return [shown | {"is_early": True}]


def register_action(row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The menu entry of a ticket within reach that isn't in the register yet; no statement."""
    if row.get("complaint_state") or not _is_reached(row, viewer):
        return []
    url = f"/complaints/add?{urlencode({'ticket': row['number'], 'title': (row.get('title') or '')[:200]})}"
    return [{"label": _("Register as complaint"), "url": url, "method": "get", "icon": "scale"}]


def _is_reached(row: dict[str, Any], viewer: Viewer) -> bool:
    """Whether the person may register this ticket: one of its people is within their reach."""
    reach = viewer.person.reach("Complaints", "create")
    people = (row.get("owner"), row.get("assignee"), *(row.get("assignees") or ()))
    return reach is None or any(card["id"] in reach for card in people if card)


def _about(row: Complaint) -> str:
    parts = (shown_label(row.source), row.reference, format_local_date(row.received_on, "%-d %b %Y"))
    return " · ".join(str(each) for each in parts if each)


def clocks(row: Complaint, viewer: Viewer) -> list[tuple[str, dict[str, Any]]]:
    """(label, cell) of each clock that runs, or of the outcome."""
    if row.outcome is not None:
        return [(_("Outcome"), _text(shown_label(row.outcome)))]
    if row.joined_to_id is not None:
        return [(_("Joined to another complaint"), {"kind": "missing"})]
    found = []
    if row.acknowledged_on is None:
        found.append((_("Acknowledgment"), days_left(row.acknowledge_due_on, viewer)))
    if row.report_filed_on is None:
        found.append((_("Action taken report"), days_left(row.report_due_on, viewer)))
        found += _step(row, viewer)
    return found


def _step(row: Complaint, viewer: Viewer) -> list[tuple[str, dict[str, Any]]]:
    """The internal step that comes next."""
    terms = terms_for(viewer)
    start = row.report_due_on - timedelta(days=int(terms.days["report"]))
    labels = {"desk": _("Step of the desk"), "officer": _("Step of the compliance officer")}
    labels["director"] = _("Step of the director")
    for step, label in labels.items():
        due = terms.after(start, step)
        if due >= terms.today:
            return [(label, days_left(due, viewer))]
    return []


def _text(text: Any) -> dict[str, Any]:
    return {"kind": "text", "text": str(text)}


def _stored(row: dict[str, Any]) -> Complaint | None:
    """The complaint of a page, read once for it."""
    if "_stored" not in row:
        row["_stored"] = access.get_visible(db.session(), Complaint, row["id"])
    stored: Complaint | None = row["_stored"]
    return stored


def is_joined(row: dict[str, Any]) -> bool:
    """Whether the complaint of a page counts for another one, which the person may not see."""
    return bool(row.get("joined_to")) or (stored := _stored(row)) is None or stored.joined_to_id is not None


def actions(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a complaint's menu, for people who may change it.

    A complaint that was joined to one that they don't see can't be parted by them.
    """
    key = row["id"]
    if is_joined(row) and not row.get("joined_to"):
        return []
    if row.get("joined_to"):
        confirm = _("Part this complaint? It is counted on its own again.")
        url = f"/complaints/part/{key}"
        return [{"label": _("Part"), "url": url, "method": "post", "icon": "arrow-back-up", "confirm": confirm}]
    return [
        {"label": _("Join a complaint"), "url": f"/complaints/join/{key}", "method": "get", "icon": "git-merge"},
        {"label": _("Add a way it came"), "url": f"/complaints/entry/{key}", "method": "get", "icon": "plus"},
    ]


def of_complaint(row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The entries of a complaint, and suggestions of what to join to it."""
    parts = [_entries(row, viewer)]
    may_join = viewer.person.may("Complaints", "write") and not is_joined(row)
    return [*parts, *(_suggested(row, viewer) if may_join else ())]


def _entries(row: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    query = select(ComplaintEntry, Complaint.number)
    query = query.outerjoin(Complaint, Complaint.id == ComplaintEntry.origin_id)
    query = query.where(ComplaintEntry.complaint_id == row["id"]).order_by(ComplaintEntry.received_on)
    may_change = viewer.person.may("Complaints", "write") and not is_joined(row)
    rows = []
    for entry, number in db.session.execute(query):
        is_own = entry.origin_id in (None, row["id"])
        origin = None if is_own else number
        texts = (format_local_date(entry.received_on, "%-d %b %Y"), shown_label(entry.way), entry.reference)
        about = " · ".join(str(each) for each in (*texts, entry.remark, origin) if each)
        url = f"/complaints/{origin}" if origin else None
        if entry.origin_id is None and may_change:
            url = f"/complaints/entry/{row['id']}/{entry.id}"
        rows.append({"url": url, "about": about, "cells": [_text(shown_label(entry.source))]})
    add_url = f"/complaints/entry/{row['id']}" if may_change else None
    shown = {"title": _("Ways it came"), "count": len(rows), "url": None, "add_url": add_url, "rows": rows}
    return shown | {"is_early": True}


def _suggested(row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """Other complaints of the same person, each leading to the page that joins it."""
    complaint = _stored(row)
    if complaint is None:
        return []
    by_number, by_pan = (viewer.person.mask(name) == "full" for name in ("mobile", "pan"))
    found = joining.suggestions(db.session(), complaint, by_number, by_pan)
    url = f"/complaints/join/{row['id']}"
    rows = [
        {"url": f"{url}?other={each.number}", "about": _about(each), "cells": [_text(each.title)]} for each in found
    ]
    title = _("Others of the same person: join them?")
    part = {"title": title, "count": len(rows), "url": None, "add_url": None, "rows": rows, "is_early": True}
    return [part] if rows else []
