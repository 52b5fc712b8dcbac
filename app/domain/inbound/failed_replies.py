"""A message that counted as the first response and did not arrive after all counts no longer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CompoundSelect, func, not_, select, union_all
from sqlalchemy.orm import Session

from app.domain.leads import Lead
from app.domain.messaging import messages
from app.domain.messaging.messages import Message
from app.domain.persistence.session_context import session_context
from app.domain.telephony.calls import CallLog
from app.domain.tickets import Ticket
from app.domain.timeline import StatusChange
from app.domain.working_time import sla

#: The column by which messages, calls and changes of status refer to a record.
_RECORDS: dict[str, Any] = {"lead_id": Lead, "ticket_id": Ticket}


def advance(session: Session, message: Message, state: str, now: datetime) -> bool:
    """Like `messages.advance`, for what a provider or mail server reports about a message that it had accepted.

    One that failed no longer counts as the first response; one that arrived after all counts again.
    """
    old = message.state
    if not messages.advance(session, message, state, now):
        return False
    if message.happened_on is not None and _may_be_reply(message):
        if state == "failed":
            _withdraw(session, message, message.happened_on)
        elif old == "failed":
            _count_again(session, message, message.happened_on)
    return True


def _may_be_reply(message: Message) -> bool:
    return message.created_by_id is not None and not messages.is_of_campaign(message)


def _withdraw(session: Session, message: Message, at: datetime) -> None:
    """Withdraw the message from the clocks that it stopped: those of records first replied to at this moment."""
    for column, record in _RECORDS.items():
        key = getattr(message, column)
        if key is None:
            continue
        stopped = select(record).where(record.id == key, record.replied_on == at).with_for_update(of=record)
        row = session.scalars(stopped, execution_options={"populate_existing": True}).first()
        if row is not None:
            terms = sla.load_terms(session, str(session_context(session).zone))
            sla.withdraw_first_reply(session, row, _next_reply(session, message, column, at), terms)


def _count_again(session: Session, message: Message, at: datetime) -> None:
    for column, record in _RECORDS.items():
        key = getattr(message, column)
        sla.record_first_replies(session, record, {} if key is None else {key: at})


def _next_reply(session: Session, message: Message, column: str, at: datetime) -> datetime | None:
    """When a user first talked to the customer after this message, or changed the status; None = nobody has."""
    key = getattr(message, column)
    written = (
        *(getattr(Message, column) == key, Message.id != message.id, Message.direction == "out"),
        *(Message.state.in_((*messages.SENT, "noted")), Message.created_by_id.is_not(None), Message.happened_on >= at),
        not_(func.coalesce(Message.cause, "").startswith(messages.CAMPAIGN_CAUSE)),
    )
    began = func.coalesce(CallLog.answered_on, CallLog.started_on)
    called = (CallLog.status == "Completed", CallLog.direction != "Unknown", CallLog.employee_id.is_not(None))
    moved = (StatusChange.from_id.is_not(None), StatusChange.by_id.is_not(None), StatusChange.at >= at)
    found: CompoundSelect[Any] = union_all(
        select(func.min(Message.happened_on).label("at")).where(*written),
        select(func.min(began)).where(getattr(CallLog, column) == key, began >= at, *called),
        select(func.min(StatusChange.at)).where(getattr(StatusChange, column) == key, *moved),
    )
    return min((each for each in session.scalars(found) if each is not None), default=None)
