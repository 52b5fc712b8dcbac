"""Requests of people about their personal data: what they ask, until when it has to be answered, and the answer.

The days are a setting: the DPDP Rules 2025 (rule 14) let an organisation publish its own period of at most 90 days.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Date, ForeignKey, Index, String, Text, inspect, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import business_settings
from app.domain.audit_log import audit
from app.domain.base import Record, RuleBroken, Stamp, UtcDateTime, Versioned
from app.domain.customers import Customer
from app.domain.erasure.erasures import DataErasure
from app.domain.leads import Lead
from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent
from app.domain.people import permission_holders
from app.domain.people.users import active_admins

MODULE = "Data Requests"
KINDS = ("access", "correction", "erasure", "grievance", "nomination")
#: open; answered: done as asked, or in part; refused: with a reason; withdrawn by the person.
STATES = ("open", "answered", "refused", "withdrawn")
#: States that say what became of the request, and need an answer and its day.
ANSWERED = ("answered", "refused")
#: Kinds that hand out or change data, so that the person's identity has to be checked before.
NEED_IDENTITY = ("access", "correction", "erasure", "nomination")
#: Column -> field: what says whom a request is about, and what is done for it. The identity was checked for this.
SUBJECT = {"customer_id": "customer", "lead_id": "lead", "kind": "kind"}
#: What hangs on the check of the identity: the check itself and the answer.
_CHECK = ("identity_how", "identity_checked_on", "identity_checked_by_id")
_ANSWER = ("state", "answered_on", "answer", "proof")


class DataRequest(Record, Versioned):
    """One request of one person."""

    __tablename__ = "data_request"
    __table_args__ = (Index("ix_data_request_due", "state", "due_on"),)
    #: The person's name: the customer's, or as typed.
    person: Mapped[str] = mapped_column(String(200), nullable=False, default="")
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="SET NULL"), index=True)
    #: Whom it is about, if they are no customer.
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"), index=True)
    #: How the person can be reached; as they gave it.
    contact: Mapped[str | None] = mapped_column(String(254))
    #: One of KINDS.
    kind: Mapped[str] = mapped_column(String(16), nullable=False)
    #: What they ask, in words.
    details: Mapped[str | None] = mapped_column(Text)
    #: The days on which it was received, and by which it has to be answered. `complete` sets them; that there is a
    #: default tells forms that people needn't.
    received_on: Mapped[date] = mapped_column(Date, nullable=False, default=date.min)
    due_on: Mapped[date] = mapped_column(Date, nullable=False, default=date.min)
    #: One of STATES.
    state: Mapped[str] = mapped_column(String(16), nullable=False, default="open")
    #: How, when and by whom it was checked that the person is who they say.
    identity_how: Mapped[str | None] = mapped_column(String(200))
    identity_checked_on: Mapped[date | None] = mapped_column(Date)
    identity_checked_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    answered_on: Mapped[date | None] = mapped_column(Date)
    answer: Mapped[str | None] = mapped_column(Text)
    #: Where the proof of the answer is: a file, a message, a letter.
    proof: Mapped[str | None] = mapped_column(String(190))
    #: The copy of the person's data that was last made for the request, and when it was downloaded, UTC.
    copy_id: Mapped[int | None] = mapped_column(ForeignKey("export_run.id", ondelete="SET NULL"), index=True)
    copy_taken_on: Mapped[datetime | None] = mapped_column(UtcDateTime)

    def __str__(self) -> str:
        return self.person


def number_of(key: int) -> str:
    """The number of a request, by which people and notices name it; `key`: its id."""
    return f"DR-{key}"


def id_of_number(number: str) -> int | None:
    """The id of the request that people call so, such as DR-12; None if it is no such number."""
    digits = number.upper().removeprefix("DR-")
    is_number = digits.isascii() and digits.isdigit() and len(digits) < 10
    return int(digits) if is_number and number_of(int(digits)) == number.upper() else None


def complete(session: Session, row: DataRequest, stamp: Stamp, today: date) -> None:
    """Fill in what follows from the rest, before the row is stored. Raises RuleBroken.

    The name comes from the customer, the last day from the setting, the day of the answer and who has checked the
    identity from whoever says so. `today`: in the person's zone. If another customer, lead or kind is chosen, what
    hangs on the check of the identity is cleared, unless it was entered anew.
    """
    _turn(session, row)
    if not (row.person or "").strip():
        row.person = _name_of_record(session, row.customer_id, row.lead_id)
    if not (row.person or "").strip():
        raise RuleBroken("Please choose the customer, or enter the person's name.", "person")
    _complete_days(session, row, today)
    _complete_identity(row, stamp, today)
    _complete_answer(row, today)
    _refuse_days(row, today)


def _turn(session: Session, row: DataRequest) -> None:
    """Clear what was checked and answered for another person or purpose. Raises RuleBroken once data is erased."""
    turned = [name for name in SUBJECT if inspect(row).persistent and _is_changed(row, name)]
    if not turned:
        return
    begun = select(DataErasure.id).where(DataErasure.request_id == row.id)
    if session.scalars(begun).first() is not None:
        text = "Data is being erased for this request, so its customer, lead and kind can't be changed any more."
        raise RuleBroken(text, SUBJECT[turned[0]])
    if not _is_changed(row, "person") and row.person == _name_before(session, row):
        row.person = ""
    answer = _ANSWER if row.state == "answered" else ()
    for name in (*_CHECK, *answer):
        if not _is_changed(row, name):
            setattr(row, name, "open" if name == "state" else None)


def _is_changed(row: DataRequest, name: str) -> bool:
    return bool(inspect(row).attrs[name].history.has_changes())


def _name_before(session: Session, row: DataRequest) -> str:
    """The name of the customer or lead that the request was about."""
    before = {name: next(iter(inspect(row).attrs[name].history.non_added()), None) for name in SUBJECT}
    return _name_of_record(session, before["customer_id"], before["lead_id"])


def _complete_days(session: Session, row: DataRequest, today: date) -> None:
    received: date | None = row.received_on
    due: date | None = row.due_on
    row.received_on = today if received is None else received
    if row.received_on > today:
        raise RuleBroken("Please enter the day on which it was received; it can't be in the future.", "received_on")
    if due is None:
        due = row.received_on + timedelta(days=int(business_settings.value_of(session, "data_request_days")))
    row.due_on = due
    if row.due_on < row.received_on:
        raise RuleBroken("The last day can't be before the day on which it was received.", "due_on")


def _name_of_record(session: Session, customer_id: int | None, lead_id: int | None) -> str:
    """The name of the customer, or of the lead; an empty text if none is chosen."""
    found: Any = session.get(Customer, customer_id) if customer_id is not None else None
    if found is None and lead_id is not None:
        found = session.get(Lead, lead_id)
    return name_of(found) if found is not None else ""


def name_of(found: Any) -> str:
    """The name of a customer or lead; its number if it has none."""
    return " ".join(part for part in (found.first_name, found.last_name) if part) or str(found.number)


def _refuse_days(row: DataRequest, today: date) -> None:
    for name in ("identity_checked_on", "answered_on"):
        day = getattr(row, name)
        if day is not None and not row.received_on <= day <= today:
            raise RuleBroken("This day has to be between the one on which it was received and today.", name)


def _complete_identity(row: DataRequest, stamp: Stamp, today: date) -> None:
    how = (row.identity_how or "").strip()
    if row.identity_checked_on is not None and not how:
        raise RuleBroken("Please say how the identity was checked.", "identity_how")
    if how:
        row.identity_checked_on = row.identity_checked_on or today
        row.identity_checked_by_id = row.identity_checked_by_id or stamp.by
    else:
        row.identity_checked_by_id = None


def _complete_answer(row: DataRequest, today: date) -> None:
    row.state = row.state or "open"
    if row.state not in ANSWERED:
        if row.answered_on is not None:
            raise RuleBroken("Please say what became of the request: answered or refused.", "state")
        return
    if not (row.answer or "").strip():
        raise RuleBroken("Please say what was answered, so that others can understand it years later.", "answer")
    if row.state == "answered" and row.kind in NEED_IDENTITY and row.identity_checked_on is None:
        raise RuleBroken("Please check the person's identity first, and say how.", "identity_how")
    row.answered_on = row.answered_on or today


# --- the copy of a person's data


def refuse_copy(row: DataRequest) -> None:
    """Raise RuleBroken unless a copy of the person's data can be made for this request."""
    if row.kind != "access":
        raise RuleBroken("Only a request for access is answered with a copy of the data.")
    if row.customer_id is None:
        raise RuleBroken("Please choose the customer first: the copy holds what is stored about them.")
    if row.identity_checked_on is None:
        raise RuleBroken("Please check the person's identity first, and say how.", "identity_how")


