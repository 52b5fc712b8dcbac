"""How complaints are found: by what their tickets are found by, and by the references of the ways they came."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select, union_all
from sqlalchemy.orm import Session

from app import access
from app.domain.complaints.complaint import SOURCES, Complaint, ComplaintEntry
from app.domain.customers import Customer, CustomerAccount
from app.domain.tickets import Ticket
from app.web.core.fields.filter_operators import begins
from app.web.core.queries.linked_hits import LinkedHits
from app.web.core.queries.search_input import TypedText

#: Minimum characters of a reference's beginning.
_LEAST_OF_REFERENCE = 3


def _ids(session: Session, tickets: access.IndexLookup, text: TypedText, most: int) -> set[int]:
    """The ids of complaints; of tickets that are too many to list, of the newest complaints that the person sees."""
    queries: list[Any] = []
    if tickets.ids:
        queries.append(select(Complaint.id).where(Complaint.ticket_id.in_(sorted(tickets.ids))))
    queries += _by_reference(text.text.upper()) if _is_reference(text.text) else []
    found: set[int] = set()
    if queries:
        with access.as_system(session):  # ids only: they are shown to nobody
            found = {*session.scalars(union_all(*queries))} - {None}
    if tickets.ids is None:
        found |= {*session.scalars(_of_common(tickets.rule(), most + 1))}
    if text.is_part_of_code:
        found |= {*session.scalars(_by_client_id(text.text.upper()).limit(most + 1))}
    return found


def _is_reference(text: str) -> bool:
    """Whether it can be the beginning of a reference: words are none."""
    return len(text) >= _LEAST_OF_REFERENCE and not text.replace(" ", "").isalpha()


def _by_reference(text: str) -> list[Select[Any]]:
    """Entries by the beginning of their reference, and the complaint that one was registered with.

    All sources are named so that the unique key of source and reference is read.
    """
    rule = ComplaintEntry.source.in_(SOURCES) & begins(ComplaintEntry.reference, " ".join(text.split()))
    return [select(column).where(rule) for column in (ComplaintEntry.complaint_id, ComplaintEntry.origin_id)]


def _by_client_id(text: str) -> Select[Any]:
    """By the beginning of a client ID of the ticket's customer; the session adds the rules for all of them."""
    query = select(Complaint.id).join(Ticket, Ticket.id == Complaint.ticket_id)
    query = query.join(Customer, Customer.id == Ticket.customer_id)
    query = query.join(CustomerAccount, CustomerAccount.customer_id == Customer.id)
    return query.where(begins(CustomerAccount.client_id, text))


def _of_common(rule: Any, most: int) -> Select[Any]:
    """Read from the complaints, which are few, and not from all the tickets with a common name."""
    query = select(Complaint.id).prefix_with("STRAIGHT_JOIN", dialect="mysql")
    joined = query.join(Ticket, Ticket.id == Complaint.ticket_id).where(rule)
    return joined.order_by(Complaint.id.desc()).limit(most)


#: Of the screen of complaints.
BY_TICKET = LinkedHits(Ticket, _ids)
