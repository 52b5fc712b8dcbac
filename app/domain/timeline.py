"""What happened, written when it happens: one Activity row a thing, one StatusChange a move."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, insert, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Conflict, RuleBroken, UtcDateTime
from app.domain.pending import pending

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
)
#: A note keeps all its former texts; who wants to change it more often writes a new one.
MAX_EDITS = 20
_PLACES = ("lead_id", "ticket_id", "customer_id", "task_id", "record_kind", "record_id")
_BIG = BigInteger().with_variant(Integer, "sqlite")


class Activity(Model):  # type: ignore[misc]
    """One line of the timeline. It stands on the record it belongs to and on that record's customer."""

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
    #: When the text of a note was changed, UTC; the texts before are in the payload.
    edited_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: What the kind needs: text, from/to, changes [[field, old, new]] … Never a PAN or Aadhaar.
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)


class StatusChange(Model):  # type: ignore[misc]
    """A move of a lead or ticket from one status to another."""

    __tablename__ = "status_change"
    __table_args__ = (
        Index("ix_status_change_lead", "lead_id", "id"),
        Index("ix_status_change_ticket", "ticket_id", "id"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    #: Status ids of the record's own master; null from = created.
    from_id: Mapped[int | None] = mapped_column(Integer)
    to_id: Mapped[int] = mapped_column(Integer, nullable=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: Seconds spent in the old status; null at creation.
    seconds: Mapped[int | None] = mapped_column(Integer)


def write(session: Session, about: Any, kind: str, by: int | None, now: datetime, **payload: Any) -> Activity:
    """Add one line to the timeline of a lead, ticket, customer, task or call.

    Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of activity: {kind}")
    line = Activity(kind=kind, at=now, actor_id=by, payload=payload, **_place(about))
    session.add(line)
    stir(session, line.lead_id, line.ticket_id, line.customer_id)
    return line


@dataclass(frozen=True)
class TimelineLine:
    """One line to be written."""

    #: The lead, ticket, customer, task or call.
    about: Any
    #: One of KINDS.
    kind: str
    payload: dict[str, Any]


def write_many(session: Session, lines: Iterable[TimelineLine], by: int | None, now: datetime) -> None:
    """Add many lines in one statement. Raises ValueError for an unknown kind."""
    rows = []
    for line in lines:
        if line.kind not in KINDS:
            raise ValueError(f"unknown kind of activity: {line.kind}")
        place = dict.fromkeys(_PLACES) | _place(line.about)
        rows.append({"kind": line.kind, "at": now, "actor_id": by, "payload": line.payload} | place)
        stir(session, place["lead_id"], place["ticket_id"], place["customer_id"])
    if rows:
        session.execute(insert(Activity.__table__), rows)


def edit_note(session: Session, line: Activity, seen: datetime | None, now: datetime, **payload: Any) -> None:
    """Give a note another text (and what hangs on it); the one before joins its history [{at, text}].

    `seen`: edited_on as its author saw it. Raises Conflict when it was changed since, RuleBroken after MOST_EDITS.
    """
    old = dict(line.payload)
    history = [*old.pop("history", []), {"at": (line.edited_on or line.at).isoformat(), "text": old.get("text")}]
    if len(history) > MAX_EDITS:
        raise RuleBroken("This note has been edited too many times. Please write a new one instead.", "text")
    unchanged = Activity.edited_on.is_(None) if seen is None else Activity.edited_on == seen
    step = update(Activity).where(Activity.id == line.id, unchanged)
    values = {"payload": old | payload | {"history": history}, "edited_on": now}
    done = session.execute(step.values(**values), execution_options={"synchronize_session": False})
    if line.edited_on != seen or done.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict("Someone else changed this note. Review the change, then save again.")
    session.expire(line)
    stir(session, line.lead_id, line.ticket_id, line.customer_id)


def stir(session: Session, lead_id: int | None, ticket_id: int | None = None, customer_id: int | None = None) -> None:
    """Note on whose pages something happened; who looks at them hears of it after the commit."""
    places = (("lead", lead_id), ("ticket", ticket_id), ("customer", customer_id))
    pending(session).changed_timelines.update((kind, key) for kind, key in places if key is not None)


def _place(about: Any) -> dict[str, Any]:
    """Which timelines the line stands on: columns of Activity → ids."""
    table = about.__tablename__
    own = {"leads": "lead_id", "ticket": "ticket_id", "customer": "customer_id", "task": "task_id"}
    place = {own[table]: about.id} if table in own else {}
    for other in ("lead_id", "ticket_id", "customer_id"):
        if getattr(about, other, None) is not None:
            place.setdefault(other, getattr(about, other))
    return place or {"record_kind": table, "record_id": about.id}
