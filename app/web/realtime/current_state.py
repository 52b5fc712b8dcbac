"""What the database says now of the things that pages show: counts of bells, newest notices, newest activities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import force_locale
from sqlalchemy import func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from app import access, wording
from app.domain import notices
from app.models import Activity, Delivery, Notification, User

#: A notice that came so shortly before its person's page was there is still shown on it.
FRESH_SECONDS = 60
#: So many of the newest notices are looked at for one that the person wants on the screen.
MOST_LOOKED_AT = 20
_COLUMNS = {"lead": Activity.lead_id, "ticket": Activity.ticket_id, "customer": Activity.customer_id}


@dataclass(frozen=True)
class Bell:
    """What a person's badge says: how many are unread and awake, and the id of his newest notice (0 = none)."""

    unread: int
    newest: int


def bells(held: Session, users: Iterable[int], now: datetime) -> dict[int, Bell]:
    """The bells of these people; one statement, a range of an index for each."""
    awake = or_(Notification.snoozed_until.is_(None), Notification.snoozed_until <= now)
    mine = Notification.user_id == User.id
    unread = select(func.count(Notification.id)).where(mine, Notification.read_on.is_(None), awake).scalar_subquery()
    newest = select(Notification.id).where(mine).order_by(Notification.id.desc()).limit(1).scalar_subquery()
    query = select(User.id, unread, newest).where(User.id.in_(sorted(users)))
    return {user: Bell(count, last or 0) for user, count, last in held.execute(query)}


def newest_on(held: Session, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """(kind, id) of records -> id of the newest activity on each; one statement."""
    asked: dict[str, list[int]] = {}
    for kind, key in sorted(places):
        asked.setdefault(kind, []).append(key)
    parts = [
        select(literal(kind), _COLUMNS[kind], func.max(Activity.id))
        .where(_COLUMNS[kind].in_(keys))
        .group_by(_COLUMNS[kind])
        for kind, keys in asked.items()
    ]
    rows: Any = held.execute(union_all(*parts)) if parts else ()
    return {(kind, key): last for kind, key, last in rows}


def toast(held: Session, who: access.Person, after: int | None, now: datetime) -> dict[str, Any]:
    """The newest notice since `after` that the person wants on the screen: {id, text, url, kind}; {} = none.

    `after` None = his first page here: then one of the last minute that no page has shown. The session is his.
    """
    mine = (Notification.user_id == who.id, Notification.id > (after or 0))
    rows = held.scalars(select(Notification).where(*mine).order_by(Notification.id.desc()).limit(MOST_LOOKED_AT)).all()
    if after is None:
        rows = [row for row in rows if row.at > now - timedelta(seconds=FRESH_SECONDS)]
    if not rows:
        return {}
    chosen = {who.id: held.execute(select(User.notice_choices).where(User.id == who.id)).scalar() or {}}
    wanted = next((row for row in rows if _is_wanted(row, chosen, now)), None)
    if wanted is None or (after is None and _was_shown(held, wanted.id)):
        return {}
    url = wording.url_of(wanted, wording.cards_of(held, [wanted]))
    with force_locale(who.locale or "en"):
        return {"id": wanted.id, "text": wording.text_of(wanted), "url": url, "kind": wanted.kind}


def _is_wanted(row: Any, chosen: Mapping[int, Any], now: datetime) -> bool:
    """Who wants a kind on the screen and not in the bell finds it there as read; any other read one was read."""
    if not notices.wants(chosen, row.user_id, row.kind, "screen"):
        return False
    is_open = row.read_on is None or not notices.wants(chosen, row.user_id, row.kind, "bell")
    return is_open and (row.snoozed_until is None or row.snoozed_until <= now)


def _was_shown(held: Session, key: int) -> bool:
    query = select(Delivery.id).where(Delivery.notification_id == key, Delivery.channel == "screen")
    return held.execute(query).first() is not None
