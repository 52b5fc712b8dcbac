"""Methods for call logs: read, link, mark as cold call, create a lead, add notes and tasks, find a contact."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app import access
from app.domain.base import RuleBroken
from app.domain.tasks import OPEN
from app.domain.telephony import call_outcomes
from app.domain.timeline import Activity
from app.extensions import db
from app.models import Customer, Lead, Task, Ticket
from app.web.compat import bulk_actions, client
from app.web.compat.arguments import Arguments
from app.web.compat.call_links import link_to_record
from app.web.compat.doctypes import CALL_LOG, CUSTOMER, LEAD, NOTE, TASK, TICKET
from app.web.compat.doctypes.note import join_note
from app.web.compat.documents import fetch_documents
from app.web.compat.filters import parse_filters
from app.web.compat.html_text import html_to_text
from app.web.compat.notes import write_note
from app.web.core.fab_access import current_viewer
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService

#: Notes of one call; likewise tasks.
MAX_ROWS = 20
_NAME_ARGUMENTS = ("call_log", "call_log_name", "call_sid", "call", "name")


def get_call(arguments: Arguments) -> dict[str, Any]:
    """name -> the call, _lead, _ticket, its notes, and the open tasks of its lead or ticket."""
    call, viewer = client.read_document(CALL_LOG, arguments.text("name")), current_viewer()
    parents = {
        name: call["reference_docname"] if call["reference_doctype"] == doctype else None
        for name, doctype in (("_lead", LEAD.name), ("_ticket", TICKET.name))
    }
    return call | parents | {"_notes": _notes(call, viewer), "_tasks": _tasks(call, viewer)}


def _notes(call: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    if call["reference_docname"] is None or not viewer.person.may("Notes", "read"):
        return []
    reference = {name: call[name] for name in ("reference_doctype", "reference_docname")}
    conditions = parse_filters(reference, NOTE, viewer)
    conditions.append(Activity.payload["call"].as_integer() == int(call["name"]))
    list_query = ListQuery(conditions, [Activity.id.desc()], MAX_ROWS)
    return fetch_documents(NOTE, list_query, ("name", *NOTE.fields), viewer)


def _tasks(call: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    if call["reference_docname"] is None or not viewer.person.may("Tasks", "read"):
        return []
    filters = {"reference_docname": call["reference_docname"], "status": ["in", list(OPEN)]}
    list_query = ListQuery(parse_filters(filters, TASK, viewer), [Task.id.desc()], MAX_ROWS)
    return fetch_documents(TASK, list_query, ("name", *TASK.fields), viewer)


def _requested_call(arguments: Arguments) -> Any:
    """The call that the arguments name, for a change. Raises NotFound, Denied."""
    return client.get_record(CALL_LOG, arguments.first_text(*_NAME_ARGUMENTS), "write")


# --- links


def link_call(arguments: Arguments) -> dict[str, Any]:
    """call_log, doctype, docname: links the call to this record only."""
    call = _requested_call(arguments)
    doctype = client.record_doctype(
        arguments.first_text("reference_doctype", "doctype", "link_doctype"), LEAD.name, TICKET.name, CUSTOMER.name
    )
    names = ["reference_docname", "reference_name", "docname", "link_name"]
    if "call_log" in arguments:  # otherwise the argument name is the call's
        names.append("name")
    link_to_record(call, client.get_record(doctype, arguments.first_text(*names), "read"))
    return {"success": True, "message": _("The call is linked."), "name": str(call.id)}


def unlink_call(arguments: Arguments) -> dict[str, Any]:
    """call_log: removes the link."""
    call, viewer = _requested_call(arguments), current_viewer()
    with access.as_system(db.session()):  # it writes to timelines that the person may not see
        call_outcomes.unlink(db.session(), call, viewer.stamp)
    return {"success": True, "message": _("The call is no longer linked."), "name": str(call.id)}


def set_cold_call(arguments: Arguments) -> dict[str, Any]:
    """call_log, is_cold_call (0 or 1) -> the stored value."""
    call, viewer = _requested_call(arguments), current_viewer()
    raw = next((arguments.raw(name) for name in ("is_cold_call", "cold_call", "value") if name in arguments), 1)
    bulk_actions.update_record(CALL_LOG, call, CALL_LOG.record_table.parse({"cold": raw}, "edit", viewer), viewer)
    return {"success": True, "message": _("Saved."), "name": str(call.id), "is_cold_call": int(call.cold)}


def create_lead(arguments: Arguments) -> str:
    """call_log (a name or a document) -> the number of the lead that is created from the call and linked to it."""
    viewer = current_viewer()
    name = _call_name(arguments.json_value("call_log", arguments.raw("name")))
    call = client.get_record(CALL_LOG, name, "write")
    viewer.person.refuse_unless("Leads", "create")
    context = viewer.change_context(
        vault=RecordService.vault(),
        sla_terms=viewer.lookups.terms,
        first_task_minutes=viewer.lookups.business["first_task_minutes"],
    )
    with access.as_system(db.session()):  # the number is matched against all customers
        lead = call_outcomes.create_lead(db.session(), call, context)
    return lead.number


def _call_name(call: Any) -> str:
    return Arguments({"call_log": call.get("name") if isinstance(call, dict) else call}).text("call_log")


# --- notes and tasks


def add_note(arguments: Arguments) -> dict[str, Any]:
    """call_sid, note (a text, or {title, content}) -> the note, on the record that the call belongs to."""
    call, viewer, note = _requested_call(arguments), current_viewer(), arguments.json_value("note")
    text = _note_text(note) if isinstance(note, dict) else html_to_text(arguments.text("note"))
    activity = write_note(_parent_record(call), text, viewer)
    activity.payload = {**activity.payload, "call": call.id}
    db.session.flush()
    return client.read_document(NOTE, str(activity.id))


def _note_text(note: dict[str, Any]) -> str:
    return join_note(html_to_text(str(note.get("title") or "")), html_to_text(str(note.get("content") or "")))


def add_task(arguments: Arguments) -> dict[str, Any]:
    """call_sid, task ({title, due_date, priority, …}) -> the task, on the record that the call belongs to."""
    call, task = _requested_call(arguments), arguments.json_object("task")
    parent = _parent_record(call)
    if isinstance(parent, Customer):
        raise RuleBroken(_("A task needs a lead or a ticket. Please link the call to one first."), "task")
    doctype = LEAD if isinstance(parent, Lead) else TICKET
    reference = {"reference_doctype": doctype.name, "reference_docname": parent.number}
    doc = {name: value for name, value in task.items() if name != "name"}
    return client.insert_document(doc | reference | {"doctype": TASK.name})


def _parent_record(call: Any) -> Any:
    """The ticket, lead or customer of a call. Raises RuleBroken if it has none that is visible to the person."""
    for record, key in ((Ticket, call.ticket_id), (Lead, call.lead_id), (Customer, call.customer_id)):
        row = access.get_visible(db.session(), record, key)
        if row is not None:
            return row
    raise RuleBroken(_("This call isn't linked to a record you can see. Please link it to a lead or ticket first."))


# --- contacts


def find_contact(arguments: Arguments) -> dict[str, Any]:
    """phone_number, in any format -> {mobile_no, full_name, customer, lead}; only the number if it is unknown."""
    viewer, number = current_viewer(), arguments.first_text("phone_number", "number", "mobile_no")
    result: dict[str, Any] = {"mobile_no": number, "full_name": None, "customer": None, "lead": None, "image": None}
    for doctype, key in ((CUSTOMER, "customer"), (LEAD, "lead")):
        if not viewer.person.may(doctype.module, "read"):
            continue
        conditions = parse_filters({"mobile_no": number}, doctype, viewer)
        list_query = ListQuery(conditions, [doctype.record_table.record.id.desc()], 1)
        name = "customer_name" if key == "customer" else "lead_name"
        for doc in fetch_documents(doctype, list_query, ("name", "mobile_no", name), viewer):
            result |= {key: doc["name"], "mobile_no": doc["mobile_no"], "full_name": result["full_name"] or doc[name]}
    return result
