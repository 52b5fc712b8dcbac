"""Whether a new email creates a ticket or lead, and which, by the rules of the account that received it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain import business_settings, leads, tickets
from app.domain.base import RuleBroken
from app.domain.change_context import ChangeContext
from app.domain.customers import Customer
from app.domain.inbound import mail_threads
from app.domain.inbound.inbound_mail_context import InboundMailContext
from app.domain.leads import Lead
from app.domain.messaging.mails import Mail
from app.domain.picklists import TicketSubject
from app.domain.tickets import Ticket
from app.domain.working_time import sla
from app.lib.mail_reading import ReadMail
from app.lib.mail_subjects import bare_subject

#: Characters of the email that are copied to the description.
MAX_DESCRIPTION = 5_000
#: Emails per hour and sender that may create records: a program that answers ours would never end.
MAX_PER_HOUR = 20
#: Role whose round robin assigns records created by emails, unless the account names another.
ROLES = {"ticket": "Support User", "lead": "Sales User"}


def may_open(session: Session, context: InboundMailContext, mail: ReadMail) -> bool:
    """Whether a new email may create a record: not if automatic, nor above the hourly limit."""
    if context.values.get("opens", "nothing") == "nothing" or mail.is_automatic or mail.bounce is not None:
        return False
    recent = (Mail.peer == mail.sender.address, Mail.received_on > context.now - timedelta(hours=1))
    return (session.scalar(select(func.count()).select_from(Mail).where(*recent)) or 0) <= MAX_PER_HOUR


def open_for(
    session: Session, context: InboundMailContext, mail: ReadMail, is_unverified: bool
) -> Ticket | Lead | None:
    """Create what the account creates. An open lead with this sender is continued, not created twice."""
    change = ChangeContext(
        None,
        context.now,
        vault=context.vault,
        sla_terms=sla.load_terms(session, context.zone),
        first_task_minutes=business_settings.value_of(session, "first_task_minutes"),
    )
    if context.values.get("opens") == "lead":
        known = None if is_unverified else mail_threads.open_lead(session, mail.sender.address)
        return known or _create(session, leads.create, _values(session, context, mail) | _contact(mail), change)
    customer = None if is_unverified else mail_threads.customer_of(session, mail.sender.address)
    values = _values(session, context, mail) | {"source": "E-mail", "subject_ids": [_subject(session, context)]}
    values["summary"] = bare_subject(mail.subject)
    values |= {"customer_id": customer.id} if customer is not None else _contact(mail)
    ticket: Ticket = _create(session, tickets.create, values, change)
    return ticket


def _create(session: Session, create: Callable[..., Any], values: dict[str, Any], context: ChangeContext) -> Any:
    """Create the record for the next person of the role, else for its owner, else for nobody. Raises RuleBroken."""
    role, owner_id = values.pop("role"), values["owner_id"]
    for who in ({"assign_to_role": role}, {"assignee_id": owner_id}):
        try:
            with session.begin_nested():
                return create(session, values | who, context)
        except RuleBroken as refused:
            if not refused.errors.keys() & {"assign_to_role", "assign_to"}:
                raise
    return create(session, values, context)


def _values(session: Session, context: InboundMailContext, mail: ReadMail) -> dict[str, Any]:
    """Its owner, the role of its round robin, and its subject."""
    chosen = context.values
    owner = select(User.id).where(User.username == chosen.get("owner", ""), User.active.is_(True))
    text = "\n\n".join(filter(None, (mail.subject, mail.text)))[:MAX_DESCRIPTION]
    role = chosen.get("assign_to_role") or ROLES[chosen["opens"]]
    return {"owner_id": session.scalar(owner), "role": role, "description": text}


def _contact(mail: ReadMail) -> dict[str, Any]:
    """Name and address of the sender, or where replies go, as forms on a website give it.

    Some mail programs send the address as the name, which field masks of the address would not hide: it is shortened.
    """
    address = mail.answer_to or mail.sender.address
    name = (mail.sender.name or address).partition("@")[0].strip() or address.partition("@")[0]
    first, _space, last = name.strip().rpartition(" ") if " " in name.strip() else (name, "", "")
    return {"first_name": first[:80], "last_name": last[:80] or None, "email": address}


def _subject(session: Session, context: InboundMailContext) -> int:
    """The subject of the account's tickets, else the last one of the list: the general one as shipped."""
    label = context.values.get("ticket_subject", "")
    named = session.scalar(select(TicketSubject.id).where(TicketSubject.label == label)) if label else None
    last = select(TicketSubject.id).order_by(TicketSubject.position.desc()).limit(1)
    return named or session.scalars(last).one()


def responsible(session: Session, records: Mapping[str, int | None]) -> int | None:
    """The id of the user who is responsible for the most specific of these records."""
    record = record_of(session, records)
    return getattr(record, "assignee_id", None) or getattr(record, "owner_id", None)


def record_of(session: Session, records: Mapping[str, int | None]) -> Any:
    """The most specific of these records."""
    for name, model in (("ticket_id", Ticket), ("lead_id", Lead), ("customer_id", Customer)):
        record: Any = session.get(model, records[name]) if records.get(name) else None
        if record is not None:
            return record
    return None