def note_copy(session: Session, row: DataRequest, copy_id: int, stamp: Stamp, reason: str = "") -> None:
    """Record that a copy is being made; it takes the place of an earlier one.

    `reason`: why it has masked values in full; of such a copy, everybody else who may make one is told.
    """
    _set_copy(session, row, {"copy_id": copy_id, "copy_taken_on": None})
    about = f"data request {row.id}"
    if not reason:
        audit.write(session, "data request", stamp.by, stamp.now, about, what="copy asked for")
        return
    audit.write(session, "data request", stamp.by, stamp.now, about, what="copy in full asked for", reason=reason)
    others = [*permission_holders.holders(session, MODULE, "write"), *active_admins(session)]
    told = tuple(dict.fromkeys(key for key in others if key != stamp.by))
    payload = {"what": "request", "stage": "full copy", "row": row.id, "name": number_of(row.id)}
    notices.notify(session, NoticeEvent("compliance", f"full copy:{copy_id}", told, payload, None, stamp.by), stamp.now)


def take_copy(session: Session, row: DataRequest, stamp: Stamp) -> bool:
    """Record that the copy is downloaded; False if it was already. Of two at once, one gets it."""
    step = update(DataRequest).where(
        DataRequest.id == row.id, DataRequest.copy_id == row.copy_id, DataRequest.copy_taken_on.is_(None)
    )
    done: Any = session.execute(step.values(copy_taken_on=stamp.now), execution_options={"synchronize_session": False})
    if done.rowcount:
        audit.write(session, "data request", stamp.by, stamp.now, f"data request {row.id}", what="copy downloaded")
    return bool(done.rowcount)


def _set_copy(session: Session, row: DataRequest, values: dict[str, Any]) -> None:
    """Without a new version: whoever edits the request meanwhile is not in the way."""
    step = update(DataRequest).where(DataRequest.id == row.id).values(values)
    session.execute(step, execution_options={"synchronize_session": False})
