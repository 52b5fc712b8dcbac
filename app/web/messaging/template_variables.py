"""The variables of message templates, and their values for a record: the person, the record and the sender.

A value that the viewer sees masked is left out, so that a template never reveals it. Campaigns have their own fields.
"""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.models import Conversation, Customer, User
from app.web.core.urls.record_references import RECORDS
from app.web.core.viewer import Viewer

#: Variable -> field of the person, which may be masked.
_OF_PERSON = {
    "first_name": "first_name",
    "last_name": "last_name",
    "name": "name",
    "mobile": "mobile",
    "email": "email",
    "address": "address",
}
#: All variables that are filled in.
VARIABLES = (*_OF_PERSON, "number", "client_id", "title", "my_name", "my_mobile", "my_email", "company", "today")


def person_of(session: Session, row: Any) -> Any:
    """The person whose contact data the templates use: the customer, else the lead or ticket itself.

    Only if visible.
    """
    if row is None or isinstance(row, Customer):
        return row
    if isinstance(row, Conversation):
        for kind in ("customer", "ticket", "lead"):
            key = getattr(row, f"{kind}_id")
            found = access.get_visible(session, RECORDS[kind], key) if key else None
            if found is not None:
                return person_of(session, found)
        return None
    customer = access.get_visible(session, Customer, row.customer_id) if row.customer_id else None
    return customer or row


def values_for(session: Session, row: Any, person: Any, viewer: Viewer) -> dict[str, str]:
    """Variable -> value, if the viewer sees it unmasked."""
    found = {name: _seen(person, field, viewer) for name, field in _OF_PERSON.items()}
    if not found["name"] and isinstance(row, Conversation):
        found["name"] = found["first_name"] = row.peer_name or ""
    record = _record(session, row)
    found |= {
        "number": getattr(record, "number", "") or getattr(person, "number", ""),
        "client_id": _seen(record, "client_id", viewer),
        "title": getattr(record, "title", "") or "",
    } | _of_sender(session, viewer)
    return {name: " ".join(str(value).split()) for name, value in found.items() if value}


def example_values(session: Session, viewer: Viewer) -> dict[str, str]:
    """Variable -> an example, as a ticket fills it in; the sender is the viewer."""
    return {
        "first_name": "Asha",
        "last_name": "Patel",
        "name": "Asha Patel",
        "mobile": "+91 98200 12345",
        "email": "asha@example.in",
        "address": "12, MG Road, Mumbai 400001",
        "number": f"CRM-TICKET-{viewer.now:%Y}-00042",
        "client_id": "AB1234",
        "title": _("A payment hasn't arrived"),
    } | _of_sender(session, viewer)


def _of_sender(session: Session, viewer: Viewer) -> dict[str, str]:
    user = session.get_one(User, viewer.person.id)
    return {
        "my_name": viewer.person.full_name,
        "my_mobile": user.mobile or "",
        "my_email": user.email or "",
        "company": viewer.lookups.brand.name,
        "today": f"{viewer.now.astimezone(viewer.zone):%-d %B %Y}",
    }


def _record(session: Session, row: Any) -> Any:
    """What the text is about: of a conversation its ticket, else its lead, where seen; otherwise the row itself."""
    if not isinstance(row, Conversation):
        return row
    keys = ((kind, getattr(row, f"{kind}_id")) for kind in ("ticket", "lead", "customer"))
    rows = (access.get_visible(session, RECORDS[kind], key) for kind, key in keys if key)
    return next((each for each in rows if each is not None), None)


def _seen(row: Any, field: str, viewer: Viewer) -> str:
    if row is None or viewer.person.mask(field) != "full":
        return ""
    if field == "name":
        # Without a name, the model's name is the number.
        return " ".join(filter(None, (row.first_name, row.last_name)))
    return str(getattr(row, field, "") or "")
