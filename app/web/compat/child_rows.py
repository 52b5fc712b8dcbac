"""Child rows of a document: a customer's accounts, a ticket's subjects, the status change log.

The log is read as the system, for documents that the access rules let the person read: whoever sees one sees the other.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app import access
from app.domain.customers import CustomerAccount
from app.domain.tickets import ticket_subjects
from app.domain.timeline import StatusChange
from app.models import Lead, TicketSubject
from app.web.compat.timestamps import local_timestamp
from app.web.compat.users import name_of
from app.web.core.viewer import Viewer

# Built once: compiling these statements is the most expensive part of reading a document.
_ID: Any = bindparam("id")
_STATUS_CHANGES = {
    picklist: select(StatusChange.to_id, StatusChange.at, StatusChange.seconds, StatusChange.by_id)
    .where(parent == _ID)
    .order_by(StatusChange.id)
    for picklist, parent in (("lead_status", StatusChange.lead_id), ("ticket_status", StatusChange.ticket_id))
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


def customer_children(session: Session, record_id: int, viewer: Viewer) -> dict[str, Any]:
    """accounts: [{account_type, client_id, created_on, lead_id}]; lead_id is null for a lead that is not visible."""
    accounts = []
    for client_id, account_type, opened_on, lead_number in session.execute(_ACCOUNTS, {"id": record_id}):
        card = viewer.lookups.card("account_type", account_type)
        accounts.append(
            {
                "account_type": card["label"] if card else None,
                "client_id": client_id,
                "created_on": local_timestamp(opened_on, viewer),
                "lead_id": lead_number,
            }
        )
    return {"accounts": accounts}


def lead_children(session: Session, record_id: int, viewer: Viewer) -> dict[str, Any]:
    """status_change_log."""
    return {"status_change_log": _status_change_log(session, record_id, "lead_status", viewer)}


def ticket_children(session: Session, record_id: int, viewer: Viewer) -> dict[str, Any]:
    """ticket_subjects: [{subject}], and status_change_log."""
    labels = session.scalars(_SUBJECTS, {"id": record_id})
    return {
        "ticket_subjects": [{"subject": label} for label in labels],
        "status_change_log": _status_change_log(session, record_id, "ticket_status", viewer),
    }


def _status_change_log(session: Session, record_id: int, picklist: str, viewer: Viewer) -> list[dict[str, Any]]:
    """One entry per status, the last one still open: {from, from_date, to, to_date, duration, log_owner}."""
    with access.as_system(session):
        rows = session.execute(_STATUS_CHANGES[picklist], {"id": record_id}).all()
    log: list[dict[str, Any]] = []
    for status, at, seconds, by in rows:
        label = (viewer.lookups.card(picklist, status) or {}).get("label")
        if log:
            owner = name_of(by, viewer)
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
