"""Notifications: one row per event and recipient, and their deliveries by channel."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import (
    JSON,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    and_,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.channels.provider import StatusUpdate
from app.domain import business_settings
from app.domain.base import RuleBroken, UtcDateTime, translatable
from app.domain.persistence import bulk_statements, record_locks
from app.domain.persistence.bulk_statements import InsertPlan
from app.domain.persistence.session_context import NoticeChoices, session_context
from app.domain.persistence.transaction_state import transaction_state

#: All kinds; an unknown one is an error.
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
    "audit",
    "backup",
    "health",
    "webhook",
    "link",
    "link_confirmed",
    "rekyc",
    "complaint",
    "complaint_list",
    "compliance",
    "message",
    "export",
    "import",
    "report",
    "security",
    "disclosure",
)
#: Channel -> whether it is on by default. "bell" is the notification itself, "screen" its toast on open pages.
CHANNELS = {"bell": True, "screen": True, "email": False, "sms": False, "whatsapp": False}
#: Channels that an admin has to set up first, and that need the person's mobile number.
TEXT_CHANNELS = ("sms", "whatsapp")
#: Channels by which the outbox sends a notification.
SENT_CHANNELS = ("email", *TEXT_CHANNELS)
#: Kinds that are emailed, too, unless the person chose otherwise: they concern the account itself.
EMAILED_KINDS = frozenset({"security"})
#: Kinds about the installation itself.
ALERT_KINDS = frozenset({"job_lag", "audit", "backup", "health"})
#: Kinds that quiet hours don't delay.
UNDELAYED_KINDS = EMAILED_KINDS | ALERT_KINDS


class Notification(Model):  # type: ignore[misc]
    """Something that one user should know."""

    __tablename__ = "notification"
    __table_args__ = (
        Index("ix_notification_unread", "user_id", "read_on", "id"),
        Index("ix_notification_user", "user_id", "id"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: Identifies the event and the recipient; unique, so that each user is notified of an event once.
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
    #: Values for the text: number, title, minutes … Nothing that a mask could hide.
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)
    read_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Hidden from the notifications panel until then.
    snoozed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Delivery(Model):  # type: ignore[misc]
    """What happened to a notification on one channel."""

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("notification_id", "channel"), Index("ix_delivery_due", "state", "next_try_on"))
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    notification_id: Mapped[int] = mapped_column(ForeignKey("notification.id", ondelete="CASCADE"), nullable=False)
    #: One of CHANNELS, except bell, which is the notification itself.
    channel: Mapped[str] = mapped_column(String(16), nullable=False)
    #: queued, sending, sent, failed, dropped (no longer wanted, or the user is inactive), unknown (interrupted while
    #: sending: never resent automatically), or shown.
    state: Mapped[str] = mapped_column(String(16), nullable=False)
    #: When it entered this state, UTC.
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: When a queued delivery is due to be sent, or to be queued again, UTC.
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Why it failed, as a sentence for the recipient.
    error: Mapped[str | None] = mapped_column(String(300))


@dataclass(frozen=True)
class NoticeEvent:
    """One event of which users are notified."""

    #: One of KINDS.
    kind: str
    #: Identifies the event; unique together with the recipient.
    key: str
    users: Sequence[int | None]
    #: Values for the text.
    payload: dict[str, Any] = field(default_factory=dict)
    #: Its lead, ticket, customer or task, or their ids as returned by record_ids_of; None = no record.
    about: Any = None
    #: The user who caused it and is not notified; None = the system.
    by: int | None = None


def notify(session: Session, event: NoticeEvent, now: datetime) -> int:
    """Call `notify_many` for one event."""
    return notify_many(session, [event], now)


def notify_many(session: Session, events: Iterable[NoticeEvent], now: datetime) -> int:
    """Notify the users of each event, in one statement; an event key that exists already is skipped.

    Returns how many rows were new. Raises ValueError for an unknown kind. In a bulk action the events are collected and
    written at its end, and this returns 0.
    """
    batch = session_context(session).notice_batch
    if batch is not None:
        batch.add(events)
        return 0
    choices = load_choices(session)
    rows = [row for event in events for row in _rows(event, choices, now)]
    if not rows:
        return 0
    record_locks.write_first(session)
    added = bulk_statements.insert_rows(session, Notification, rows, InsertPlan(unique=("event_key",)))
    if added:  # a mixture of new and old is rare, and only makes a few pages count again
        transaction_state(session).notified.extend((row["user_id"], row["kind"]) for row in rows)
        for channel in SENT_CHANNELS:
            wanted = [row for row in rows if wants(choices, row["user_id"], row["kind"], channel)]
            _add_deliveries(session, channel, wanted, now)
    return added


def _rows(event: NoticeEvent, choices: NoticeChoices, now: datetime) -> list[dict[str, Any]]:
    if event.kind not in KINDS:
        raise ValueError(f"unknown kind of notification: {event.kind}")
    users = [user for user in dict.fromkeys(event.users) if user is not None and user != event.by]
    same = {"kind": event.kind, "actor_id": event.by, "at": now, "payload": event.payload}
    same |= record_ids_of(event.about)
    # Users who don't want it in the panel find it among all notifications, as read.
    return [
        same
        | {
            "event_key": f"{event.key}:{user}",
            "user_id": user,
            "read_on": None if wants(choices, user, event.kind, "bell") else now,
        }
        for user in users
    ]


def _add_deliveries(session: Session, channel: str, rows: list[dict[str, Any]], now: datetime) -> None:
    """Add rows for deliveries by a channel, before they are queued; none if nobody has set it up.

    Read without access rules: whoever acts in this session sees no notifications of others.
    """
    if not rows or (channel in TEXT_CHANNELS and channel not in set_up_channels(session)):
        return
    sent = select(Delivery.notification_id).where(Delivery.channel == channel)
    keys = [row["event_key"] for row in rows]
    found = select(Notification.id).where(Notification.event_key.in_(keys), Notification.id.not_in(sent))
    session.flush()  # deliveries that were just added count as sent
    for key in session.connection().scalars(found).all():
        session.add(Delivery(notification_id=key, channel=channel, state="queued", at=now, next_try_on=now))


def apply_report(session: Session, delivery_id: int, event: StatusUpdate, now: datetime) -> bool:
    """Store what a provider reports about a text of ours: that it failed, or arrived though its fate was unknown.

    False if there is no such text, or it is being sent right now.
    """
    row = session.get(Delivery, delivery_id, with_for_update=True)
    if row is None or row.channel not in TEXT_CHANNELS or row.state == "sending":
        return False
    if event.state == "failed" and row.state in ("sent", "unknown"):
        row.state, row.at, row.error = "failed", now, event.reason[:300] or None
    elif event.state in ("sent", "delivered", "read") and row.state == "unknown":
        row.state, row.at, row.error = "sent", now, None
    return True


# --- notice preferences: kinds by channel


def is_default(kind: str, channel: str) -> bool:
    """Whether this kind comes on this channel as long as the user hasn't chosen."""
    return CHANNELS[channel] or (channel == "email" and kind in EMAILED_KINDS)


