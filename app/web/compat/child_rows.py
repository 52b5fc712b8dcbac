"""What hung on a document as a child table: accounts, subjects, the log of its status; read with one document.

The log is asked for as the system, of a document that was read under the law: whoever sees one sees the other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app import access
from app.domain.customers import CustomerAccount
from app.domain.tickets import ticket_subjects
from app.domain.timeline import StatusChange
from app.models import Lead, TicketSubject
from app.web.core.fields import Viewer

# Put together once: the statements of one document are the dearest part of reading it.
_ID: Any = bindparam("key")
_STATUS_CHANGES = {
    master: select(StatusChange.to_id, StatusChange.at, StatusChange.seconds, StatusChange.by_id)
    .where(parent == _ID)
    .order_by(StatusChange.id)
    for master, parent in (("lead_status", StatusChange.lead_id), ("ticket_status", StatusChange.ticket_id))
}
_ACCOUNTS = (
    select(CustomerAccount.client_id, CustomerAccount.account_type_id, CustomerAccount.opened_on, Lead.number)
    .outerjoin(Lead, Lead.id == CustomerAccount.lead_id)
    .where(CustomerAccount.customer_id == _ID)
    .order_by(CustomerAccount.id)
)
_SUBJECTS = (
    select(TicketSubject.label)
    .join(ticket_subjects, ticket_subjects.c.subject_id == TicketSubject.id)
    .where(ticket_subjects.c.ticket_id == _ID)
    .order_by(TicketSubject.position)
)


def customer_children(session: Session, key: int, viewer: Viewer) -> dict[str, Any]:
    """accounts: [{account_type, client_id, created_on, lead_id}]; under the law, for a lead has its own."""
    made = []
    for client_id, kind, opened, number in session.execute(_ACCOUNTS, {"key": key}):
        card = viewer.lookups.card("account_type", kind)
        made.append(
            {
                "account_type": card["label"] if card else None,
                "client_id": client_id,
                "created_on": local_timestamp(opened, viewer),
                "lead_id": number,
            }
        )
    return {"accounts": made}


def lead_children(session: Session, key: int, viewer: Viewer) -> dict[str, Any]:
    """status_change_log."""
    return {"status_change_log": _status_change_log(session, key, "lead_status", viewer)}


def ticket_children(session: Session, key: int, viewer: Viewer) -> dict[str, Any]:
    """ticket_subjects: [{subject}], and status_change_log."""
    labels = session.scalars(_SUBJECTS, {"key": key})
    return {
        "ticket_subjects": [{"subject": label} for label in labels],
        "status_change_log": _status_change_log(session, key, "ticket_status", viewer),
    }


def _status_change_log(session: Session, key: int, master: str, viewer: Viewer) -> list[dict[str, Any]]:
    """One entry a stretch, the last one open: {from, from_date, to, to_date, duration, log_owner}."""
    with access.as_system(session):
        rows = session.execute(_STATUS_CHANGES[master], {"key": key}).all()
    log: list[dict[str, Any]] = []
    for status, at, seconds, by in rows:
        label = (viewer.lookups.card(master, status) or {}).get("label")
        if log:
            owner = (viewer.lookups.person(by) or {}).get("username")
            log[-1] |= {"to": label, "to_date": local_timestamp(at, viewer), "duration": seconds, "log_owner": owner}
        log.append(
            {
                "from": label,
                "from_date": local_timestamp(at, viewer),
                "to": "",
                "to_date": None,
                "duration": None,
                "log_owner": None,
            }
        )
    return log


def local_timestamp(moment: datetime | None, viewer: Viewer) -> str | None:
    """The predecessor knew one zone and wrote no offset."""
    return f"{moment.astimezone(viewer.zone):%Y-%m-%d %H:%M:%S.%f}" if moment else None
