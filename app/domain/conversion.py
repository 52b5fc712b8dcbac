"""A lead whose account is activated becomes its customer's history; for a day that can be taken back."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.domain import leads, timeline
from app.domain.base import RuleBroken, translatable
from app.domain.calls import CallLog
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.messages import Message

UNDO_HOURS = 24


def convert(session: Session, lead: Lead, by: int | None, now: datetime) -> Customer:
    """Make or link the customer; the lead's timeline, calls and messages join the customer's. Idempotent.

    Raises RuleBroken for a lead whose account is not activated.
    """
    if lead.converted_on is not None and lead.customer is not None:
        return lead.customer
    if lead.status.meaning != "activated":
        raise RuleBroken("Only a lead in Account Activated can be converted. Move it there first.", "status")
    customer = lead.customer or leads.find_or_create_customer(session, lead, by, now)
    lead.converted_on = now
    _adopt(session, lead, customer.id)
    lead.stamp(by, now)
    timeline.write(session, lead, "system", by, now, text=f"Converted to {customer.number}", what="converted")
    return customer


def _adopt(session: Session, lead: Lead, customer_id: int) -> None:
    """The lead's rows that know a customer now name this one."""
    for table in (timeline.Activity, CallLog, Message):
        step = update(table).where(table.lead_id == lead.id).values(customer_id=customer_id)
        session.execute(step, execution_options={"synchronize_session": False})


def undo(session: Session, lead: Lead, by: int | None, now: datetime) -> None:
    """Take a conversion back within UNDO_HOURS (a manager's right). Raises RuleBroken later."""
    if lead.converted_on is None:
        raise RuleBroken("This lead was not converted.", "status")
    if now - lead.converted_on > timedelta(hours=UNDO_HOURS):
        raise RuleBroken(
            translatable("A conversion can only be undone within %(hours)s hours.", hours=UNDO_HOURS), "status"
        )
    lead.converted_on = None
    lead.stamp(by, now)
    timeline.write(session, lead, "system", by, now, text="Conversion undone", what="unconverted")
