"""Complaints in lists, the search page and the palette: they are found by their tickets, too."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.access.search.complaint_branches import complaints_by
from app.domain.complaints.complaint import Complaint
from app.domain.tickets import Ticket
from app.web.core.queries.linked_hits import LinkedHits
from app.web.core.queries.search_input import TypedText


def _rows(text: TypedText) -> access.LinkedRows:
    return complaints_by(text.text, text.is_part_of_code)


def _newest(session: Session, rule: Any, most: int) -> set[int]:
    """Read from the complaints, which are few, and not from all the tickets with a common name."""
    query = select(Complaint.id).prefix_with("STRAIGHT_JOIN", dialect="mysql")
    joined = query.join(Ticket, Ticket.id == Complaint.ticket_id).where(rule)
    return {*session.scalars(joined.order_by(Complaint.id.desc()).limit(most))}


#: Of the screen of complaints.
BY_TICKET = LinkedHits(Ticket, _rows, _newest)
