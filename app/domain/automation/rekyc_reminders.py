"""Reminders that the KYC of a customer has to be renewed: to their owner, once for each date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from app.domain import business_settings
from app.domain.customers import Customer
from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent, Notification
from app.domain.people import teams
from app.lib.batches import batched

#: A date that has passed for longer isn't reminded of: an import may bring many.
PASSED = timedelta(days=30)
#: Event keys per statement; for more values than 199 MariaDB estimates their rows, and may read all notifications.
_KEYS_AT_ONCE = 100


@dataclass(frozen=True)
class _Renewal:
    """A customer whose KYC has to be renewed, and who is reminded of it."""

    customer: Any
    user_id: int
    today: date

    @property
    def key(self) -> str:
        """Of the event: one for each date, so that a new date is reminded of again."""
        return f"rekyc:{self.customer.id}:{self.customer.rekyc_on}"

    def event(self) -> NoticeEvent:
        """The reminder, which says in how many days it is due."""
        payload = {"number": self.customer.number, "days": (self.customer.rekyc_on - self.today).days}
        about = notices.record_ids_of(None) | {"customer_id": self.customer.id}
        return NoticeEvent("rekyc", self.key, (self.user_id,), payload, about)


def due_customers(session: Session, now: datetime, zone: str, limit: int) -> list[int]:
    """Ids of the customers of whom somebody has to be reminded, by date. `zone`: the office's."""
    found: list[int] = []
    after: list[ColumnElement[bool]] = []
    rules = _window(session, _today(now, zone))
    while True:
        rows = _rows(session, [*rules, *after], limit)
        found += [each.customer.id for each in _unsent(session, _renewals(session, rows, _today(now, zone)))]
        if len(rows) < limit or len(found) >= limit:
            return found[:limit]
        last = rows[-1]
        same_day = and_(Customer.rekyc_on == last.rekyc_on, Customer.id > last.id)
        after = [or_(Customer.rekyc_on > last.rekyc_on, same_day)]


def remind_many(session: Session, customer_ids: Sequence[int], now: datetime, zone: str) -> list[str]:
    """Send the reminders of these customers. The caller commits.

    Returns for each id "reminded", or "skipped" if it was renewed meanwhile or nobody is responsible. Idempotent: the
    event key names the customer and the date.
    """
    today = _today(now, zone)
    rows = _rows(session, [Customer.id.in_(customer_ids), *_window(session, today)], len(customer_ids))
    renewals = _unsent(session, _renewals(session, rows, today))
    notices.notify_many(session, [each.event() for each in renewals], now)
    reminded = {each.customer.id for each in renewals}
    return ["reminded" if key in reminded else "skipped" for key in customer_ids]


def _today(now: datetime, zone: str) -> date:
    return now.astimezone(ZoneInfo(zone)).date()


def _window(session: Session, today: date) -> list[ColumnElement[bool]]:
    ahead = timedelta(days=int(business_settings.value_of(session, "rekyc_reminder_days")))
    return [
        Customer.rekyc_on >= today - PASSED,
        Customer.rekyc_on <= today + ahead,
        Customer.status == "Active",
        Customer.owner_id.is_not(None),
    ]


def _rows(session: Session, rules: Sequence[ColumnElement[bool]], limit: int) -> list[Any]:
    query = select(Customer.id, Customer.number, Customer.rekyc_on, Customer.owner_id).where(*rules)
    return list(session.execute(query.order_by(Customer.rekyc_on, Customer.id).limit(limit)))


def _renewals(session: Session, rows: Sequence[Any], today: date) -> list[_Renewal]:
    recipients = _recipients(session, {row.owner_id for row in rows})
    return [_Renewal(row, user, today) for row in rows if (user := recipients.get(row.owner_id))]


def _recipients(session: Session, owners: set[int]) -> dict[int, int]:
    """Owner -> who is reminded: themselves, or the nearest active manager of one who was deactivated."""
    if not owners:
        return {}
    active = set(session.scalars(select(User.id).where(User.active.is_(True))))
    chains = {owner: [owner] if owner in active else teams.managers_above(session, owner) for owner in owners}
    return {owner: next(key for key in chain if key in active) for owner, chain in chains.items() if active & {*chain}}


def _unsent(session: Session, renewals: Sequence[_Renewal]) -> list[_Renewal]:
    """Those of which their recipient wasn't notified yet."""
    sent: set[str] = set()
    for part in batched([f"{each.key}:{each.user_id}" for each in renewals], _KEYS_AT_ONCE):
        sent.update(session.scalars(select(Notification.event_key).where(Notification.event_key.in_(part))))
    return [each for each in renewals if f"{each.key}:{each.user_id}" not in sent]
