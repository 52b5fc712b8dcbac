"""Converting a lead with an activated account into its customer, and undoing that within a day."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.domain import lead_requirements, timeline
from app.domain.attachments import Attachment
from app.domain.base import RuleBroken, Stamp, translatable
from app.domain.change_context import ChangeContext
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.messaging.messages import Message
from app.domain.telephony.calls import CallLog

UNDO_HOURS = 24


def convert(session: Session, lead: Lead, context: ChangeContext) -> Customer:
    """Create or link the customer, who gets the lead's timeline, calls and messages. Idempotent.

    Raises RuleBroken for a lead whose account is not activated.
    """
    if lead.converted_on is not None and lead.customer is not None:
        return lead.customer
    if lead.status.meaning != "activated":
        raise RuleBroken("Only a lead in Account Activated can be converted. Move it there first.", "status")
    customer = lead.customer or lead_requirements.find_or_create_customer(session, lead, context)
    lead.converted_on = context.now
    _move_rows(session, lead, customer.id)
    lead.stamp(context)
    timeline.write(session, lead, "system", context, text=f"Converted to {customer.number}", what="converted")
    return customer


def _move_rows(session: Session, lead: Lead, customer_id: int) -> None:
    """Give the lead's timeline, calls, messages and files to the customer too."""
    for table in (timeline.Activity, CallLog, Message, Attachment):
        statement = update(table).where(table.lead_id == lead.id).values(customer_id=customer_id)
        session.execute(statement, execution_options={"synchronize_session": False})


def undo(session: Session, lead: Lead, stamp: Stamp) -> None:
    """Undo a conversion at most UNDO_HOURS old; only for managers. Raises RuleBroken for an older one."""
    if lead.converted_on is None:
        raise RuleBroken("This lead was not converted.", "status")
    if stamp.now - lead.converted_on > timedelta(hours=UNDO_HOURS):
        raise RuleBroken(
            translatable("A conversion can only be undone within %(hours)s hours.", hours=UNDO_HOURS), "status"
        )
    lead.converted_on = None
    lead.stamp(stamp)
    timeline.write(session, lead, "system", stamp, text="Conversion undone", what="unconverted")
