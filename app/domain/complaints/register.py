"""What may be written in the register of complaints: registration, changes, outcomes, reviews."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain import timeline
from app.domain.base import Conflict, RuleBroken, Stamp, translatable
from app.domain.complaints.clocks import ComplaintStamp, ComplaintTerms
from app.domain.complaints.complaint import (
    EXCHANGES,
    OUTCOMES,
    REVIEW_STAGES,
    SEGMENTS,
    SOURCES,
    WAYS,
    Complaint,
    ComplaintEntry,
)
from app.domain.notifications import notices
from app.domain.persistence.numbering import next_number
from app.domain.picklists import ComplaintCategory
from app.domain.tickets import ENDED, Ticket

#: Columns that people set directly.
FIELDS = (
    *("title", "source", "reference", "received_on", "cause_on", "category_id", "amount_in_dispute"),
    *("exchange", "segment", "officer_id", "is_impersonation", "acknowledged_on"),
    *("report_facts", "report_findings", "report_actions", "report_amount", "report_evidence"),
    *("report_officer_id", "report_filed_on", "outcome", "disposed_on"),
)
#: Review stage -> the columns of its day and its due day, and its clock.
STAGES = {
    "First review": ("first_review_on", "first_review_due_on", "first_review"),
    "Second review": ("second_review_on", "second_review_due_on", "second_review"),
    "Online dispute resolution": ("dispute_on", "dispute_due_on", "dispute"),
}
_CHOICES = {
    "source": SOURCES,
    "outcome": (None, *OUTCOMES),
    "exchange": (None, *EXCHANGES),
    "segment": (None, *SEGMENTS),
    "review_stage": REVIEW_STAGES,
}
#: Characters of a reference.
MAX_REFERENCE = 60
#: Days that lie between the receipt and today.
_PAST_DAYS = ("acknowledged_on", "report_filed_on", "disposed_on")


def register(session: Session, ticket: Ticket, values: dict[str, Any], stamp: ComplaintStamp) -> Complaint:
    """Register a ticket as a complaint. Raises RuleBroken, Conflict if it is one already.

    `values`: any of FIELDS, `way` and `remark` of its entry. The database refuses a reference that its source has
    given already.
    """
    if ticket.complaint_state is not None:
        raise Conflict("This ticket is already in the register of complaints.", "ticket")
    terms = stamp.terms
    defaults = {"title": ticket.title[:200], "received_on": terms.today, "officer_id": ticket.assignee_id}
    row = Complaint(version=1, source="Investor", review_stage="None", is_impersonation=False)
    row.ticket_id = ticket.id
    _set_fields(row, defaults | {name: given for name, given in values.items() if given is not None})
    _check(session, row, terms)
    _start_clocks(row, row.received_on, terms)
    _settle_outcome(row, terms)
    row.number = next_number(session, "COMPLAINT", terms.today.year)
    row.stamp(stamp)
    ticket.complaint_state = "disposed" if row.outcome else "pending"
    ticket.stamp(stamp)
    session.add(row)
    session.flush()
    session.add(_own_entry(row, values, stamp))
    timeline.write(session, row, "complaint", stamp, what="registered", number=row.number)
    _notify_officer(session, row, stamp)
    session.flush()
    return row


def change(session: Session, row: Complaint, values: dict[str, Any], stamp: ComplaintStamp) -> list[list[Any]]:
    """Change any of FIELDS, and `review_stage` with `review_on`. Returns the changes. Raises RuleBroken."""
    if row.joined_to_id is not None:
        raise RuleBroken("This complaint was joined to another one. Change that one, or part them first.")
    names = [*FIELDS, "review_stage", *(name for columns in STAGES.values() for name in columns[:2])]
    before = {name: getattr(row, name) for name in names}
    _set_fields(row, values)
    _check(session, row, stamp.terms)
    _move_review(row, before["review_stage"], values, stamp.terms)
    if row.received_on != before["received_on"] or any(
        getattr(row, name) != before[name] for name in ("source", "reference")
    ):
        _change_entry(session, row, stamp)
    _settle_outcome(row, stamp.terms)
    if before["outcome"] and row.outcome is None:
        refuse_ended(session.get_one(Ticket, row.ticket_id))
    changes = timeline.field_changes(row, before)
    if changes:
        row.stamp(stamp)
        _note_changes(session, row, changes, stamp)
    return changes


def refuse_ended(ticket: Ticket) -> None:
    """Raise RuleBroken for a resolved ticket whose complaint would be pending: that it can't be resolved then holds."""
    if ticket.status.meaning in ENDED:
        raise RuleBroken(
            translatable(
                "%(number)s is resolved, and its complaint would be without an outcome. Reopen the ticket first.",
                number=ticket.number,
            ),
            "outcome",
        )


