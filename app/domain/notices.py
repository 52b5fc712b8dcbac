"""Notifications: one row per event and recipient, and what happened to it on each channel."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import JSON, ForeignKey, Index, Integer, String, UniqueConstraint, func, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Moment

#: Every kind there is; an unknown one is an error, never swallowed.
KINDS = (
    "assigned", "unassigned", "task_assigned", "task_taken", "task_due", "task_overdue", "exhausted", "mention",
    "comment", "request", "request_approved", "request_rejected", "request_expired", "sla_warning", "sla_breach",
    "missed_call", "status", "job_lag",
)  # fmt: skip


class Notification(Model):  # type: ignore[misc]
    """Something that one person must know."""

    __tablename__ = "notification"
    __table_args__ = (
        Index("ix_notification_unread", "user_id", "read_on", "id"),
        Index("ix_notification_user", "user_id", "id"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: Names the event and the recipient; the database refuses a second one.
    event_key: Mapped[str] = mapped_column(String(190), nullable=False, unique=True)
    kind: Mapped[str] = mapped_column(String(20), nullable=False)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    #: Who caused it; null = the system.
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id", ondelete="SET NULL"))
    at: Mapped[datetime] = mapped_column(Moment, nullable=False)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"))
    task_id: Mapped[int | None] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    #: What the sentence needs: number, title, minutes … Nothing that a mask could hide.
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)
    read_on: Mapped[datetime | None] = mapped_column(Moment)
    #: Hidden from the bell until then.
    snoozed_until: Mapped[datetime | None] = mapped_column(Moment)


class Delivery(Model):  # type: ignore[misc]
    """What happened to a notification on one channel."""

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("notification_id", "channel"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    notification_id: Mapped[int] = mapped_column(ForeignKey("notification.id", ondelete="CASCADE"), nullable=False)
    #: bell, socket, email, sms or whatsapp.
    channel: Mapped[str] = mapped_column(String(16), nullable=False)
    state: Mapped[str] = mapped_column(String(16), nullable=False)
    at: Mapped[datetime] = mapped_column(Moment, nullable=False)


def tell(session: Session, users: Iterable[int], kind: str, key: str, about: Any, by: int | None, now: datetime,
         **payload: Any) -> int:  # fmt: skip
    """Notify each user once of the event `key`; the actor himself is left out. Answers how many rows were new.

    `about`: the lead, ticket, customer or task it stands on. Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of notification: {kind}")
    rows = [
        {"event_key": f"{key}:{user}", "kind": kind, "user_id": user, "actor_id": by, "at": now, "payload": payload}
        | place_of(about)
        for user in dict.fromkeys(users)
        if user is not None and user != by
    ]
    fresh = [row for row in rows if session.execute(_insert_new(session, row)).rowcount == 1]  # type: ignore[attr-defined]
    session.info.setdefault("told", []).extend((row["user_id"], kind) for row in fresh)
    return len(fresh)


def _insert_new(session: Session, row: dict[str, Any]) -> Any:
    """INSERT that changes nothing when the event key stands already."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(Notification).values(row).on_conflict_do_nothing(index_elements=["event_key"])
    # IGNORE, because with found-rows counting ON DUPLICATE KEY UPDATE answers 1 for an old row too.
    return mysql.insert(Notification).values(row).prefix_with("IGNORE")


def place_of(about: Any) -> dict[str, int | None]:
    """The ids under which the bell groups and links an event."""
    place: dict[str, int | None] = {"lead_id": None, "ticket_id": None, "customer_id": None, "task_id": None}
    if about is None:
        return place
    own = {"leads": "lead_id", "ticket": "ticket_id", "customer": "customer_id", "task": "task_id"}
    if about.__tablename__ in own:
        place[own[about.__tablename__]] = about.id
    if about.__tablename__ == "task":
        place |= {"lead_id": about.lead_id, "ticket_id": about.ticket_id}
    return place


def unread(session: Session, user_id: int, now: datetime) -> int:
    """How many notifications the bell of this user counts."""
    mine = (Notification.user_id == user_id, Notification.read_on.is_(None))
    awake = (Notification.snoozed_until.is_(None)) | (Notification.snoozed_until <= now)
    return session.execute(select(func.count(Notification.id)).where(*mine, awake)).scalar() or 0


def mark_read(session: Session, user_id: int, now: datetime, ids: list[int] | None = None) -> int:
    """Mark one's own notifications read (all when ids is None); answers how many changed."""
    step = update(Notification).where(Notification.user_id == user_id, Notification.read_on.is_(None))
    if ids is not None:
        step = step.where(Notification.id.in_(ids))
    done = session.execute(step.values(read_on=now), execution_options={"synchronize_session": False})
    return int(done.rowcount)  # type: ignore[attr-defined]
