"""After a call: its outcome, the record it belongs to, and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import customer_linking, follow_ups, leads, task_closing, tasks, tickets, timeline
from app.domain.base import RECORD_COLUMNS, RuleBroken, Stamp, translatable
from app.domain.change_context import ChangeContext
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.next_follow_up import PlannedTask
from app.domain.picklists import TicketSubject
from app.domain.tasks import Task
from app.domain.telephony import call_cards, calls
from app.domain.telephony.calls import CallLog, timeline_line, timeline_payload
from app.domain.tickets import Ticket
from app.lib import phone

#: Suggestions; users may enter any other text.
SUGGESTED_OUTCOMES = (
    "Interested",
    "Call back later",
    "Documents promised",
    "Not interested",
    "No answer",
    "Wrong number",
    "Question answered",
    "Complaint",
)
MAX_OUTCOME_LENGTH = 500


@dataclass(frozen=True)
class CallOutcome:
    """What the user enters after a call."""

    text: str
    #: For the timeline of the record that the call belongs to.
    note: str | None = None
    #: When the next task is due, UTC, and its title; None = no next task.
    follow_up_on: datetime | None = None
    title: str | None = None
    #: Whether it was a cold call; None = unchanged.
    cold: bool | None = None
    #: Whether the customer placed an order in it; None = unchanged.
    is_order: bool | None = None
    #: With a next task: ids of tasks of the same lead or ticket to mark as done. None = those of the author and of the
    #: call's employee that are due by `due_until`, UTC, the end of their day; none without `due_until`.
    close_tasks: Sequence[int] | None = None
    due_until: datetime | None = None


def save_outcome(session: Session, call: CallLog, outcome: CallOutcome, context: ChangeContext) -> Any:
    """Save the outcome, a note on the record and the next task. Returns the task or None.

    Raises RuleBroken without an outcome, and for a follow-up in the past or without a lead or ticket.
    """
    text = outcome.text.strip()
    if not text or len(text) > MAX_OUTCOME_LENGTH:
        raise RuleBroken(
            translatable(
                "Please enter the outcome of the call, in at most %(most)s characters.", most=MAX_OUTCOME_LENGTH
            ),
            "outcome",
        )
    if outcome.follow_up_on is not None:
        follow_ups.refuse_past(outcome.follow_up_on, context.now, "follow_up_on")
    if outcome.follow_up_on is not None and not (call.lead_id or call.ticket_id):
        raise RuleBroken("A follow-up needs a lead or a ticket. Link the call to one first.", "follow_up_on")
    call.outcome = text
    call.cold = call.cold if outcome.cold is None else outcome.cold
    _mark_order(session, call, outcome, context)
    call.stamp(context)
    call_cards.close(session, call.id, context.now)
    replaced = _replaced(session, call, outcome, context)
    if call.lead_id and outcome.follow_up_on is not None:  # before the note and the tasks share a lock of the lead
        due_times = [each.due_on for each in replaced if each.due_on is not None]
        follow_ups.set_follow_up(session, call.lead_id, PlannedTask(outcome.follow_up_on, context.now, due_times))
    _write_note(session, call, outcome.note, context)
    if outcome.follow_up_on is None:
        return None
    task_closing.close(session, replaced, context)
    return _create_follow_up(session, call, outcome, context)


def _mark_order(session: Session, call: CallLog, outcome: CallOutcome, stamp: Stamp) -> None:
    marked = call.is_order
    call.is_order = marked if outcome.is_order is None else outcome.is_order
    calls.note_unmarked(session, call, marked, stamp)


def replaced_tasks(session: Session, call: CallLog, by: int | None, due_until: datetime) -> list[Task]:
    """The tasks that a follow-up after this call replaces, unless others are chosen."""
    if not (call.lead_id or call.ticket_id):
        return []
    return task_closing.replaced_by_follow_up(session, call, (by, call.employee_id), due_until)


def _replaced(session: Session, call: CallLog, outcome: CallOutcome, context: ChangeContext) -> list[Task]:
    """The tasks that the follow-up replaces; none without a follow-up."""
    if outcome.follow_up_on is None:
        return []
    ids = outcome.close_tasks
    if ids is None and outcome.due_until is not None:
        ids = [task.id for task in replaced_tasks(session, call, context.by, outcome.due_until)]
    record = session.get(Ticket, call.ticket_id) if call.ticket_id else session.get(Lead, call.lead_id)
    return [] if record is None else task_closing.chosen(session, record, ids or ())


def _write_note(session: Session, call: CallLog, note: str | None, stamp: Stamp) -> None:
    if note and note.strip():
        if not (call.lead_id or call.ticket_id or call.customer_id):
            raise RuleBroken("A note needs a lead, ticket or customer. Link the call to one first.", "note")
        timeline.write(session, call, "note", stamp, text=note.strip())


def _create_follow_up(session: Session, call: CallLog, outcome: CallOutcome, context: ChangeContext) -> Task:
    parent = {"ticket_id": call.ticket_id} if call.ticket_id else {"lead_id": call.lead_id}
    generated = f"{task_closing.FOLLOW_UP}{outcome.text}"[:200]
    title = (outcome.title or "").strip() or generated
    values = {
        "title": title,
        "is_generated": title == generated,
        "assignee_id": context.by,
        "due_on": outcome.follow_up_on,
        **parent,
    }
    return tasks.create(session, values, context)


# --- Linking


#: The columns that say what a call, or a timeline entry, belongs to.
_LINKS = ("lead_id", "ticket_id", "customer_id")


def link(session: Session, call: CallLog, record: Any, stamp: Stamp) -> None:
    """Link the call to this lead, ticket or customer only."""
    ids = {"customer_id": getattr(record, "customer_id", None), RECORD_COLUMNS[record.__tablename__]: record.id}
    _relink(session, call, dict.fromkeys(_LINKS) | ids, stamp)


def unlink(session: Session, call: CallLog, stamp: Stamp) -> None:
    """Unlink the call from everything."""
    _relink(session, call, dict.fromkeys(_LINKS), stamp)


def _relink(session: Session, call: CallLog, ids: dict[str, int | None], stamp: Stamp) -> None:
    """Move the call and its timeline entry together."""
    timeline.mark_changed(session, call.lead_id, call.ticket_id, call.customer_id)
    line = timeline_line(session, call)
    for name, key in ids.items():
        setattr(call, name, key)
    call.linked = True
    call.stamp(stamp)
    if line is None and any(ids.values()):
        made = Stamp(call.employee_id, call.started_on)
        line = timeline.write_line(session, call, "call", made, **timeline_payload(call, call.id))
    elif line is not None:
        for name, key in ids.items():
            setattr(line, name, key)
    timeline.mark_changed(session, call.lead_id, call.ticket_id, call.customer_id)


# --- Leads and tickets from a call


def create_lead(session: Session, call: CallLog, context: ChangeContext, task: Any = None) -> Lead:
    """Create a lead with the other party's number and link the call to it; `task` {} = no first task.

    Raises RuleBroken if the number is withheld, or the call has a lead already.
    """
    if call.other_e164 is None:
        raise RuleBroken("The number of this call is withheld, so no lead can be created from it.")
    _lock(session, call)
    if call.lead_id is not None:
        raise RuleBroken("This call is already linked to a lead.")
    values = {"mobile": phone.display(call.other_e164), "first_name": _name_of(call), "assignee_id": context.by}
    lead = leads.create(session, {name: value for name, value in values.items() if value} | {"task": task}, context)
    link(session, call, lead, context)
    return lead


def create_ticket(session: Session, call: CallLog, context: ChangeContext, task: Any = None) -> Ticket:
    """Create a ticket for the other party and link the call to it; its subject is the last one ("General query").

    An unknown number becomes a customer. Raises RuleBroken if the call has a ticket already.
    """
    _lock(session, call)
    if call.ticket_id is not None:
        raise RuleBroken("This call is already linked to a ticket.")
    query = select(TicketSubject.id).where(TicketSubject.is_active.is_(True)).order_by(TicketSubject.position.desc())
    subject = session.scalars(query.limit(1)).first()
    values = {
        "subject_ids": [subject],
        "source": "On Call",
        "customer_id": _seen_customer(session, call, context),
        "lead_id": call.lead_id,
        "assignee_id": context.by,
        "task": task,
    }
    if values["customer_id"] is None and call.lead_id is None and call.other_e164 is not None:
        caller = {"mobile": phone.display(call.other_e164), "first_name": _name_of(call)}
        values |= {name: value for name, value in caller.items() if value}
    ticket = tickets.create(session, values, context)
    link(session, call, ticket, context)
    return ticket


def _lock(session: Session, call: CallLog) -> None:
    """Read the call's links again and lock it: a second click waits here, and finds the record of the first one."""
    session.flush()
    session.refresh(call, ["customer_id", "lead_id", "ticket_id"], with_for_update=True)


def _seen_customer(session: Session, call: CallLog, context: ChangeContext) -> int | None:
    """The call's customer if the person sees them; matching the number alone gives no access."""
    customer = session.get(Customer, call.customer_id) if call.customer_id is not None else None
    return customer.id if customer is not None and customer_linking.can_see(session, customer, context) else None


def _name_of(call: CallLog) -> str | None:
    """The other party's name in the telephone's address book."""
    return str((call.native or {}).get("contact_name") or "").strip()[:80] or None
