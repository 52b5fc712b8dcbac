"""Notifications: one row per event and recipient, and what happened to it on each channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import JSON, ForeignKey, Index, Integer, String, UniqueConstraint, func, literal, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import RuleBroken, UtcDateTime, translatable
from app.domain.pending import pending
from app.domain.session_context import NoticeChoices, session_context

#: Every kind there is; an unknown one is an error, never swallowed.
KINDS = (
    "assigned",
    "unassigned",
    "task_assigned",
    "task_taken",
    "task_due",
    "task_overdue",
    "exhausted",
    "mention",
    "comment",
    "request",
    "request_approved",
    "request_rejected",
    "request_expired",
    "request_withdrawn",
    "sla_warning",
    "sla_breach",
    "sla_escalated",
    "missed_call",
    "status",
    "job_lag",
    "webhook",
)
#: Ways to tell somebody -> whether one who chose nothing wants them. The bell is the row itself; "screen" is the toast.
CHANNELS = {"bell": True, "screen": True, "email": False}


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
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"))
    task_id: Mapped[int | None] = mapped_column(ForeignKey("task.id", ondelete="CASCADE"))
    #: What the sentence needs: number, title, minutes … Nothing that a mask could hide.
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)
    read_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Hidden from the bell until then.
    snoozed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Delivery(Model):  # type: ignore[misc]
    """What happened to a notification on one channel."""

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("notification_id", "channel"), Index("ix_delivery_due", "state", "next_try_on"))
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    notification_id: Mapped[int] = mapped_column(ForeignKey("notification.id", ondelete="CASCADE"), nullable=False)
    #: One of CHANNELS but the bell, which is the notification itself.
    channel: Mapped[str] = mapped_column(String(16), nullable=False)
    #: queued, sending, sent, failed, dropped (not wanted any more, or the person is gone), unknown (broken off while
    #: sending: never sent again by itself), or shown.
    state: Mapped[str] = mapped_column(String(16), nullable=False)
    #: When it came into this state, UTC.
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: When a queued one is to be sent, or put into the queue again, UTC.
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Why it failed, as a sentence for its person.
    error: Mapped[str | None] = mapped_column(String(300))


@dataclass(frozen=True)
class NoticeEvent:
    """One event that one or more people must know."""

    #: One of KINDS.
    kind: str
    #: Names the event; with the recipient it is unique for ever.
    key: str
    users: tuple[int | None, ...]
    #: What the sentence needs.
    payload: dict[str, Any]
    #: From place_of: the ids under which the bell groups it.
    place: dict[str, int | None]
    #: Who caused it, and is not told; null = the system.
    by: int | None = None


def notify(
    session: Session,
    users: Iterable[int | None],
    kind: str,
    key: str,
    about: Any,
    by: int | None,
    now: datetime,
    **payload: Any,
) -> int:
    """Notify each user once of the event `key`; the actor himself is left out. Answers how many rows were new.

    `about`: the lead, ticket, customer or task it stands on. Raises ValueError for an unknown kind.
    """
    return notify_many(session, [NoticeEvent(kind, key, tuple(users), payload, record_ids_of(about), by)], now)


def notify_many(session: Session, news: Iterable[NoticeEvent], now: datetime) -> int:
    """Notify everybody of everything, in one statement; an event key that stands already is passed over.

    Answers how many rows were new. Raises ValueError for an unknown kind.
    """
    chosen = load_choices(session)
    rows = [row for each in news for row in _rows(each, chosen, now)]
    if not rows:
        return 0
    fresh = int(session.execute(_insert_new(session), rows).rowcount)  # type: ignore[attr-defined]
    if fresh:  # a mixture of new and old is rare, and lets a few bells count once more
        pending(session).notified.extend((row["user_id"], row["kind"]) for row in rows)
        _write_down(session, [row for row in rows if wants(chosen, row["user_id"], row["kind"], "email")], now)
    return fresh


def _rows(news: NoticeEvent, chosen: NoticeChoices, now: datetime) -> list[dict[str, Any]]:
    if news.kind not in KINDS:
        raise ValueError(f"unknown kind of notification: {news.kind}")
    users = [user for user in dict.fromkeys(news.users) if user is not None and user != news.by]
    same = {"kind": news.kind, "actor_id": news.by, "at": now, "payload": news.payload} | news.place
    # Who does not want it in the bell finds it among all notices, as read.
    return [
        same
        | {
            "event_key": f"{news.key}:{user}",
            "user_id": user,
            "read_on": None if wants(chosen, user, news.kind, "bell") else now,
        }
        for user in users
    ]


def _insert_new(session: Session) -> Any:
    """INSERT that changes nothing where the event key stands already; the rows are its parameters, however many."""
    table: Any = Notification.__table__
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing(index_elements=["event_key"])
    # IGNORE, because with found-rows counting ON DUPLICATE KEY UPDATE answers 1 for an old row too.
    return mysql.insert(table).prefix_with("IGNORE")


def _write_down(session: Session, rows: list[dict[str, Any]], now: datetime) -> None:
    """What shall go out by e-mail is a row before it is in any queue."""
    if not rows:
        return
    sent = select(Delivery.notification_id).where(Delivery.channel == "email")
    keys = [row["event_key"] for row in rows]
    found = select(Notification.id).where(Notification.event_key.in_(keys), Notification.id.not_in(sent))
    for key in session.scalars(found):
        session.add(Delivery(notification_id=key, channel="email", state="queued", at=now, next_try_on=now))


# --- How people want to be told


def wants(chosen: NoticeChoices, user: int, kind: str, channel: str) -> bool:
    """Whether the user wants this kind on this channel: his own choice, else the channel's default."""
    return bool(chosen.get(user, {}).get(kind, {}).get(channel, CHANNELS[channel]))


