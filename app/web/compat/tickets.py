"""Methods for tickets: create, change the status, bulk changes, the history of a customer."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import case, func, select

from app.domain.base import RuleBroken
from app.domain.leads import TERMINAL
from app.domain.tickets import ENDED
from app.extensions import db
from app.models import LeadStatus, TicketStatus
from app.web.compat import bulk_actions, client
from app.web.compat.arguments import Arguments
from app.web.compat.call_links import link_to_record
from app.web.compat.customers import customer_conditions
from app.web.compat.doctypes import CALL_LOG, LEAD, TICKET, DocType
from app.web.compat.documents import fetch_documents
from app.web.compat.field_conversion import record_values
from app.web.compat.field_lists import describe_fields
from app.web.compat.html_text import html_to_text
from app.web.compat.leads import customer_fields
from app.web.compat.notes import write_note
from app.web.compat.responses import CompatError
from app.web.compat.statuses import find_status_id, first_status_id, status_picklist
from app.web.compat.timestamps import local_timestamp
from app.web.core.fab_access import current_viewer
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.records.close_tasks_field import chosen_tasks


def get_ticket(arguments: Arguments) -> dict[str, Any]:
    """name -> the ticket, its customer's fields, and fields_meta."""
    ticket = client.read_document(TICKET, arguments.text("name"))
    return ticket | customer_fields(ticket["customer_id"]) | {"fields_meta": describe_fields(TICKET, current_viewer())}


def create_ticket(arguments: Arguments) -> dict[str, Any]:
    """doc (with call_log, if the ticket starts from a call) -> the stored ticket."""
    doc = arguments.json_object("doc")
    call_name = doc.pop("call_log", None)
    stored = client.insert_document(doc | {"doctype": TICKET.name})
    if call_name:
        call = client.get_record(CALL_LOG, str(call_name), "write")
        link_to_record(call, client.get_record(TICKET, stored["name"], "read"))
    return stored


# --- changes


def update_status(arguments: Arguments) -> dict[str, Any]:
    """ticket, status, comment: the comment is the resolution if the status closes the ticket, else a note.

    close_tasks: ids of the tasks to close with it; without it, the "Handle ticket" task of a closed ticket.
    """
    viewer, name = current_viewer(), arguments.first_text("ticket", "ticket_name", "name")
    row = client.get_record(TICKET, name, "write")
    label, comment = arguments.text("status"), html_to_text(arguments.text("comment", ""))
    status_id = find_status_id(TICKET, label, viewer)
    closes = viewer.lookups.meanings["ticket_status"].get(status_id) in ENDED
    values = _resolution(comment, viewer) if closes else {}
    if "close_tasks" in arguments:
        values["close_tasks"] = chosen_tasks(arguments.json_value("close_tasks"))
    bulk_actions.update_record(TICKET, row, values | {"status_id": status_id}, viewer)
    if comment and not closes:
        write_note(row, comment, viewer)
    return {
        "success": True,
        "message": _("Status changed to %(status)s", status=label),
        "name": row.number,
        "status": label,
    }


def _resolution(text: str, viewer: Viewer) -> dict[str, Any]:
    """The parsed resolution; {} without a text, so that a stored one is kept."""
    return TICKET.record_table.parse({"resolution": text}, "edit", viewer) if text else {}


def bulk_update_tickets(arguments: Arguments) -> dict[str, Any]:
    """names, updates ({field: value}) -> the result of each."""
    updates, viewer = arguments.json_object("updates"), current_viewer()
    if not updates:
        raise CompatError(417, _("“%(name)s” must be an object.", name="updates"))
    values = TICKET.record_table.parse(record_values(TICKET, updates, {}), "edit", viewer)
    return _bulk_update(arguments, values, viewer)


def bulk_set_priority(arguments: Arguments) -> dict[str, Any]:
    """names, priority -> the result of each."""
    viewer = current_viewer()
    values = TICKET.record_table.parse({"priority": arguments.text("priority")}, "edit", viewer)
    return _bulk_update(arguments, values, viewer)


def bulk_close_tickets(arguments: Arguments) -> dict[str, Any]:
    """names, resolution -> the result of each."""
    viewer = current_viewer()
    status_id = first_status_id(TICKET, "closed", viewer)
    if status_id is None:
        raise RuleBroken(_("No ticket status has the meaning “closed”. An admin can add one."), "status")
    values = _resolution(html_to_text(arguments.text("resolution", "")), viewer)
    return _bulk_update(arguments, values | {"status_id": status_id}, viewer)


def _bulk_update(arguments: Arguments, values: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    names = arguments.record_names("names", "ticket_names", "tickets")
    return bulk_actions.apply_to_each(
        TICKET, names, "write", lambda row: bulk_actions.update_record(TICKET, row, dict(values), viewer)
    )


# --- history of a customer

_CLOSED_MEANINGS = {TICKET.name: ENDED, LEAD.name: TERMINAL}
_STATUS_RECORDS: dict[str, Any] = {TICKET.name: TicketStatus, LEAD.name: LeadStatus}


def customer_history(arguments: Arguments) -> dict[str, Any]:
    """mobile_no, email or customer_id -> {tickets, leads, summary}: the open ones, and counts of all."""
    limit = 20 if "customer_id" in arguments else 10
    conditions = customer_conditions(arguments)
    of_tickets, of_leads = conditions(TICKET), conditions(LEAD)
    tickets = _open_documents(TICKET, of_tickets, ("subject", "status", "priority", "creation"), limit)
    leads = _open_documents(LEAD, of_leads, ("lead_name", "status", "account_type", "creation"), limit)
    ticket_count, open_count, ticket_changed_on = _count_documents(TICKET, of_tickets)
    lead_count, _open_leads, lead_changed_on = _count_documents(LEAD, of_leads)
    last = max((each for each in (ticket_changed_on, lead_changed_on) if each is not None), default=None)
    summary = {
        "total_tickets": ticket_count,
        "open_tickets": open_count,
        "total_leads": lead_count,
        "last_interaction": local_timestamp(last, current_viewer()),
    }
    return {"tickets": tickets, "leads": leads, "summary": summary}


def _open_documents(
    doctype: DocType, conditions: list[Any], names: tuple[str, ...], limit: int
) -> list[dict[str, Any]]:
    viewer = current_viewer()
    if not viewer.person.may(doctype.module, "read"):
        return []
    closed, meanings = _CLOSED_MEANINGS[doctype.name], viewer.lookups.meanings[status_picklist(doctype)]
    open_ids = [key for key, meaning in meanings.items() if meaning not in closed]
    record = doctype.record_table.record
    list_query = ListQuery([*conditions, record.status_id.in_(open_ids)], [record.id.desc()], limit)
    return fetch_documents(doctype, list_query, ("name", "description", *names), viewer)


def _count_documents(doctype: DocType, conditions: list[Any]) -> tuple[int, int, Any]:
    """(how many, how many of them open, when the last one was changed); one statement."""
    if not current_viewer().person.may(doctype.module, "read"):
        return 0, 0, None
    record, status = doctype.record_table.record, _STATUS_RECORDS[doctype.name]
    is_open = case((status.meaning.not_in(_CLOSED_MEANINGS[doctype.name]), 1), else_=0)
    query = select(func.count(record.id), func.sum(is_open), func.max(record.changed_on))
    query = query.join(status, status.id == record.status_id)
    ids = doctype.record_table.ids(ListQuery(conditions, [], 1))
    total, open_count, changed_on = db.session.execute(query.where(record.id.in_(ids))).one()
    return total, int(open_count or 0), changed_on
