"""One grievance that came several ways: joining complaints about it, and parting them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, union, update
from sqlalchemy.orm import Session

from app.domain import timeline
from app.domain.base import NotFound, RuleBroken
from app.domain.complaints.clocks import ComplaintStamp
from app.domain.complaints.complaint import Complaint, ComplaintEntry, is_counted
from app.domain.complaints.register import refuse_ended, restart_clocks
from app.domain.customers import Customer
from app.domain.tickets import Ticket

#: Complaints that are suggested at once.
MAX_SUGGESTED = 8


def join(session: Session, kept_id: int, other_id: int, stamp: ComplaintStamp) -> Complaint:
    """Join the other complaint to the one that is kept: one grievance, counted once. Raises RuleBroken, NotFound.

    Its entries, and those that were joined to it, count for the kept one; its clocks count from the earliest receipt.
    """
    kept, other = _locked(session, kept_id, other_id)
    if other.joined_to_id is not None or kept.joined_to_id is not None:
        raise RuleBroken("One of these complaints was joined to another one already. Please load the page again.")
    if other.outcome is not None:
        raise RuleBroken("The other complaint has an outcome already. Join the open one to it instead, or reopen it.")
    entries = update(ComplaintEntry).where(ComplaintEntry.complaint_id == other.id).values(complaint_id=kept.id)
    session.execute(entries, execution_options={"synchronize_session": "fetch"})
    for row in session.scalars(select(Complaint).where(Complaint.joined_to_id == other.id)):
        row.joined_to_id = kept.id
    other.joined_to_id = kept.id
    _settle(session, kept, other, stamp)
    return kept


def part(session: Session, other_id: int, stamp: ComplaintStamp) -> Complaint:
    """Part a joined complaint: it is counted again, with its own entry. Raises RuleBroken, NotFound."""
    found = session.get(Complaint, other_id)
    if found is None or found.joined_to_id is None:
        raise RuleBroken("This complaint isn't joined to another one.")
    kept, other = _locked(session, found.joined_to_id, other_id)
    if other.joined_to_id != kept.id:
        raise RuleBroken("This complaint isn't joined to another one.")
    if other.outcome is None:
        refuse_ended(session.get_one(Ticket, other.ticket_id))
    own = update(ComplaintEntry).where(ComplaintEntry.origin_id == other.id).values(complaint_id=other.id)
    session.execute(own, execution_options={"synchronize_session": "fetch"})
    other.joined_to_id = None
    restart_clocks(session, other, stamp.terms)
    _settle(session, kept, other, stamp)
    return other


def _locked(session: Session, kept_id: int, other_id: int) -> tuple[Complaint, Complaint]:
    """Both complaints under their locks. Raises RuleBroken, NotFound.

    What was joined to them is locked with them, in the order of their ids: a join writes it, too.
    """
    if kept_id == other_id:
        raise RuleBroken("Please choose another complaint than this one.")
    ids = {kept_id, other_id}
    ids.update(session.scalars(select(Complaint.id).where(Complaint.joined_to_id.in_(ids))))
    query = select(Complaint).where(Complaint.id.in_(sorted(ids))).order_by(Complaint.id).with_for_update()
    found = {row.id: row for row in session.scalars(query, execution_options={"populate_existing": True})}
    if not {kept_id, other_id} <= set(found):
        raise NotFound("This record doesn't exist.")
    return found[kept_id], found[other_id]


def _settle(session: Session, kept: Complaint, other: Complaint, stamp: ComplaintStamp) -> None:
    """Count anew, and write on the timelines of both tickets whether they were joined or parted."""
    restart_clocks(session, kept, stamp.terms)
    what = "parted" if other.joined_to_id is None else "joined"
    ticket = session.get(Ticket, other.ticket_id)
    if ticket is not None:
        ticket.complaint_state = "joined" if what == "joined" else "disposed" if other.outcome else "pending"
        ticket.stamp(stamp)
    for row, number in ((kept, other.number), (other, kept.number)):
        row.stamp(stamp)
        is_kept = row is kept
        timeline.write(session, row, "complaint", stamp, what=what, number=row.number, other=number, is_kept=is_kept)
    session.flush()


def suggestions(session: Session, row: Complaint, by_number: bool, by_pan: bool) -> list[Complaint]:
    """Other counted complaints of the same person, newest first: of the same customer, number or PAN.

    The session's access rules apply. `by_number`, `by_pan`: whether equal mobile numbers and PANs may be told, since
    they would confirm a guess.
    """
    own = _identities(session, row.ticket_id)
    told = [name for name, is_told in (("mobile_e164", by_number), ("pan_blind", by_pan)) if is_told and own[name]]
    ways = [select(Ticket.id).where(Ticket.customer_id == own["customer_id"])] if own["customer_id"] else []
    for name in told:
        ways.append(select(Ticket.id).where(getattr(Ticket, name) == own[name]))
        of_customer = select(Ticket.id).join(Customer, Customer.id == Ticket.customer_id)
        ways.append(of_customer.where(getattr(Customer, name) == own[name]))
    if not ways:
        return []
    tickets = union(*ways).subquery()  # joined, as MariaDB reads a union in IN once for each row
    query = select(Complaint).join(tickets, tickets.c.id == Complaint.ticket_id)
    query = query.where(is_counted(), Complaint.id != row.id).order_by(Complaint.id.desc())
    return list(session.scalars(query.limit(MAX_SUGGESTED)))


def _identities(session: Session, ticket_id: int) -> dict[str, Any]:
    """The customer, number and PAN index of a ticket, its customer's where there is one."""
    query = select(Ticket.customer_id, Ticket.mobile_e164, Ticket.pan_blind, Customer.mobile_e164, Customer.pan_blind)
    found = session.execute(query.outerjoin(Customer, Customer.id == Ticket.customer_id).where(Ticket.id == ticket_id))
    customer_id, mobile, pan, their_mobile, their_pan = found.first() or (None,) * 5
    return {"customer_id": customer_id, "mobile_e164": mobile or their_mobile, "pan_blind": pan or their_pan}
