"""The predecessor's methods for calls: with what belongs to them, linked, marked cold, noted, made a lead of."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app import access
from app.domain import call_outcomes
from app.domain.base import RuleBroken
from app.domain.timeline import Activity
from app.extensions import db
from app.models import Customer, Lead, Task, Ticket
from app.web.compat import bulk_actions, client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.documents import fetch_documents
from app.web.compat.field_conversion import html_to_text
from app.web.compat.leads import CUSTOMER, LEAD
from app.web.compat.list_query import parse_filters
from app.web.compat.references import join_note
from app.web.compat.tickets import CALL, write_note
from app.web.core.gate import current_viewer
from app.web.core.record_service import RecordService
from app.web.core.record_table import ListQuery

NOTE, TASK = DOCTYPES["FCRM Note"], DOCTYPES["CRM Task"]
#: Notes and tasks of one call.
MAX_ROWS = 20
_NAME_ARGUMENTS = ("call_log", "call_log_name", "call_sid", "call", "name")


def get_call(arguments: Arguments) -> dict[str, Any]:
    """name -> the call, _lead, _ticket, the notes written on it, and the open tasks of what it belongs to."""
    call, viewer = client.read_document(CALL, arguments.text("name")), current_viewer()
    key = int(call["name"])
    places = {
        name: call["reference_docname"] if call["reference_doctype"] == doctype else None
        for name, doctype in (("_lead", "CRM Lead"), ("_ticket", "CRM Ticket"))
    }
    about = (call["reference_doctype"], call["reference_docname"])
    return call | places | {"_notes": _notes(key, about, viewer), "_tasks": _tasks(about, viewer)}


def _notes(key: int, about: tuple[Any, Any], viewer: Any) -> list[dict[str, Any]]:
    if about[1] is None or not viewer.person.may("Notes", "read"):
        return []
    place = parse_filters({"reference_doctype": about[0], "reference_docname": about[1]}, NOTE, viewer)
    wanted = ListQuery([*place, Activity.payload["call"].as_integer() == key], [Activity.id.desc()], MAX_ROWS)
    return fetch_documents(NOTE, wanted, ("name", *NOTE.fields), viewer)


def _tasks(about: tuple[Any, Any], viewer: Any) -> list[dict[str, Any]]:
    if about[1] is None or not viewer.person.may("Tasks", "read"):
        return []
    fit = parse_filters(
        {"reference_docname": about[1], "status": ["in", ["Backlog", "Todo", "In Progress"]]}, TASK, viewer
    )
    return fetch_documents(TASK, ListQuery(fit, [Task.id.desc()], MAX_ROWS), ("name", *TASK.fields), viewer)


def _requested_call(arguments: Arguments) -> Any:
    """The call named, which this person may change."""
    return client.get_record(CALL, arguments.first_text(*_NAME_ARGUMENTS), "write")


# --- to what it belongs


def link_call(arguments: Arguments) -> dict[str, Any]:
    """call_log, doctype, docname: from now on it stands there, and only there."""
    call, viewer = _requested_call(arguments), current_viewer()
    doctype = client.record_doctype(
        arguments.first_text("reference_doctype", "doctype", "link_doctype"), "CRM Lead", "CRM Ticket", "CRM Customer"
    )
    names = (
        "reference_docname",
        "reference_name",
        "docname",
        "link_name",
        *(("name",) if "call_log" in arguments else ()),
    )
    row = client.get_record(doctype, arguments.first_text(*names), "read")
    with access.as_system(db.session()):  # its line stands in timelines that the person need not see
        call_outcomes.link(db.session(), call, row, viewer.person.id, viewer.now)
    return {"success": True, "message": _("The call is linked."), "name": str(call.id)}


def unlink_call(arguments: Arguments) -> dict[str, Any]:
    """call_log."""
    call, viewer = _requested_call(arguments), current_viewer()
    with access.as_system(db.session()):  # its line stands in timelines that the person need not see
        call_outcomes.unlink(db.session(), call, viewer.person.id, viewer.now)
    return {"success": True, "message": _("The call is no longer linked."), "name": str(call.id)}


def set_cold_call(arguments: Arguments) -> dict[str, Any]:
    """call_log, is_cold_call (0 or 1)."""
    call, viewer = _requested_call(arguments), current_viewer()
    raw = next((arguments.raw(name) for name in ("is_cold_call", "cold_call", "value") if name in arguments), 1)
    bulk_actions.update_record(CALL, call, CALL.record_table.parse({"cold": raw}, "edit", viewer), viewer)
    return {"success": True, "message": _("Saved."), "name": str(call.id), "is_cold_call": int(call.cold)}


def create_lead(arguments: Arguments) -> str:
    """call_log (its name, or the call itself) -> the number of the lead that was made of it, and linked."""
    viewer, given = current_viewer(), arguments.json_value("call_log", arguments.raw("name"))
    call = client.get_record(CALL, _call_name(given), "write")
    viewer.person.refuse_unless("Leads", "create")
    terms = {"terms": viewer.lookups.terms, "minutes": viewer.lookups.business["first_task_minutes"]}
    with access.as_system(db.session()):  # whose number it is, is asked of all customers
        lead = call_outcomes.create_lead(
            db.session(), call, viewer.person.id, viewer.now, RecordService.vault(), **terms
        )
    return lead.number


def _call_name(given: Any) -> str:
    return Arguments({"call_log": given.get("name") if isinstance(given, dict) else given}).text("call_log")


# --- written down after it


def add_note(arguments: Arguments) -> dict[str, Any]:
    """call_sid, note (a text, or {title, content}) -> the note, on what the call belongs to."""
    call, viewer, given = _requested_call(arguments), current_viewer(), arguments.json_value("note")
    text = _note_text(given) if isinstance(given, dict) else html_to_text(arguments.text("note"))
    line = write_note(_parent_record(call), text, viewer)
    line.payload = {**line.payload, "call": call.id}
    db.session.flush()
    return client.read_document(NOTE, str(line.id))


def _note_text(given: dict[str, Any]) -> str:
    return join_note(html_to_text(str(given.get("title") or "")), html_to_text(str(given.get("content") or "")))


def add_task(arguments: Arguments) -> dict[str, Any]:
    """call_sid, task ({title, due_date, priority, …}) -> the task, on what the call belongs to."""
    call, given = _requested_call(arguments), arguments.json_object("task")
    parent = _parent_record(call)
    if isinstance(parent, Customer):
        raise RuleBroken(_("A task needs a lead or a ticket. Please link the call to one first."), "task")
    doctype = "CRM Lead" if isinstance(parent, Lead) else "CRM Ticket"
    about = {"reference_doctype": doctype, "reference_docname": parent.number, "doctype": TASK.name}
    return client.insert_document({name: value for name, value in given.items() if name != "name"} | about)


def _parent_record(call: Any) -> Any:
    """The record a call belongs to, if the person sees it. Raises RuleBroken."""
    for record, key in ((Ticket, call.ticket_id), (Lead, call.lead_id), (Customer, call.customer_id)):
        row = access.get_visible(db.session(), record, key)
        if row is not None:
            return row
    raise RuleBroken(_("This call isn't linked to a record you can see. Please link it to a lead or ticket first."))


# --- whose number


def find_contact(arguments: Arguments) -> dict[str, Any]:
    """phone_number, in any spelling -> {mobile_no, full_name, customer, lead}; only the number for a stranger."""
    viewer, typed = current_viewer(), arguments.first_text("phone_number", "number", "mobile_no")
    result: dict[str, Any] = {"mobile_no": typed, "full_name": None, "customer": None, "lead": None, "image": None}
    for doctype, key in ((CUSTOMER, "customer"), (LEAD, "lead")):
        if not viewer.person.may(doctype.module, "read"):
            continue
        wanted = ListQuery(
            parse_filters({"mobile_no": typed}, doctype, viewer), [doctype.record_table.record.id.desc()], 1
        )
        name = "customer_name" if key == "customer" else "lead_name"
        for doc in fetch_documents(doctype, wanted, ("name", "mobile_no", name), viewer):
            result |= {key: doc["name"], "mobile_no": doc["mobile_no"], "full_name": result["full_name"] or doc[name]}
    return result


def integration_status(arguments: Arguments) -> dict[str, Any]:
    """No provider places calls yet."""
    return {"twilio_enabled": 0, "exotel_enabled": 0, "default_calling_medium": ""}
