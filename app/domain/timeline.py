"""The timeline: one Activity row per event of a record, and one StatusChange row per change of status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    delete,
    not_,
    type_coerce,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import custom_values, searchable_notes
from app.domain.base import RECORD_COLUMNS, Conflict, RuleBroken, Stamp, UtcDateTime
from app.domain.persistence import bulk_statements, history_rows
from app.domain.persistence.transaction_state import transaction_state

KINDS = (
    "note",
    "comment",
    "status_change",
    "assignment",
    "call",
    "message",
    "task",
    "field_change",
    "file",
    "system",
    "proposal",
    "complaint",
)
#: Characters of a note.
MAX_NOTE_LENGTH = 20_000
#: A note keeps all its earlier texts, so the number of edits is limited.
MAX_EDITS = 20
_BIG = BigInteger().with_variant(Integer, "sqlite")


class Activity(Model):  # type: ignore[misc]
    """One entry of the timeline. It appears on the record it belongs to and on that record's customer."""

    __tablename__ = "activity"
    __table_args__ = (
        Index("ix_activity_lead", "lead_id", "id"),
        Index("ix_activity_ticket", "ticket_id", "id"),
        Index("ix_activity_customer", "customer_id", "id"),
        Index("ix_activity_task", "task_id", "id"),
        Index("ix_activity_actor", "actor_id", "id"),
        Index("ix_activity_record", "record_kind", "record_id", "id"),
    )
    id: Mapped[int] = mapped_column(_BIG, primary_key=True)
    #: One of KINDS.
    kind: Mapped[str] = mapped_column(String(20), nullable=False)
    #: UTC.
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: Who did it; null = the system.
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"))
    task_id: Mapped[int | None] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    #: Table and id of a record without a column of its own here.
    record_kind: Mapped[str | None] = mapped_column(String(64))
    record_id: Mapped[int | None] = mapped_column(Integer)
    #: When the text of a note was last changed, UTC; earlier texts are in the payload.
    edited_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Data of the kind: text, from/to, changes [[field, old, new]] and so on. Never a PAN or Aadhaar number.
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)


