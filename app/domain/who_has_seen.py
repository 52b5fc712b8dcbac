"""Who has seen a person's data in full: values revealed, recordings played and data exported, from the audit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from app.domain.audit_log import audit
from app.domain.audit_log.audit import AuditEntry
from app.domain.base import Stamp
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.merging import merged_records
from app.domain.telephony.calls import CallLog
from app.domain.telephony.recordings import CallRecording
from app.domain.tickets import Ticket
from app.lib.batches import batched

#: Audit events that name the record whose data somebody has seen.
EVENTS = ("reveal", "recording", "export")
#: The field of a reveal by which somebody took a copy of all of a customer's data, with nothing masked.
FULL_COPY = "copy of the data"
#: The most entries of one result, and records of each kind that are searched for.
MAX_ENTRIES, MAX_RECORDS = 200, 500
#: Record numbers that are searched for in the texts of the audit.
MAX_MENTIONED = 20


@dataclass(frozen=True)
class Reveal:
    """A field of a record that somebody is about to see in full, and why; never the value."""

    #: As in "lead CRM-LEAD-2026-00001".
    about: str
    field: str
    reason: str
    #: The browser's IP address.
    address: str | None


def write_reveal(session: Session, seen: Reveal, stamp: Stamp) -> None:
    """Record in the audit that somebody reveals a value."""
    what = {"field": seen.field, "reason": seen.reason}
    audit.write(session, "reveal", stamp.by, stamp.now, seen.about, seen.address, **what)


def of_customer(
    session: Session, customer: Customer, events: Collection[str] = EVENTS, mentioned_since: datetime | None = None
) -> list[AuditEntry]:
    """The newest MAX_ENTRIES entries about the customer, their leads and tickets, and the recordings of their calls.

    `mentioned_since`: from then on, also entries that only mention one of their numbers. The session must be allowed to
    read the audit.
    """
    found = abouts(session, customer)
    rule: ColumnElement[bool] = AuditEntry.about.in_(found)
    if mentioned_since is not None:
        numbers = list(dict.fromkeys(name for name in (each.partition(" ")[2] for each in found) if "-" in name))
        mentioned = or_(*[AuditEntry.about.like(f"%{number}%") for number in numbers[:MAX_MENTIONED]])
        rule = or_(rule, AuditEntry.about.in_(numbers), and_(AuditEntry.at >= mentioned_since, mentioned))
    query = select(AuditEntry).where(rule, AuditEntry.event.in_(events))
    return list(session.scalars(query.order_by(AuditEntry.id.desc()).limit(MAX_ENTRIES)))


def of_user(session: Session, user_id: int, since: datetime, until: datetime) -> list[str]:
    """What a user has revealed, heard or exported in this time, as the audit names it; at most MAX_RECORDS + 1.

    The session must be allowed to read the audit.
    """
    mine = (AuditEntry.user_id == user_id, AuditEntry.at >= since, AuditEntry.at <= until)
    query = select(AuditEntry.about).where(*mine, AuditEntry.event.in_(EVENTS), AuditEntry.about.is_not(None))
    return [str(about) for about in session.scalars(query.distinct().order_by(AuditEntry.about).limit(MAX_RECORDS + 1))]


def all_of_customer(session: Session, customer: Customer) -> list[AuditEntry]:
    """All entries of `of_customer`, the newest first."""
    found: dict[int, AuditEntry] = {}
    for some in batched(abouts(session, customer, None), MAX_RECORDS):
        query = select(AuditEntry).where(AuditEntry.about.in_(some), AuditEntry.event.in_(EVENTS))
        found |= {entry.id: entry for entry in session.scalars(query)}
    return [found[key] for key in sorted(found, reverse=True)]


def abouts(session: Session, customer: Customer, most: int | None = MAX_RECORDS) -> list[str]:
    """What the audit calls the customer and their records: numbers, and ids for exports of consents.

    Records merged into one of these were seen under their own numbers. `most`: of each kind; None = all.
    """
    found = []
    for record, kind in ((Customer, "customer"), (Lead, "lead"), (Ticket, "ticket")):
        rule = record.id == customer.id if record is Customer else record.customer_id == customer.id
        rows = [(key, number) for key, number in session.execute(_newest(record, rule, most))]
        for some in batched([key for key, _number in rows], MAX_RECORDS):
            rows += merged_records.merged_from(session, record.__tablename__, some)
        found += [f"{kind} {name}" for row in rows for name in row]
    heard_recordings = select(CallRecording.id).join(CallLog, CallLog.id == CallRecording.call_id)
    calls = [CallLog.customer_id == customer.id]
    for column, record in ((CallLog.lead_id, Lead), (CallLog.ticket_id, Ticket)):
        calls.append(column.in_(select(record.id).where(record.customer_id == customer.id)))
    heard_recordings = heard_recordings.where(or_(*calls)).order_by(CallRecording.id.desc()).limit(most)
    return [*found, *(f"recording {key}" for key in session.scalars(heard_recordings))]


def _newest(record: Any, rule: Any, most: int | None) -> Any:
    return select(record.id, record.number).where(rule).order_by(record.id.desc()).limit(most)