def _note_changes(session: Session, row: Complaint, changes: list[list[Any]], stamp: Stamp) -> None:
    """Write the changes on the timeline of its ticket, and tell a new officer."""
    old_values = {name: old for name, old, _new in changes}
    before = {name: old_values.get(name, getattr(row, name)) for name in ("outcome", "officer_id")}
    plain = [[name, _plain(old), _plain(new)] for name, old, new in changes if not name.startswith("report_f")]
    what = "disposed" if row.outcome and not before["outcome"] else "changed"
    if before["outcome"] and not row.outcome:
        what = "reopened"
    timeline.write(session, row, "complaint", stamp, what=what, number=row.number, outcome=row.outcome, changes=plain)
    if bool(before["outcome"]) != bool(row.outcome):
        ticket = session.get(Ticket, row.ticket_id)
        if ticket is not None:
            ticket.complaint_state = "disposed" if row.outcome else "pending"
            ticket.stamp(stamp)
    if row.officer_id != before["officer_id"]:
        _notify_officer(session, row, stamp)


def _plain(value: Any) -> Any:
    """A value for the timeline, which stores JSON; of long texts, their beginning."""
    shown = str(value) if isinstance(value, Decimal) else value
    return shown[:200] if isinstance(shown, str) else shown


def _set_fields(row: Complaint, values: dict[str, Any]) -> None:
    for name in FIELDS:
        if name in values:
            setattr(row, name, values[name])
    row.reference = clean_reference(row.reference)
    row.is_impersonation = bool(row.is_impersonation)


def clean_reference(text: str | None) -> str | None:
    """A reference as it is compared. Raises RuleBroken if it is too long in capitals, in which ß takes two letters."""
    reference = " ".join((text or "").split()).upper() or None
    if reference is not None and len(reference) > MAX_REFERENCE:
        wrong = translatable("Please say it in at most %(most)s characters.", most=MAX_REFERENCE)
        raise RuleBroken(wrong, "reference")
    return reference


# --- what is checked


def _check(session: Session, row: Complaint, terms: ComplaintTerms) -> None:
    """Raise RuleBroken with all that is wrong, by field."""
    errors = {name: [text] for name, text in _wrong(session, row, terms).items()}
    if errors:
        sentences = dict.fromkeys(text for texts in errors.values() for text in texts)
        raise RuleBroken(next(iter(sentences)), errors=errors)


def _wrong(session: Session, row: Complaint, terms: ComplaintTerms) -> dict[str, str]:
    found = _wrong_choices(row) | _wrong_days(row, terms) | _wrong_amounts(row)
    if not (row.title or "").strip():
        found["title"] = "Please write in one line what the investor complains of."
    if row.category_id is None or session.get(ComplaintCategory, row.category_id) is None:
        found["category"] = "Please choose what the complaint is about."
    if (row.outcome or row.report_filed_on) and not (row.report_actions or "").strip():
        found["report_actions"] = "An outcome needs the action taken report: please write what was done."
    return found


def _wrong_choices(row: Complaint) -> dict[str, str]:
    return {
        name: translatable("Please choose one of these: %(words)s.", words=", ".join(filter(None, options)))
        for name, options in _CHOICES.items()
        if getattr(row, name) not in options
    }


def _wrong_days(row: Complaint, terms: ComplaintTerms) -> dict[str, str]:
    if row.received_on is None:
        return {"received_on": "Please enter the day on which the complaint was received."}
    if row.received_on > terms.today:
        return {"received_on": "A complaint can't be received in the future. Please check the day."}
    found: dict[str, str] = {}
    if row.cause_on is not None and row.cause_on > row.received_on:
        found["cause_on"] = "The cause can't be later than the complaint. Please check the day."
    for name in _PAST_DAYS:
        day = getattr(row, name)
        if day is not None and not row.received_on <= day <= terms.today:
            found[name] = "Please enter a day from the receipt of the complaint until today."
    return found