def wants(choices: NoticeChoices, user_id: int, kind: str, channel: str) -> bool:
    """Whether the user wants this kind on this channel: by their own choice, else by default."""
    return bool(choices.get(user_id, {}).get(kind, {}).get(channel, is_default(kind, channel)))


def load_choices(session: Session) -> NoticeChoices:
    """All users' own choices, from the session's context; loaded once if they are not there yet."""
    context = session_context(session)
    if context.notice_choices is None:
        query = select(User.id, User.notice_choices).where(User.notice_choices.is_not(None))
        context.notice_choices = {key: choices for key, choices in session.execute(query) if choices}
    return context.notice_choices


def non_default_choices(table: Mapping[str, Mapping[str, bool]]) -> dict[str, dict[str, bool]] | None:
    """The part of kind -> channel -> wanted that differs from the defaults, for User.notice_choices; None = none does.

    Raises RuleBroken for an unknown kind, channel or value.
    """
    different: dict[str, dict[str, bool]] = {}
    for kind, wanted_on in table.items():
        if kind not in KINDS:
            raise RuleBroken(
                translatable(
                    "There is no notification kind “%(kind)s”. Please use one from the list.", kind=str(kind)[:40]
                )
            )
        for channel, wanted in wanted_on.items():
            if channel not in CHANNELS or not isinstance(wanted, bool):
                raise RuleBroken(
                    translatable(
                        "The notification channels are %(channels)s; each is true or false.",
                        channels=", ".join(CHANNELS),
                    ),
                    kind,
                )
            if wanted != is_default(kind, channel):
                different.setdefault(kind, {})[channel] = wanted
    return different or None


def set_up_channels(session: Session) -> Mapping[str, Mapping[str, int]]:
    """Channel, SMS or WhatsApp -> the ids of its account and template, of those that an admin has set up."""
    found: Mapping[str, Mapping[str, int]] = business_settings.value_of(session, business_settings.NOTICE_CHANNELS)
    return found


def channels_for(user: Any, set_up: Collection[str]) -> tuple[str, ...]:
    """The channels that this user can choose: SMS and WhatsApp if they are set up and the user has a mobile number."""
    texts = set_up if user.mobile_e164 else ()
    return tuple(each for each in CHANNELS if each not in TEXT_CHANNELS or each in texts)


