"""The predecessor's methods for tickets: made, moved, closed by the dozen; what a customer had before."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import case, func, select

from app import access
from app.domain import call_outcomes
from app.domain.base import RuleBroken
from app.domain.leads import TERMINAL
from app.domain.tickets import ENDED
from app.extensions import db
from app.models import LeadStatus, TicketStatus
from app.web.compat import bulk_actions, client
from app.web.compat.arguments import Arguments
from app.web.compat.child_rows import local_timestamp
from app.web.compat.customers import customer_conditions
from app.web.compat.doctypes import DOCTYPES, DocType
from app.web.compat.documents import fetch_documents
from app.web.compat.field_conversion import html_to_text, record_values
from app.web.compat.leads import LEAD, customer_fields
from app.web.compat.lists import describe_fields
from app.web.compat.responses import CompatError
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer
from app.web.core.record_table import ListQuery
from app.web.records import mentions

TICKET, CALL = DOCTYPES["CRM Ticket"], DOCTYPES["CRM Call Log"]


def get_ticket(arguments: Arguments) -> dict[str, Any]:
    """name -> the ticket, what is known of its customer, and fields_meta."""
    ticket = client.read_document(TICKET, arguments.text("name"))
    return ticket | customer_fields(ticket["customer_id"]) | {"fields_meta": describe_fields(TICKET, current_viewer())}


def create_ticket(arguments: Arguments) -> dict[str, Any]:
    """doc (with call_log, if it began with a call) -> the stored ticket."""
    doc = arguments.json_object("doc")
    call = doc.pop("call_log", None)
    made = client.insert_document(doc | {"doctype": TICKET.name})
    if call:
        row, viewer = client.get_record(CALL, str(call), "write"), current_viewer()
        ticket = client.get_record(TICKET, made["name"], "read")
        with access.as_system(db.session()):
            call_outcomes.link(db.session(), row, ticket, viewer.person.id, viewer.now)
    return made


# --- changed


def update_status(arguments: Arguments) -> dict[str, Any]:
    """ticket, status, comment: the comment is the resolution where the status asks for one, else a note."""
    row, viewer = (
        client.get_record(TICKET, arguments.first_text("ticket", "ticket_name", "name"), "write"),
        current_viewer(),
    )
    label, comment = arguments.text("status"), html_to_text(arguments.text("comment", ""))
    key = bulk_actions.find_status_id(TICKET, label)
    ends = viewer.lookups.meanings["ticket_status"].get(key) in ENDED
    given = TICKET.record_table.parse({"resolution": comment}, "edit", viewer) if ends and comment else {}
    bulk_actions.update_record(TICKET, row, given | {"status_id": key}, viewer)
    if comment and not ends:
        write_note(row, comment, viewer)
    return {
        "success": True,
        "message": _("Status changed to %(status)s", status=label),
        "name": row.number,
        "status": label,
    }


def write_note(row: Any, text: str, viewer: Viewer) -> Any:
    """A note on a record. Raises Denied without the right, RuleBroken for a text that cannot be kept."""
    viewer.person.refuse_unless("Notes", "create")
    record_values = DOCTYPES["FCRM Note"].record_table.parse({"text": text}, "add", viewer)["text"]
    if not record_values:
        raise RuleBroken(_("Please enter a text."), "content")
    return mentions.write_note(db.session(), row, record_values, viewer)


def bulk_update_tickets(arguments: Arguments) -> dict[str, Any]:
    """names, updates: {field: value}."""
    updates, viewer = arguments.json_object("updates"), current_viewer()
    if not updates:
        raise CompatError(417, _("“%(name)s” must be an object.", name="updates"))
    values = TICKET.record_table.parse(record_values(TICKET, updates, {}), "edit", viewer)
    return _bulk_update(arguments, values, viewer)


def bulk_set_priority(arguments: Arguments) -> dict[str, Any]:
    """names, priority."""
    viewer = current_viewer()
    return _bulk_update(
        arguments, TICKET.record_table.parse({"priority": arguments.text("priority")}, "edit", viewer), viewer
    )


def bulk_close_tickets(arguments: Arguments) -> dict[str, Any]:
    """names, resolution."""
    cards, viewer = current_viewer().lookups, current_viewer()
    closed = [key for key in cards.offered["ticket_status"] if cards.meanings["ticket_status"][key] == "closed"]
    if not closed:
        raise RuleBroken(_("No ticket status has the meaning “closed”. An admin can add one."), "status")
    text = html_to_text(arguments.text("resolution", ""))
    values = TICKET.record_table.parse({"resolution": text}, "edit", viewer) if text else {}
    return _bulk_update(arguments, values | {"status_id": closed[0]}, viewer)


def _bulk_update(arguments: Arguments, values: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    names = arguments.record_names("names", "ticket_names", "tickets")
    return bulk_actions.apply_to_each(
        TICKET, names, "write", lambda row: bulk_actions.update_record(TICKET, row, dict(values), viewer)
    )


# --- what a customer had


def customer_history(arguments: Arguments) -> dict[str, Any]:
    """mobile_no, email or customer_id -> {tickets, leads, summary}: what is open, and how much there was in all."""
    viewer, most = current_viewer(), 20 if "customer_id" in arguments else 10
    theirs = customer_conditions(arguments)
    of_tickets, of_leads = theirs(TICKET), theirs(LEAD)
    tickets = _open_documents(TICKET, of_tickets, ("subject", "status", "priority", "creation"), most, viewer)
    leads = _open_documents(LEAD, of_leads, ("lead_name", "status", "account_type", "creation"), most, viewer)
    ticket_count, open_count, ticket_last = _count_documents(TICKET, of_tickets, TicketStatus, ENDED, viewer)
    lead_count, _open_leads, lead_last = _count_documents(LEAD, of_leads, LeadStatus, TERMINAL, viewer)
    last = max((each for each in (ticket_last, lead_last) if each is not None), default=None)
    summary = {
        "total_tickets": ticket_count,
        "open_tickets": open_count,
        "total_leads": lead_count,
        "last_interaction": local_timestamp(last, viewer),
    }
    return {"tickets": tickets, "leads": leads, "summary": summary}


def _open_documents(
    doctype: DocType, rules: list[Any], names: tuple[str, ...], most: int, viewer: Viewer
) -> list[dict[str, Any]]:
    if not viewer.person.may(doctype.module, "read"):
        return []
    master, ended = ("ticket_status", ENDED) if doctype is TICKET else ("lead_status", TERMINAL)
    open_ids = [key for key, meaning in viewer.lookups.meanings[master].items() if meaning not in ended]
    record = doctype.record_table.record
    arguments = ListQuery([*rules, record.status_id.in_(open_ids)], [record.id.desc()], most)
    return fetch_documents(doctype, arguments, ("name", "description", *names), viewer)


def _count_documents(
    doctype: DocType, rules: list[Any], status: Any, ended: tuple[str, ...], viewer: Viewer
) -> tuple[int, int, Any]:
    """(how many, how many still open, when one was last changed); one statement."""
    if not viewer.person.may(doctype.module, "read"):
        return 0, 0, None
    record = doctype.record_table.record
    ids = doctype.record_table.ids(ListQuery(rules, [], 1))
    open_ids = func.sum(case((status.meaning.not_in(ended), 1), else_=0))
    query = select(func.count(record.id), open_ids, func.max(record.changed_on)).join(
        status, status.id == record.status_id
    )
    total, open_count, last = db.session.execute(query.where(record.id.in_(ids))).one()
    return total, int(open_count or 0), last
