"""What hung on a document as a child table: accounts, subjects, the log of its status; read with one document."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.customers import CustomerAccount
from app.domain.tickets import ticket_subjects
from app.domain.timeline import StatusChange
from app.models import Lead, TicketSubject
from app.web.fields import Glass


def of_customer(session: Session, ids: list[int], glass: Glass) -> dict[int, dict[str, Any]]:
    """accounts: [{account_type, client_id, created_on, lead_id}]."""
    found: dict[int, dict[str, Any]] = {key: {"accounts": []} for key in ids}
    table = CustomerAccount
    query = select(table.customer_id, table.client_id, table.account_type_id, table.opened_on, Lead.number)
    query = query.outerjoin(Lead, Lead.id == table.lead_id).where(table.customer_id.in_(ids)).order_by(table.id)
    for customer, client_id, kind, opened, number in session.execute(query):
        card = glass.cards.card("account_type", kind)
        found[customer]["accounts"].append({
            "account_type": card["label"] if card else None, "client_id": client_id, "created_on": local(opened, glass),
            "lead_id": number,
        })  # fmt: skip
    return found


def of_lead(session: Session, ids: list[int], glass: Glass) -> dict[int, dict[str, Any]]:
    """status_change_log."""
    return _log(session, ids, StatusChange.lead_id, "lead_status", glass)


def of_ticket(session: Session, ids: list[int], glass: Glass) -> dict[int, dict[str, Any]]:
    """ticket_subjects: [{subject}], and status_change_log."""
    found = _log(session, ids, StatusChange.ticket_id, "ticket_status", glass)
    for each in found.values():
        each["ticket_subjects"] = []
    link = ticket_subjects.c
    query = select(link.ticket_id, TicketSubject.label).join(TicketSubject, TicketSubject.id == link.subject_id)
    for ticket, label in session.execute(query.where(link.ticket_id.in_(ids)).order_by(TicketSubject.position)):
        found[ticket]["ticket_subjects"].append({"subject": label})
    return found


def _log(session: Session, ids: list[int], parent: Any, master: str, glass: Glass) -> dict[int, dict[str, Any]]:
    """One entry a stretch, the last one open: {from, from_date, to, to_date, duration, log_owner}."""
    found: dict[int, dict[str, Any]] = {key: {"status_change_log": []} for key in ids}
    table = StatusChange
    query = select(parent, table.to_id, table.at, table.seconds, table.by_id).where(parent.in_(ids))
    for key, status, at, seconds, by in session.execute(query.order_by(table.id)):
        log, label = found[key]["status_change_log"], (glass.cards.card(master, status) or {}).get("label")
        if log:
            owner = (glass.cards.person(by) or {}).get("username")
            log[-1] |= {"to": label, "to_date": local(at, glass), "duration": seconds, "log_owner": owner}
        log.append({"from": label, "from_date": local(at, glass), "to": "", "to_date": None, "duration": None,
                    "log_owner": None})  # fmt: skip
    return found


def local(moment: datetime | None, glass: Glass) -> str | None:
    """The predecessor knew one zone and wrote no offset."""
    return f"{moment.astimezone(glass.zone):%Y-%m-%d %H:%M:%S.%f}" if moment else None
