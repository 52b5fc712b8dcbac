"""The rows of My day for the template: tasks, leads, tickets, requests."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _

from app.domain.base import kind_of_number
from app.lib import phone
from app.web.core.fields.date_fields import moment_cell
from app.web.core.viewer import Viewer
from app.web.records import dial_targets

#: Work due within this time is "soon".
SOON = timedelta(hours=2)
#: The keys that the template reads from every row.
_EMPTY_ROW: dict[str, Any] = {
    "person": "",
    "note": "",
    "mark": "",
    "call": None,
    "task": None,
    "next": False,
    "actions": [],
}


def _record_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    """The common part of a row of a lead, ticket or task."""
    return _EMPTY_ROW | {
        "person": _person_name(row),
        "call": _call_cell(row, viewer),
        "mark": _substitute_text(row.assignee_id, viewer),
    }


def lead_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    """A lead, titled by its person."""
    title = _person_name(row) or _shown_phone(row, viewer) or row.number
    return _record_row(row, viewer) | {
        "key": row.number,
        "url": f"/leads/{row.number}",
        "title": title,
        "number": row.number if row.number != title else None,
        "person": "",
    }


def ticket_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    """The row of a ticket."""
    url = f"/tickets/{row.number}"
    return _record_row(row, viewer) | {
        "key": row.number,
        "url": url,
        "title": row.title or row.number,
        "number": row.number,
    }


def _person_name(row: Any) -> str:
    return " ".join(part for part in (row.first, row.last) if part)


def _shown_phone(row: Any, viewer: Viewer) -> str:
    """The phone number of somebody without a name, if the viewer sees it in full."""
    return phone.display(row.phone) if row.phone and viewer.person.mask("mobile") == "full" else ""


def _call_cell(row: Any, viewer: Viewer) -> dict[str, str] | None:
    """The URL of a click on Call, with the number if the viewer sees it; a text if the customer wants no calls."""
    if row.no_calls:
        return {"never": _("Do not call")}
    if not row.phone:
        return None
    url = _dial_url(row, viewer)
    if viewer.person.mask("mobile") != "full":
        return {"url": url, "text": ""} if url else None
    return {"url": url or f"tel:{row.phone}", "text": phone.display(row.phone)}


def _dial_url(row: Any, viewer: Viewer) -> str | None:
    """The URL of a click on Call, if the CRM can make the call."""
    number = getattr(row, "lead", None) or getattr(row, "ticket", None) or getattr(row, "number", None) or ""
    kind = {"LEAD": "lead", "TICKET": "ticket"}.get(kind_of_number(number) or "")
    return dial_targets.url_of(kind, number, viewer) if kind else None


def _substitute_text(user_id: int | None, viewer: Viewer) -> str:
    """Whom the viewer covers for; empty for their own work."""
    card = viewer.lookups.person(user_id)
    if user_id == viewer.person.id or card is None:
        return ""
    return _("for %(name)s", name=card["full_name"].split()[0] if card["full_name"] else card["username"])


def task_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    """A task, with the link to its record."""
    url = f"/leads/{row.lead}" if row.lead else f"/tickets/{row.ticket}" if row.ticket else f"/tasks/show/{row.id}"
    may_write = viewer.person.may("Tasks", "write")
    name = _person_name(row) or _shown_phone(row, viewer)
    return _record_row(row, viewer) | {
        "key": f"task-{row.id}",
        "url": url,
        "title": row.title,
        "number": row.lead or row.ticket,
        "due": _due_cell(row.due_on, viewer),
        "task": row.id if may_write else None,
        "next": may_write and viewer.person.may("Tasks", "create"),
        "person": "" if name and name in row.title else name,
        "note": "" if row.lead or row.ticket else _("Its lead or ticket is with somebody else now."),
    }


def _due_cell(due_on: datetime, viewer: Viewer) -> dict[str, Any]:
    """Relative time of the due date; the time of day for later today."""
    shown = moment_cell(due_on, viewer, True)
    local = due_on.astimezone(viewer.zone)
    is_later = due_on >= viewer.now + SOON and local.date() == viewer.today
    return shown | {"text": f"{local:%H:%M}"} if is_later else shown


def exhausted_task_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    """A task for which nobody is available, with a link to assign its record."""
    card = viewer.lookups.person(row.assignee_id)
    assign_url = (
        f"/leads/assign/{row.lead_id}" if row.lead else f"/tickets/assign/{row.ticket_id}" if row.ticket else None
    )
    assign = [{"label": _("Assign"), "icon": "user-plus", "url": assign_url}] if assign_url else []
    holder = _("with %(name)s", name=card["full_name"]) if card else ""
    return task_row(row, viewer) | {"task": None, "actions": assign, "note": holder, "mark": ""}


def request_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    """An assignment request, with approve and reject."""
    requester, target = viewer.lookups.person(row.created_by_id), viewer.lookups.person(row.requested_user_id)
    names = {"by": requester["full_name"] if requester else "–", "to": target["full_name"] if target else "–"}
    record = _person_name(row) or row.lead or row.ticket or _("a record")
    title = _("%(by)s requests %(record)s for %(to)s", record=record, **names)
    actions = [
        {"label": _("Approve"), "icon": "check", "url": f"/requests/decide/{row.id}?approve=1", "method": "post"},
        {"label": _("Reject"), "icon": "x", "url": f"/requests/reject/{row.id}"},
    ]
    return _EMPTY_ROW | {
        "key": str(row.id),
        "url": f"/requests/{row.number}",
        "title": title,
        "number": row.lead or row.ticket or row.number,
        "note": row.reason,
        "due": moment_cell(row.created_on, viewer),
        "actions": actions,
    }
