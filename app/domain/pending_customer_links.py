"""Links to customers that wait for a decision, because the author of the lead or ticket doesn't see the customer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.domain import customer_linking
from app.domain.base import RECORD_COLUMNS, Conflict, Record, RuleBroken, Stamp, UtcDateTime
from app.domain.change_context import ChangeContext
from app.domain.customer_linking import CustomerMatch
from app.domain.customers import Customer
from app.domain.notifications import notices
from app.domain.people import teams, users

#: States of a link; all but Waiting are final. Dropped: the record got another number or customer meanwhile.
STATES = ("Waiting", "Confirmed", "Refused", "Dropped")


class CustomerLink(Record):
    """A lead or ticket with the number of a customer; only people who may change that customer see the link."""

    __tablename__ = "customer_link"
    __table_args__ = (
        CheckConstraint("(lead_id IS NULL) <> (ticket_id IS NULL)", name="link_of_lead_or_ticket"),
        # Set while it waits, null afterwards: the database allows one waiting link per record.
        UniqueConstraint("open_key", name="uq_customer_link_open"),
        Index("ix_customer_link_waiting", "customer_id", "status", "id"),
    )
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"), index=True)
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), index=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"), nullable=False)
    #: One of STATES.
    status: Mapped[str] = mapped_column(String(16), nullable=False, default="Waiting")
    #: Table and record id while it waits, else null.
    open_key: Mapped[str | None] = mapped_column(String(40))
    decided_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    decided_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    customer: Mapped[Customer] = relationship()


class LinkPending(RuleBroken):
    """An account can't be opened before the link to a customer whom the person doesn't see is confirmed."""

    def __init__(self, message: str, match: CustomerMatch) -> None:
        super().__init__(message, "status")
        self.match = match


def record_match(session: Session, record: Any, match: CustomerMatch, stamp: Stamp) -> None:
    """Record in the audit that a stored record was linked; request the link if it may not be made yet."""
    if match.is_open:
        customer_linking.write_audit(session, record, match, stamp)
    else:
        request_link(session, record, match, stamp)


def request_link(session: Session, record: Any, match: CustomerMatch, stamp: Stamp) -> None:
    """Request the link of a stored record; the customer's owner is notified. Does nothing if it is pending already."""
    present = _waiting_of(session, record)
    if present is not None and present.customer_id == match.customer.id:
        return
    if present is not None:
        _close(session, present, "Dropped", stamp)
    made = CustomerLink(customer_id=match.customer.id, status="Waiting", open_key=_open_key(record), **_column(record))
    made.stamp(stamp)
    session.add(made)
    session.flush()
    customer_linking.write_audit(session, record, match, stamp, "waiting")
    people = [user for user in _deciders(session, match.customer) if user != stamp.by]
    payload = {"number": match.customer.number, "record": record.number}
    event = notices.NoticeEvent("link", f"link:{made.id}", people, payload, match.customer, stamp.by)
    notices.notify(session, event, stamp.now)


def withdraw_request(session: Session, record: Any, stamp: Stamp) -> None:
    """Drop the pending link of a record that was linked otherwise, or whose number has changed."""
    present = _waiting_of(session, record) if record.id is not None else None
    if present is not None:
        _close(session, present, "Dropped", stamp)


def waiting(
    session: Session, owner_ids: frozenset[int] | None, customer_id: int | None = None, limit: int = 50
) -> list[CustomerLink]:
    """The pending links to customers of these owners (None: of anybody), or to one customer; oldest first."""
    query = select(CustomerLink).where(CustomerLink.status == "Waiting")
    if customer_id is not None:
        query = query.where(CustomerLink.customer_id == customer_id)
    if owner_ids is not None:
        query = query.join(Customer).where(Customer.owner_id.in_(sorted(owner_ids)))
    return list(session.scalars(query.order_by(CustomerLink.id).limit(limit)))


def decide(session: Session, link: CustomerLink, record: Any, is_confirmed: bool, context: ChangeContext) -> None:
    """Link the record, or refuse to. Raises Conflict if it is decided already. The caller checks who may decide."""
    session.refresh(link, ["status"], with_for_update=True)  # of two concurrent decisions, the second one is refused
    if link.status != "Waiting":
        raise Conflict("Someone has already decided this link.")
    _close(session, link, "Confirmed" if is_confirmed else "Refused", context)
    match = CustomerMatch(link.customer, True, "confirmed")
    if not is_confirmed:
        customer_linking.write_audit(session, record, match, context, "refused")
        return
    differences = customer_linking.link(session, record, link.customer, context)
    if hasattr(record, "opens_customer"):
        record.opens_customer = True
    record.stamp(context)
    customer_linking.write_proposal(session, record, differences, context)
    customer_linking.write_audit(session, record, match, context)
    people = [user for user in (record.assignee_id, record.owner_id) if user and user != context.by]
    payload = {"number": record.number}
    event = notices.NoticeEvent("link_confirmed", f"link_confirmed:{link.id}", people, payload, record, context.by)
    notices.notify(session, event, context.now)


def _close(session: Session, link: CustomerLink, status: str, stamp: Stamp) -> None:
    link.status, link.open_key = status, None
    link.decided_by_id, link.decided_on = stamp.by, stamp.now
    link.stamp(stamp)
    session.flush()
    notices.resolve(session, f"link:{link.id}", stamp.now)


def _waiting_of(session: Session, record: Any) -> CustomerLink | None:
    return session.scalars(select(CustomerLink).where(CustomerLink.open_key == _open_key(record))).first()


def _open_key(record: Any) -> str:
    return f"{record.__tablename__}:{record.id}"


def _column(record: Any) -> dict[str, int]:
    return {RECORD_COLUMNS[record.__tablename__]: record.id}


def _deciders(session: Session, customer: Customer) -> list[int]:
    """Who decides: the owner; if there is none or they are inactive, the managers above, else the admins."""
    owner = session.get(User, customer.owner_id) if customer.owner_id else None
    if owner is not None and owner.active:
        return [owner.id]
    managers = teams.managers_above(session, owner.id) if owner is not None else []
    return list(managers) or users.active_admins(session)