def load_choices(session: Session) -> NoticeChoices:
    """Everybody's own choices, from the session's context; loaded once if nobody has set them there."""
    context = session_context(session)
    if context.notice_choices is None:
        query = select(User.id, User.notice_choices).where(User.notice_choices.is_not(None))
        context.notice_choices = {key: chosen for key, chosen in session.execute(query) if chosen}
    return context.notice_choices


def non_default_choices(table: Mapping[str, Mapping[str, bool]]) -> dict[str, dict[str, bool]] | None:
    """Of kind -> channel -> wanted, what differs from CHANNELS, for User.notice_choices; None when nothing does.

    Raises RuleBroken for a kind, channel or value that there is not.
    """
    kept: dict[str, dict[str, bool]] = {}
    for kind, chosen in table.items():
        if kind not in KINDS:
            raise RuleBroken(
                translatable(
                    "There is no notification kind “%(kind)s”. Please use one from the list.", kind=str(kind)[:40]
                )
            )
        for channel, wanted in chosen.items():
            if channel not in CHANNELS or not isinstance(wanted, bool):
                raise RuleBroken(
                    translatable(
                        "The notification channels are %(channels)s; each is true or false.",
                        channels=", ".join(CHANNELS),
                    ),
                    kind,
                )
            if wanted != CHANNELS[channel]:
                kept.setdefault(kind, {})[channel] = wanted
    return kept or None


def record_ids_of(about: Any) -> dict[str, int | None]:
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


def count_unread(session: Session, user_id: int, now: datetime) -> int:
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


def note_count_changed(session: Session, user_id: int, kind: str = "") -> None:
    """The count of this user's bell changed (a notice of that kind came, or one was read); his pages hear of it."""
    pending(session).notified.append((user_id, kind))


def record_toast_shown(session: Session, user_id: int, key: int, now: datetime) -> bool:
    """One of the user's own notices stood on a page as a toast; False when that is known, or it is none of his."""
    own = select(Notification.id, literal("screen"), literal("shown"), literal(now, UtcDateTime), literal(0))
    rows = own.where(Notification.id == key, Notification.user_id == user_id)
    names = ["notification_id", "channel", "state", "at", "tries"]
    step: Any = mysql.insert(Delivery).from_select(names, rows).prefix_with("IGNORE")
    if session.get_bind().dialect.name == "sqlite":
        step = sqlite.insert(Delivery).from_select(names, rows).on_conflict_do_nothing()
    return bool(session.execute(step).rowcount)  # type: ignore[attr-defined]


def resolve(session: Session, key: str, now: datetime) -> None:
    """The event `key` needs nobody any more: whoever has not read of it, has."""
    # On SQLite a LIKE ignores case and so every index; a GLOB walks a range of it, as MariaDB's LIKE does.
    is_lite = session.get_bind().dialect.name == "sqlite"
    theirs = Notification.event_key.op("GLOB" if is_lite else "LIKE")(f"{key}:*" if is_lite else f"{key}:%")
    step = update(Notification).where(theirs, Notification.read_on.is_(None)).values(read_on=now)
    session.execute(step, execution_options={"synchronize_session": False})
