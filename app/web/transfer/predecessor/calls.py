"""Call logs, with their links, and matched to the customer and the record that they were about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.domain.base import RuleBroken, translatable
from app.domain.telephony.calls import STATUSES, timeline_payload
from app.lib import phone
from app.models import CallLog, Customer, Lead, Ticket
from app.web.transfer.predecessor import doctypes, values
from app.web.transfer.predecessor.import_context import ImportContext, RowDraft

_STATUSES = {each.lower(): each for each in STATUSES} | {
    "missed": "Missed Call",
    "did not pick": "Did Not Picked",
    "did not picked": "Did Not Picked",
    "cancelled": "Canceled",
    "noanswer": "No Answer",
}
_MEDIUMS = {"mobile": "mobile", "mobile app": "mobile", "twilio": "twilio", "exotel": "exotel"}


class Calls:
    """CRM Call Log."""

    def __init__(self, context: ImportContext, drafts: list[RowDraft]) -> None:
        self.context = context
        numbers = {number for each in drafts if (number := phone.normalize(other_number(each.row.values)))}
        query = select(Customer.mobile_e164, Customer.id).where(Customer.mobile_e164.in_(numbers))
        self.customers = {str(number): key for number, key in context.session.execute(query)} if numbers else {}
        self.records = self._records_of(sorted(self.customers.values()))
        self.there = self._there(drafts)

    def _records_of(self, ids: list[int]) -> dict[int, list[tuple[datetime, str, int]]]:
        """Customer -> (created, column, id) of their leads and tickets, newest first."""
        found: dict[int, list[tuple[datetime, str, int]]] = {}
        for model, column in ((Lead, "lead_id"), (Ticket, "ticket_id")):
            which: Any = model
            query = select(which.customer_id, which.created_on, which.id).where(which.customer_id.in_(ids))
            for customer_id, created_on, key in self.context.session.execute(query) if ids else ():
                found.setdefault(customer_id, []).append((created_on, column, key))
        return {key: sorted(records, reverse=True) for key, records in found.items()}

    def _there(self, drafts: list[RowDraft]) -> dict[tuple[int | None, str], int]:
        """(employee, the phone's id) -> a call that a phone has already synced here."""
        names = {name for each in drafts if (name := device_id(each.row.values))}
        query = select(CallLog.employee_id, CallLog.device_call_id, CallLog.id)
        rows = self.context.session.execute(query.where(CallLog.device_call_id.in_(names))) if names else ()
        return {(employee, str(name)): key for employee, name, key in rows}

    def draft(self, draft: RowDraft) -> None:
        """Convert the call. Raises RuleBroken without a time."""
        given, move = draft.row.values, self.context
        began = values.moment(given.get("start_time") or given.get("creation"), move.zone)
        if began is None:
            raise RuleBroken("It says neither when the call began nor when it was noted.")
        call = CallLog(started_on=began, native={}, linked=False, duration_seconds=0)
        move.person(draft, call, "employee_id", given.get("employee") or given.get("owner"))
        name = device_id(given)
        if name and (call.employee_id, name) in self.there:
            draft.people.clear()
            draft.there = self.there[call.employee_id, name]
            draft.warn(translatable("A phone has already sent this call."))
            return
        draft.record = call
        self.there[call.employee_id, name] = 0
        call.device_call_id = name or None
        self._facts(draft, call)
        move.stamp(draft, call, began)
        self._links(draft, call)
        draft.after.append(lambda made: self._add_timeline_entry(draft, made))

    def _facts(self, draft: RowDraft, call: CallLog) -> None:
        given = draft.row.values
        direction = values.line_of(given.get("type")).capitalize()
        call.direction = direction if direction in ("Incoming", "Outgoing") else "Unknown"
        status = values.line_of(given.get("status"))
        call.status = _STATUSES.get(status.lower(), "")
        if not call.status:
            draft.warn(translatable("The status “%(value)s” isn't known; it became Completed.", value=status[:40]))
            call.status = "Completed"
        call.from_number = values.line_of(given.get("from"))[:40] or None
        call.to_number = values.line_of(given.get("to"))[:40] or None
        call.other_e164 = phone.normalize(other_number(given))
        call.duration_seconds = values.seconds(given.get("duration"))
        call.ended_on = self.context.moment(draft, "end_time")
        call.cold = values.is_yes(given.get("is_cold_call"))
        medium = values.line_of(given.get("method")) or values.line_of(given.get("telephony_medium"))
        call.medium = _MEDIUMS.get(medium.lower(), "manual")
        native = {"type": "native_call_type", "status": "native_call_status", "duration": "native_duration"}
        kept = {name: values.line_of(given.get(theirs))[:200] for name, theirs in native.items()}
        kept |= {"recording_url": values.line_of(given.get("recording_url"))[:500]}
        call.native = {name: text for name, text in kept.items() if text}

    def _links(self, draft: RowDraft, call: CallLog) -> None:
        """The record that a person linked it to, or the predecessor suggested, else the one found by its number."""
        given, move = draft.row.values, self.context
        named = [(given.get("reference_doctype"), given.get("reference_docname"))]
        named += [
            (each.get("link_doctype"), each.get("link_name"))
            for each in values.listed(given.get("links"))
            if isinstance(each, dict)
        ]
        for place, (doctype, name) in enumerate(named):
            kind = doctypes.doctype_of(values.line_of(doctype)) if doctype else ""
            column = doctypes.COLUMNS.get(doctypes.RECORDS.get(kind, ""), "")
            key = move.find(kind, name) if column in ("lead_id", "ticket_id", "customer_id") else None
            if key and getattr(call, column) is None:
                setattr(call, column, key)
                call.linked = call.linked or (place == 0 and column != "customer_id")
        customer = self.customers.get(call.other_e164 or "")
        call.customer_id = call.customer_id or customer
        if call.lead_id is None and call.ticket_id is None and customer:
            before = (each for each in self.records.get(customer, ()) if each[0] <= call.started_on)
            if (latest := next(before, None)) is not None:
                setattr(call, latest[1], latest[2])

    def _add_timeline_entry(self, draft: RowDraft, call: CallLog) -> None:
        if call.lead_id or call.ticket_id or call.customer_id:
            line = self.context.line(draft, "call", call.started_on, None, **timeline_payload(call, call.id))
            line.actor_id = call.employee_id
            line.lead_id, line.ticket_id, line.customer_id = call.lead_id, call.ticket_id, call.customer_id


def other_number(given: dict[str, Any]) -> str:
    """The number of the other party."""
    side = "from" if values.line_of(given.get("type")).lower() == "incoming" else "to"
    return values.line_of(given.get("customer")) or values.line_of(given.get(side))


def device_id(given: dict[str, Any]) -> str:
    """The phone's own id of the call."""
    return values.line_of(given.get("device_call_id"))[:120]
