"""Records that a call can be linked to: one picklist of the leads, tickets and customers that a person sees."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app import access
from app.domain.base import RuleBroken, kind_of_number
from app.extensions import db
from app.models import Customer, Lead, Ticket
from app.web.core.fields.reference_fields import find_record
from app.web.core.viewer import Viewer
from app.web.records.customers import CustomerScreen
from app.web.records.leads import LeadScreen
from app.web.records.lists.list_page import hits
from app.web.records.tickets import TicketScreen

#: Prefix of a record number -> record, and the screen that searches it.
_KINDS: dict[str, tuple[Any, Any]] = {
    "LEAD": (Lead, LeadScreen),
    "TICKET": (Ticket, TicketScreen),
    "CUST": (Customer, CustomerScreen),
}
#: Hits per kind.
MAX_HITS = 7


def offered(typed: str, viewer: Viewer) -> list[dict[str, Any]]:
    """[{value: number, label: name, hint: number}], the newest of each kind that the viewer can read."""
    open_ones = [screen for _record, screen in _KINDS.values() if viewer.person.may(screen.module, "read")]
    return [hit | {"value": hit["hint"]} for screen in open_ones for hit in hits(screen, typed, viewer, MAX_HITS)]


def chosen(number: str | None) -> Any:
    """The record with this number, None for no number. Raises RuleBroken if the viewer can't see it."""
    text = (number or "").strip().upper()
    if not text:
        return None
    record, _screen = _KINDS.get(kind_of_number(text) or "", (None, None))
    key = find_record(record, text) if record is not None else None
    row = access.get_visible(db.session(), record, key) if key is not None else None
    if row is None:
        raise RuleBroken(_("This record doesn't exist, or you don't have access to it."), "place")
    return row


def field(number: str | None, errors: list[str], label: str, viewer: Viewer) -> dict[str, Any]:
    """The picklist as a form field; keeps the current choice."""
    known = [hit for hit in offered(number, viewer) if hit["value"] == number.strip().upper()] if number else []
    return {
        "name": "place",
        "label": label,
        "kind": "record",
        "lookup_url": "/calls/places",
        "value": number,
        # Input that matches no record is shown again, so that it can be corrected.
        "selected": [(hit["value"], hit["label"]) for hit in known] or ([(number, number)] if number else []),
        "errors": errors,
        "placeholder": _("Name, number or phone"),
    }