def merge_choices(user: Any, table: Mapping[str, Mapping[str, bool]], channels: Collection[str]) -> Any:
    """The user's new choices, as `non_default_choices` returns them; those for other channels stay as they are.

    Raises RuleBroken, also if the table turns on a channel that isn't among `channels`.
    """
    chosen = non_default_choices(table) or {}
    if any(set(row) - set(channels) for row in chosen.values()):
        raise RuleBroken(
            "For notifications by SMS or WhatsApp, an admin has to set up the channel, and you need a mobile number in "
            "your profile."
        )
    for kind, row in (user.notice_choices or {}).items():
        kept = {channel: wanted for channel, wanted in row.items() if channel not in channels}
        if kept:
            chosen.setdefault(kind, {}).update(kept)
    return chosen or None


def record_ids_of(about: Any) -> dict[str, int | None]:
    """The ids of the record and, for a task, of its lead or ticket: the panel groups and links by them.

    Ids as a dict are returned as they are.
    """
    if isinstance(about, dict):
        return about
    ids: dict[str, int | None] = {"lead_id": None, "ticket_id": None, "customer_id": None, "task_id": None}
    if about is None:
        return ids
    columns = {"leads": "lead_id", "ticket": "ticket_id", "customer": "customer_id", "task": "task_id"}
    if about.__tablename__ in columns:
        ids[columns[about.__tablename__]] = about.id
    if about.__tablename__ == "task":
        ids |= {"lead_id": about.lead_id, "ticket_id": about.ticket_id}
    return ids


# --- Read, snoozed, unread


def is_snoozed(row: Notification, now: datetime) -> bool:
    """Whether the notification is hidden from the panel now."""
    return row.snoozed_until is not None and row.snoozed_until > now


def not_snoozed(now: datetime) -> ColumnElement[bool]:
    """`not is_snoozed` in SQL."""
    return or_(Notification.snoozed_until.is_(None), Notification.snoozed_until <= now)


def counts_as_unread(now: datetime) -> ColumnElement[bool]:
    """Unread notifications that badges count: not read and not snoozed."""
    return and_(Notification.read_on.is_(None), not_snoozed(now))


def snooze_values(until: datetime | None) -> dict[str, Any]:
    """Column values for snoozing until a time; afterwards it is unread. None = end of snoozing."""
    return {"snoozed_until": None} if until is None else {"snoozed_until": until, "read_on": None}


def unread_query(user_id: Any, now: Any) -> Any:
    """SELECT of the number of unread notifications in this user's badge; arguments may be parameters."""
    return select(func.count(Notification.id)).where(Notification.user_id == user_id, counts_as_unread(now))


def count_unread(session: Session, user_id: int, now: datetime) -> int:
    """The number of unread notifications in this user's badge."""
    return int(session.execute(unread_query(user_id, now)).scalar() or 0)


def mark_read(session: Session, user_id: int, now: datetime, ids: list[int] | None = None) -> int:
    """Mark the user's own notifications as read (all when `ids` is None). Returns how many changed."""
    step = update(Notification).where(Notification.user_id == user_id, Notification.read_on.is_(None))
    if ids is not None:
        step = step.where(Notification.id.in_(ids))
    done = session.execute(step.values(read_on=now), execution_options={"synchronize_session": False})
    return int(done.rowcount)  # type: ignore[attr-defined]


def note_count_changed(session: Session, user_id: int, kind: str = "") -> None:
    """Update the open pages of this user after the commit: they got a notice of this kind, or read or snoozed one."""
    transaction_state(session).notified.append((user_id, kind))


def record_toast_shown(session: Session, user_id: int, key: int, now: datetime) -> bool:
    """Record that a notification was shown to the user as a toast; False if it was before, or isn't theirs."""
    own = select(Notification.id, literal("screen"), literal("shown"), literal(now, UtcDateTime), literal(0))
    rows = own.where(Notification.id == key, Notification.user_id == user_id)
    names = ["notification_id", "channel", "state", "at", "tries"]
    step: Any = mysql.insert(Delivery).from_select(names, rows).prefix_with("IGNORE")
    if session.get_bind().dialect.name == "sqlite":
        step = sqlite.insert(Delivery).from_select(names, rows).on_conflict_do_nothing()
    return bool(session.execute(step).rowcount)  # type: ignore[attr-defined]


def resolve(session: Session, key: str, now: datetime) -> None:
    """Mark all notifications of the event `key` as read, because it needs nobody's attention any more."""
    # On SQLite LIKE ignores case and therefore indexes; GLOB reads a range of an index, like MariaDB's LIKE.
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    theirs = Notification.event_key.op("GLOB" if is_sqlite else "LIKE")(f"{key}:*" if is_sqlite else f"{key}:%")
    step = update(Notification).where(theirs, Notification.read_on.is_(None)).values(read_on=now)
    session.execute(step, execution_options={"synchronize_session": False})
