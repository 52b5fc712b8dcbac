"""Current values for live pages: unread counts, newest notices, newest activities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import force_locale
from sqlalchemy import func, literal, select, union_all
from sqlalchemy.orm import Session

from app import access, notice_links, notice_texts
from app.domain.notifications import notices
from app.models import Activity, Delivery, Message, Notification, User

#: A notice this recent is still shown as a toast on the first page that its user opens.
FRESH_SECONDS = 60
#: How many of the newest notices are searched for one that the user wants as a toast.
MAX_NOTICES = 20
#: Kind of record -> the table with its activity, and the column that refers to the record.
_COLUMNS: dict[str, tuple[Any, Any]] = {
    "lead": (Activity, Activity.lead_id),
    "ticket": (Activity, Activity.ticket_id),
    "customer": (Activity, Activity.customer_id),
    "task": (Activity, Activity.task_id),
    "conversation": (Message, Message.conversation_id),
}


@dataclass(frozen=True)
class Bell:
    """A user's unread notices that are not snoozed, and the id of their newest notice (0 = none)."""

    unread: int
    newest: int


def load_bells(session: Session, users: Iterable[int], now: datetime) -> dict[int, Bell]:
    """The bells of these users; one statement, an index range for each."""
    mine = Notification.user_id == User.id
    unread = select(func.count(Notification.id)).where(mine, notices.counts_as_unread(now)).scalar_subquery()
    newest = select(Notification.id).where(mine).order_by(Notification.id.desc()).limit(1).scalar_subquery()
    query = select(User.id, unread, newest).where(User.id.in_(sorted(users)))
    return {user: Bell(count, last or 0) for user, count, last in session.execute(query)}


def newest_activities(session: Session, records: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """(kind, id) of records -> id of the newest activity, or of a conversation's newest message; one statement."""
    ids_by_kind: dict[str, list[int]] = {}
    for kind, key in sorted(records):
        ids_by_kind.setdefault(kind, []).append(key)
    parts = [_newest(kind, *_COLUMNS[kind], keys) for kind, keys in ids_by_kind.items()]
    rows: Any = session.execute(union_all(*parts)) if parts else ()
    return {(kind, key): last for kind, key, last in rows}


def _newest(kind: str, table: Any, column: Any, keys: list[int]) -> Any:
    return select(literal(kind), column, func.max(table.id)).where(column.in_(keys)).group_by(column)


def toast(session: Session, person: access.Person, after: int | None, now: datetime) -> dict[str, Any]:
    """The newest notice since `after` that the person wants as a toast: {id, text, url, kind}; {} = none.

    `after` None = their first page here: then one of the last minute that no page has shown. The session must act for
    them.
    """
    mine = (Notification.user_id == person.id, Notification.id > (after or 0))
    rows = session.scalars(select(Notification).where(*mine).order_by(Notification.id.desc()).limit(MAX_NOTICES)).all()
    if after is None:
        rows = [row for row in rows if row.at > now - timedelta(seconds=FRESH_SECONDS)]
    if not rows:
        return {}
    chosen = {person.id: session.execute(select(User.notice_choices).where(User.id == person.id)).scalar() or {}}
    wanted = next((row for row in rows if _is_wanted(row, chosen, now)), None)
    if wanted is None or (after is None and _was_shown(session, wanted.id)):
        return {}
    cards = notice_links.record_cards(session, [wanted])
    with force_locale(person.locale or "en"):
        text = notice_texts.text_of(wanted, **notice_links.names_of(wanted, cards))
        return {"id": wanted.id, "text": text, "url": notice_links.link_of(wanted, cards), "kind": wanted.kind}


def _is_wanted(row: Any, chosen: Mapping[int, Any], now: datetime) -> bool:
    """Whether to show it: a kind wanted as a toast but not in the bell is stored as read.

    Other read notices are not shown.
    """
    if not notices.wants(chosen, row.user_id, row.kind, "screen"):
        return False
    is_open = row.read_on is None or not notices.wants(chosen, row.user_id, row.kind, "bell")
    return is_open and not notices.is_snoozed(row, now)


def _was_shown(session: Session, key: int) -> bool:
    query = select(Delivery.id).where(Delivery.notification_id == key, Delivery.channel == "screen")
    return session.execute(query).first() is not None