def _wrong_amounts(row: Complaint) -> dict[str, str]:
    most = Decimal(10) ** 12
    wrong = "Please enter an amount in rupees from 0 to 999,999,999,999."
    amounts = {name: getattr(row, name) for name in ("amount_in_dispute", "report_amount")}
    # Rounded as they are stored.
    return {name: wrong for name, given in amounts.items() if given is not None and not 0 <= round(given, 2) < most}


# --- clocks, outcome, review


def _start_clocks(row: Complaint, received: date, terms: ComplaintTerms) -> None:
    row.acknowledge_due_on = terms.acknowledge_by(received)
    row.report_due_on = terms.after(received, "report")


def restart_clocks(session: Session, row: Complaint, terms: ComplaintTerms) -> None:
    """Count from the earliest receipt among the entries of the complaint, after they have changed."""
    query = select(func.min(ComplaintEntry.received_on)).where(ComplaintEntry.complaint_id == row.id)
    first = session.execute(query).scalar()
    _start_clocks(row, min(filter(None, (first, row.received_on))), terms)


def _settle_outcome(row: Complaint, terms: ComplaintTerms) -> None:
    """An outcome closes the clocks: the report counts as filed on that day, and the complaint as acknowledged."""
    if row.outcome is None:
        row.disposed_on = None
        return
    row.disposed_on = row.disposed_on or terms.today
    row.report_filed_on = row.report_filed_on or row.disposed_on
    row.acknowledged_on = row.acknowledged_on or row.report_filed_on


def _move_review(row: Complaint, before: str, values: dict[str, Any], terms: ComplaintTerms) -> None:
    """Enter the next stage of review with its day (`review_on`, today by default) and its due day."""
    stage = values.get("review_stage") or before
    day = values.get("review_on")
    if stage == before and day is None:
        return
    _refuse_stage(row, before, stage)
    if stage == "None":
        raise RuleBroken("Please choose the stage of the review that began on this day.", "review_stage")
    begun, due, clock = STAGES[stage]
    day = day or getattr(row, begun) or terms.today
    if row.report_filed_on is None or not row.report_filed_on <= day <= terms.today:
        raise RuleBroken("A review begins after the report was filed, and not in the future.", "review_on")
    row.review_stage = stage
    setattr(row, begun, day)
    setattr(row, due, terms.after(day, clock))


def _refuse_stage(row: Complaint, before: str, stage: str) -> None:
    if stage not in REVIEW_STAGES:
        raise RuleBroken(
            translatable("Please choose one of these: %(words)s.", words=", ".join(REVIEW_STAGES)), "review_stage"
        )
    if REVIEW_STAGES.index(stage) < REVIEW_STAGES.index(before):
        raise RuleBroken("A review only goes forward: it can't return to an earlier stage.", "review_stage")
    if stage == "Second review" and row.first_review_on is None:
        raise RuleBroken("A second review follows the first one. Please enter the first review before.", "review_stage")


# --- entries, notices


def _own_entry(row: Complaint, values: dict[str, Any], stamp: Stamp) -> ComplaintEntry:
    way = values.get("way") or ("Portal" if row.source in ("SEBI SCORES", "Stock exchange", "Depository") else "Other")
    if way not in WAYS:
        raise RuleBroken(translatable("Please choose one of these: %(words)s.", words=", ".join(WAYS)), "way")
    entry = ComplaintEntry(complaint_id=row.id, origin_id=row.id, way=way, remark=values.get("remark"))
    entry.source, entry.reference, entry.received_on = row.source, row.reference, row.received_on
    entry.stamp(stamp)
    return entry


def _change_entry(session: Session, row: Complaint, stamp: ComplaintStamp) -> None:
    """Write a changed source, reference or day of receipt into its own entry, and count anew."""
    entry = session.scalars(select(ComplaintEntry).where(ComplaintEntry.origin_id == row.id)).first()
    if entry is not None:
        entry.source, entry.reference, entry.received_on = row.source, row.reference, row.received_on
        entry.stamp(stamp)
        session.flush()
    restart_clocks(session, row, stamp.terms)


def _notify_officer(session: Session, row: Complaint, stamp: Stamp) -> None:
    """Tell the officer that they are responsible."""
    key = f"complaint_officer:{row.id}:{stamp.now.isoformat()}"
    payload = {"what": "officer", "number": row.number, "due": row.report_due_on.isoformat()}
    about = notices.record_ids_of(None) | {"ticket_id": row.ticket_id}
    event = notices.NoticeEvent("complaint", key, (row.officer_id,), payload, about, stamp.by)
    notices.notify(session, event, stamp.now)