class StatusChange(Model):  # type: ignore[misc]
    """A change of a lead's or ticket's status."""

    __tablename__ = "status_change"
    __table_args__ = (
        Index("ix_status_change_lead", "lead_id", "id"),
        Index("ix_status_change_ticket", "ticket_id", "id"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    #: Status ids of the record's own picklist; `from_id` is null for the creation.
    from_id: Mapped[int | None] = mapped_column(Integer)
    to_id: Mapped[int] = mapped_column(Integer, nullable=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: Seconds spent in the old status; null at creation.
    seconds: Mapped[int | None] = mapped_column(Integer)


@dataclass(frozen=True)
class TimelineLine:
    """An entry for `write_many`."""

    #: The lead, ticket, customer, task or call.
    record: Any
    #: One of KINDS.
    kind: str
    payload: dict[str, Any]


def write(session: Session, record: Any, kind: str, stamp: Stamp, **payload: Any) -> None:
    """Add an entry to the timeline of a lead, ticket, customer, task or call.

    Raises ValueError for an unknown kind.
    """
    if kind in searchable_notes.NOTES:
        write_line(session, record, kind, stamp, **payload)  # as an object, of which the text is copied
    else:
        history_rows.add(session, Activity, _line(session, TimelineLine(record, kind, payload), stamp))


def write_line(session: Session, record: Any, kind: str, stamp: Stamp, **payload: Any) -> Activity:
    """Like `write`, but returns the entry: it is in the session, not yet flushed."""
    line = Activity(**_line(session, TimelineLine(record, kind, payload), stamp))
    session.add(line)
    return line


def _line(session: Session, line: TimelineLine, stamp: Stamp) -> dict[str, Any]:
    """The columns of a new entry; open pages that show its timelines update after the commit."""
    if line.kind not in KINDS:
        raise ValueError(f"unknown kind of activity: {line.kind}")
    ids = _timelines_of(line.record)
    mark_changed(session, ids.get("lead_id"), ids.get("ticket_id"), ids.get("customer_id"), ids.get("task_id"))
    return {"kind": line.kind, "at": stamp.now, "actor_id": stamp.by, "payload": line.payload} | ids


def write_many(session: Session, lines: Iterable[TimelineLine], stamp: Stamp) -> None:
    """Add many entries in one statement. Raises ValueError for an unknown kind, and for notes."""
    rows = []
    for line in lines:
        if line.kind not in KINDS or line.kind in searchable_notes.NOTES:
            raise ValueError(f"unknown kind of activity: {line.kind}")
        ids = dict.fromkeys((*RECORD_COLUMNS.values(), "record_kind", "record_id")) | _timelines_of(line.record)
        rows.append({"kind": line.kind, "at": stamp.now, "actor_id": stamp.by, "payload": line.payload} | ids)
        mark_changed(session, ids["lead_id"], ids["ticket_id"], ids["customer_id"], ids["task_id"])
    bulk_statements.insert_rows(session, Activity, rows)


def forget(session: Session, record: Any) -> None:
    """Delete the timeline of a record that has no column of its own in Activity."""
    lines = delete(Activity).where(Activity.record_kind == record.__tablename__, Activity.record_id == record.id)
    session.execute(lines, execution_options={"synchronize_session": False})


def edit_note(session: Session, line: Activity, seen: datetime | None, now: datetime, **payload: Any) -> None:
    """Replace the payload of a note; the previous text joins its history [{at, text}].

    `seen`: the `edited_on` that the author saw. Raises Conflict if the note has changed since, RuleBroken after
    MAX_EDITS, and for a note that was erased.
    """
    if "erased" in line.payload:
        raise RuleBroken("What this note said was erased. Please write a new one instead.", "text")
    old = dict(line.payload)
    history = [*old.pop("history", []), {"at": (line.edited_on or line.at).isoformat(), "text": old.get("text")}]
    if len(history) > MAX_EDITS:
        raise RuleBroken("This note has been edited too many times. Please write a new one instead.", "text")
    unchanged = Activity.edited_on.is_(None) if seen is None else Activity.edited_on == seen
    statement = update(Activity).where(Activity.id == line.id, unchanged, not_(is_erased()))
    new = old | payload | {"history": history}
    result = session.execute(
        statement.values(payload=new, edited_on=now), execution_options={"synchronize_session": False}
    )
    if line.edited_on != seen or result.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict("Someone else changed this note. Review the change, then save again.")
    session.expire(line)
    searchable_notes.copy(session, [(line.id, new)])
    mark_changed(session, line.lead_id, line.ticket_id, line.customer_id, line.task_id)


def is_erased() -> Any:
    """A condition: what the entry said was erased."""
    return type_coerce(Activity.payload, Text).like('%"erased": "DR-%')


def mark_changed(
    session: Session,
    lead_id: int | None,
    ticket_id: int | None = None,
    customer_id: int | None = None,
    task_id: int | None = None,
) -> None:
    """Mark timelines as changed; open pages that show them update after the commit."""
    ids = (("lead", lead_id), ("ticket", ticket_id), ("customer", customer_id), ("task", task_id))
    transaction_state(session).changed_timelines.update((kind, key) for kind, key in ids if key is not None)


def field_changes(record: Any, before: Mapping[str, Any]) -> list[list[Any]]:
    """The fields whose values differ from `before`, in the form of payloads: [[field, old, new]]."""
    plain = {name: old for name, old in before.items() if name != "custom"}
    pairs = [[name, as_json(old), as_json(getattr(record, name, None))] for name, old in plain.items()]
    found = [change for change in pairs if change[1] != change[2]]
    return [*found, *custom_values.changes(record, before["custom"])] if "custom" in before else found


def as_json(value: Any) -> Any:
    """The value in the form of payloads: dates and datetimes in ISO 8601, others unchanged."""
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def _timelines_of(record: Any) -> dict[str, Any]:
    """The columns that determine on which timelines an entry of this record appears.

    A record of an add-on has only its own timeline: people who see its lead need not see the record.
    """
    if not type(record).__module__.startswith("app."):
        return {"record_kind": record.__tablename__, "record_id": record.id}
    own = RECORD_COLUMNS.get(record.__tablename__)
    ids = {own: record.id} if own else {}
    for name in ("lead_id", "ticket_id", "customer_id"):
        if getattr(record, name, None) is not None:
            ids.setdefault(name, getattr(record, name))
    return ids or {"record_kind": record.__tablename__, "record_id": record.id}
