"""After a call: what came of it, to whom it belongs, what is done next; one step, one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.domain import leads, tasks, tickets, timeline
from app.domain.base import RuleBroken, translatable
from app.domain.calls import CallLog
from app.domain.leads import Lead
from app.domain.settings import TicketSubject
from app.domain.tickets import Ticket
from app.domain.timeline import Activity
from app.lib import phone

#: What is offered; people may write something else.
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
    """What a person says of a call."""

    text: str
    #: For the timeline of what the call belongs to.
    note: str | None = None
    #: When to go on, UTC, and with what; null = nothing is planned.
    follow_up_on: datetime | None = None
    title: str | None = None
    #: Nobody knew the other side before; null = as it was.
    cold: bool | None = None


def save_outcome(
    session: Session, call: CallLog, outcome: CallOutcome, by: int, now: datetime, offsets: tuple[int, ...] = (60, 5)
) -> Any:
    """Write the outcome down, the note on the record, and the next task. Answers the task or None.

    Raises RuleBroken without an outcome, for a follow-up in the past, or one that belongs to no lead or ticket.
    """
    text = outcome.text.strip()
    if not text or len(text) > MAX_OUTCOME_LENGTH:
        raise RuleBroken(
            translatable(
                "Please enter the outcome of the call, in at most %(most)s characters.", most=MAX_OUTCOME_LENGTH
            ),
            "outcome",
        )
    if outcome.follow_up_on is not None and outcome.follow_up_on <= now:
        raise RuleBroken("The next follow-up is in the past. Please choose a later time.", "follow_up_on")
    if outcome.follow_up_on is not None and not (call.lead_id or call.ticket_id):
        raise RuleBroken("A follow-up needs a lead or a ticket. Link the call to one first.", "follow_up_on")
    call.outcome = text
    call.cold = call.cold if outcome.cold is None else outcome.cold
    call.stamp(by, now)
    _note(session, call, outcome.note, by, now)
    return _next(session, call, outcome, by, now, offsets) if outcome.follow_up_on is not None else None


def _note(session: Session, call: CallLog, note: str | None, by: int, now: datetime) -> None:
    if note and note.strip():
        if not (call.lead_id or call.ticket_id or call.customer_id):
            raise RuleBroken("A note needs a lead, ticket or customer. Link the call to one first.", "note")
        timeline.write(session, call, "note", by, now, text=note.strip())


def _next(
    session: Session, call: CallLog, outcome: CallOutcome, by: int, now: datetime, offsets: tuple[int, ...]
) -> Any:
    parent = {"ticket_id": call.ticket_id} if call.ticket_id else {"lead_id": call.lead_id}
    values = {
        "title": (outcome.title or "").strip() or f"Follow up: {outcome.text}"[:200],
        "assignee_id": by,
        "due_on": outcome.follow_up_on,
        **parent,
    }
    task = tasks.create(session, values, by, now, offsets)
    if call.lead_id:
        earlier = or_(
            Lead.next_follow_up_on.is_(None),
            Lead.next_follow_up_on <= now,
            Lead.next_follow_up_on > outcome.follow_up_on,
        )
        step = update(Lead).where(Lead.id == call.lead_id, earlier).values(next_follow_up_on=outcome.follow_up_on)
        session.execute(step, execution_options={"synchronize_session": False})
    return task


# --- to whom it belongs


def link(session: Session, call: CallLog, record: Any, by: int, now: datetime) -> None:
    """Say to which lead, ticket or customer the call belongs: from now on it stands there, and only there."""
    own = {"leads": "lead_id", "ticket": "ticket_id", "customer": "customer_id"}[record.__tablename__]
    place = {"lead_id": None, "ticket_id": None, "customer_id": getattr(record, "customer_id", None), own: record.id}
    _move(session, call, place, by, now)


def unlink(session: Session, call: CallLog, by: int, now: datetime) -> None:
    """Say that the call belongs to nobody."""
    _move(session, call, dict.fromkeys(("lead_id", "ticket_id", "customer_id")), by, now)


def _move(session: Session, call: CallLog, place: dict[str, int | None], by: int, now: datetime) -> None:
    """The call and its line in the timelines go together."""
    for page in ("lead_id", "ticket_id", "customer_id"):
        timeline.stir(session, **{"lead_id": None, page: getattr(call, page)})
    line = _line_of(session, call)
    for name, key in place.items():
        setattr(call, name, key)
    call.linked = True
    call.stamp(by, now)
    if line is None and any(place.values()):
        said = {"text": f"{call.direction} call, {call.status}", "call": call.id, "seconds": call.duration_seconds}
        line = timeline.write(session, call, "call", call.employee_id, call.started_on, **said)
    elif line is not None:
        for name, key in place.items():
            setattr(line, name, key)
    timeline.stir(session, place["lead_id"], place["ticket_id"], place["customer_id"])


def _line_of(session: Session, call: CallLog) -> Activity | None:
    """The line that tells of this call; found on the page where it stands, by the page's index."""
    pages = [
        getattr(Activity, name) == getattr(call, name)
        for name in ("lead_id", "ticket_id", "customer_id")
        if getattr(call, name) is not None
    ]
    if not pages:
        return None
    same = Activity.payload["call"].as_integer() == call.id
    return session.scalars(select(Activity).where(pages[0], Activity.kind == "call", same)).first()


# --- what begins with a call


def create_lead(
    session: Session, call: CallLog, by: int, now: datetime, vault: Any, task: Any = None, **terms: Any
) -> Lead:
    """A lead of the other side's number, linked; `task` {} = without a first task.

    Raises RuleBroken without a number, or when it has a lead already.
    """
    if call.other_e164 is None:
        raise RuleBroken("The number of this call is withheld, so no lead can be created from it.")
    if call.lead_id is not None:
        raise RuleBroken("This call is already linked to a lead.")
    values = {"mobile": phone.shown(call.other_e164), "first_name": _name_of(call), "assignee_id": by}
    lead = leads.create(session, {k: v for k, v in values.items() if v} | {"task": task}, by, now, vault, **terms)
    link(session, call, lead, by, now)
    return lead


def create_ticket(
    session: Session, call: CallLog, by: int, now: datetime, vault: Any = None, task: Any = None, **terms: Any
) -> Ticket:
    """A ticket of the caller's, linked, with the list's last subject ("General query"). Raises RuleBroken.

    A number that nobody has yet becomes a customer.
    """
    if call.ticket_id is not None:
        raise RuleBroken("This call is already linked to a ticket.")
    query = select(TicketSubject.id).where(TicketSubject.is_active.is_(True)).order_by(TicketSubject.position.desc())
    subject = session.scalars(query.limit(1)).first()
    values = {
        "subject_ids": [subject],
        "source": "On Call",
        "customer_id": call.customer_id,
        "lead_id": call.lead_id,
        "assignee_id": by,
        "task": task,
    }
    if call.customer_id is None and call.lead_id is None and call.other_e164 is not None:
        caller = {"mobile": phone.shown(call.other_e164), "first_name": _name_of(call)}
        values["customer_id"] = tickets.customer_for(session, caller, by, now, vault)
    ticket = tickets.create(session, values, by, now, **terms)
    link(session, call, ticket, by, now)
    return ticket


def _name_of(call: CallLog) -> str | None:
    """What the telephone's own address book calls the other side."""
    return str((call.native or {}).get("contact_name") or "").strip()[:80] or None
