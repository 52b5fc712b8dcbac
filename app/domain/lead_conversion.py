"""Converting a lead with an activated account into its customer, and undoing that within a day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.domain import lead_requirements, timeline
from app.domain.base import RuleBroken, Stamp, translatable
from app.domain.change_context import ChangeContext
from app.domain.customers import Customer
from app.domain.files.attachments import Attachment
from app.domain.leads import Lead
from app.domain.merging import merged_records
from app.domain.messaging.messages import Message
from app.domain.persistence import record_locks
from app.domain.telephony.calls import CallLog
from app.lib.batches import batched

UNDO_HOURS = 24
#: Rows of a lead that its customer shows, too.
_SHOWN: tuple[Any, ...] = (timeline.Activity, CallLog, Message, Attachment)
#: Table -> (id, former customer) of the rows that a conversion gave to the customer.
_Moved = dict[str, Iterable[tuple[int, int | None]]]
#: Rows per statement that takes them back.
_AT_ONCE = 500


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
    moved = _move_rows(session, lead, customer.id)
    lead.stamp(context)
    text = f"Converted to {customer.number}"
    timeline.write(session, lead, "system", context, text=text, what="converted", moved=moved)
    return customer


def _move_rows(session: Session, lead: Lead, customer_id: int) -> dict[str, list[list[int | None]]]:
    """Give the lead's timeline, calls, messages and files to the customer too.

    Returns for the undo: table -> [id, former customer] of each row that had another customer or none.
    """
    moved = {}
    for table in _SHOWN:
        rules = (table.lead_id == lead.id, or_(table.customer_id.is_(None), table.customer_id != customer_id))
        rows = session.execute(select(table.id, table.customer_id).where(*rules)).all()
        if rows:
            moved[table.__tablename__] = [list(row) for row in rows]
            statement = update(table).where(*rules).values(customer_id=customer_id)
            session.execute(statement, execution_options={"synchronize_session": False})
    return moved


def _take_back(session: Session, lead: Lead, moved: _Moved) -> None:
    """Take back what the latest conversion gave to the customer, as far as it is still the lead's and theirs."""
    owners = {former: _remaining(session, former) for rows in moved.values() for _key, former in rows}
    for table in _SHOWN:
        by_former = defaultdict(list)
        for key, former in moved.get(table.__tablename__, ()):
            by_former[former].append(key)
        theirs = (table.lead_id == lead.id, table.customer_id == lead.customer_id)
        for former, keys in by_former.items():
            owner = owners[former]
            for part in batched(keys, _AT_ONCE):
                statement = update(table).where(table.id.in_(part), *theirs).values(customer_id=owner)
                session.execute(statement, execution_options={"synchronize_session": False})


def _remaining(session: Session, customer_id: int | None) -> int | None:
    """The customer, or the one into whom they were merged since; None if there is none any more."""
    if customer_id is None:
        return None
    merged = merged_records.follow(session, "customer", customer_id)
    key = customer_id if merged is None else merged.kept_id
    return session.scalar(select(Customer.id).where(Customer.id == key).with_for_update(read=True))


def _moved(session: Session, lead: Lead) -> _Moved:
    """What `_move_rows` returned; empty for a conversion of a version that didn't note it."""
    line = timeline.Activity
    of_lead = (line.lead_id == lead.id, line.kind == "system", line.at == lead.converted_on)
    payloads = session.scalars(select(line.payload).where(*of_lead).order_by(line.id.desc()))
    found: dict[str, Any] = next((each for each in payloads if each.get("what") == "converted"), {})
    return dict(found.get("moved") or {})


def undo(session: Session, lead: Lead, stamp: Stamp) -> None:
    """Undo a conversion at most UNDO_HOURS old; only for managers. Raises RuleBroken for an older one.

    The lead stays linked to the customer, who no longer has what the conversion gave them.
    """
    if lead.converted_on is None:
        raise RuleBroken("This lead was not converted.", "status")
    if stamp.now - lead.converted_on > timedelta(hours=UNDO_HOURS):
        raise RuleBroken(
            translatable("A conversion can only be undone within %(hours)s hours.", hours=UNDO_HOURS), "status"
        )
    moved = _moved(session, lead)
    lead.converted_on = None
    lead.stamp(stamp)
    record_locks.write_first(session)  # the lead and its customer are locked before what refers to them
    _take_back(session, lead, moved)
    timeline.write(session, lead, "system", stamp, text="Conversion undone", what="unconverted")
