"""Sets the status of a ticket together with a reply to its customer."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken
from app.domain.tickets import ENDED, Ticket
from app.extensions import db
from app.lib.ids import parse_id
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer
from app.web.records.tickets import TicketResource


def offered(session: Session, ticket_id: int | None, viewer: Viewer) -> list[tuple[int, str]]:
    """The statuses that can be set with the reply; none if the person may not change the ticket."""
    row = access.get_visible(session, Ticket, ticket_id) if ticket_id else None
    if row is None or not access.reaches_row(session, viewer.person, row, "write"):
        return []
    cards, meanings = viewer.lookups.cards["ticket_status"], viewer.lookups.meanings["ticket_status"]
    return [
        (key, shown_label(cards[key]["label"]))
        for key in viewer.lookups.offered["ticket_status"]
        if key != row.status_id and meanings.get(key) != "scheduled"  # which requires a task
    ]


def set_status(ticket_id: int | None, status: str, text: str, viewer: Viewer) -> None:
    """Set the status of the ticket. The text of a closing reply becomes its resolution, if it has none.

    Raises RuleBroken, and Denied for people who may reply but not change it.
    """
    session = db.session()
    row = access.get_visible(session, Ticket, ticket_id) if ticket_id else None
    key = parse_id(status)
    if row is None or key not in viewer.lookups.offered["ticket_status"]:
        raise RuleBroken(_("This status can't be set. Please choose another one."), "status")
    if not access.reaches_row(session, viewer.person, row, "write"):
        raise access.Denied(_("You can answer but not change this ticket. Please leave its status as it is."))
    values: dict[str, Any] = {"status_id": key}
    if viewer.lookups.meanings["ticket_status"].get(key) in ENDED and not row.resolution and text.strip():
        values["resolution"] = text.strip()
    TicketResource.service.change(session, row, values, viewer)
