"""Leave and delegates: a leave must end after it starts, and delegates of the same period must not form a circle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, TranslatableText, translatable

#: The columns of a user that say when they are away and who is their delegate.
COLUMNS = ("away_until", "leave_from", "leave_to", "delegate_id")
#: How far back an entered leave may start: people who fall ill enter it later that day.
BACKDATED_AT_MOST = timedelta(days=1)
_ENDLESS = datetime.max.replace(tzinfo=UTC)

#: Half-open [from, to), UTC; None = open-ended.
Period = tuple[datetime, datetime | None]


def refuse_bad_absence(session: Session, user: Any, values: dict[str, Any], now: datetime) -> None:
    """Raise RuleBroken for an absence that ends before it starts, is over, or has an impossible delegate.

    `values`: new values for some of COLUMNS; the others come from the user, unsaved changes included (an empty dict
    checks those). Values that don't change may be in the past.
    """
    after = {name: values.get(name, getattr(user, name)) for name in COLUMNS}
    changed = {name for name in COLUMNS if _is_changed(user, name, after[name])}
    _refuse_bad_times(after, changed, now)
    leave = leave_period(after)
    if after["delegate_id"] is not None and (leave is None or _end(leave) > now or "delegate_id" in changed):
        _refuse_bad_delegate(session, user.id, after["delegate_id"], leave)


def leave_period(values: dict[str, Any]) -> Period | None:
    """The leave in a user's values; None without a start."""
    return (values["leave_from"], values["leave_to"]) if values["leave_from"] is not None else None


def overlapping_leave(session: Session, user_id: int, leave: Period) -> Period | None:
    """The part of the leave in which this user, the delegate, is on leave too; None if there is none."""
    query = select(User.leave_from, User.leave_to).where(User.id == user_id, User.leave_from.is_not(None))
    found = session.execute(query).first()
    return _overlap(leave, (found[0], found[1])) if found else None


def _is_changed(user: Any, name: str, value: Any) -> bool:
    if value != getattr(user, name):
        return True
    state = inspect(user)
    return not state.persistent or any(old != value for old in state.attrs[name].history.deleted)


def _refuse_bad_times(after: dict[str, Any], changed: set[str], now: datetime) -> None:
    away, starts, ends = after["away_until"], after["leave_from"], after["leave_to"]
    if "away_until" in changed and away is not None and away <= now:
        raise RuleBroken(
            "This time is in the past. Choose a time in the future, or leave the field empty.", "away_until"
        )
    if ends is not None and starts is None:
        raise RuleBroken("The leave must end after it starts. Please enter when it starts.", "leave_from")
    if ends is not None and ends <= starts:
        raise RuleBroken("The leave must end after it starts.", "leave_to")
    if ends is not None and ends <= now and changed & {"leave_from", "leave_to"}:
        raise RuleBroken("This leave is already over. Choose an end in the future, or clear both fields.", "leave_to")
    if starts is not None and starts < now - BACKDATED_AT_MOST and "leave_from" in changed:
        raise RuleBroken("Enter a leave before it starts, or on its first day. Choose a later start.", "leave_from")


def _refuse_bad_delegate(session: Session, user_id: int | None, delegate_id: int, leave: Period | None) -> None:
    if delegate_id == user_id:
        raise RuleBroken("You can't be your own delegate. Choose a colleague.", "delegate_id")
    # Locked, so that of two users who name each other at the same moment, one waits for the other.
    query = select(
        User.id, User.first_name, User.last_name, User.active, User.leave_from, User.leave_to, User.delegate_id
    ).with_for_update()
    found = session.execute(query.where(User.id == delegate_id)).first()
    if found is None:
        raise RuleBroken("There is no such colleague. Choose someone else.", "delegate_id")
    name = f"{found.first_name} {found.last_name}".strip()
    if not found.active:
        raise RuleBroken(
            translatable("%(name)s no longer works here. Choose another colleague.", name=name), "delegate_id"
        )
    seen = {delegate_id}
    while leave is not None and found is not None and found.delegate_id is not None and found.leave_from is not None:
        leave = _overlap(leave, (found.leave_from, found.leave_to))
        if leave is not None and found.delegate_id == user_id:
            raise RuleBroken(_circle_text(name, found.id == delegate_id), "delegate_id")
        if leave is None or found.delegate_id in seen:
            return
        seen.add(found.delegate_id)
        found = session.execute(query.where(User.id == found.delegate_id)).first()


def _circle_text(name: str, is_direct: bool) -> TranslatableText:
    if is_direct:
        return translatable(
            "%(name)s has named you as delegate for part of the same time, so no one would cover it. Choose "
            "another colleague.",
            name=name,
        )
    return translatable(
        "For part of that time, %(name)s's work comes back to you through other delegates, so no one would "
        "cover it. Choose another colleague.",
        name=name,
    )


def _end(period: Period) -> datetime:
    return period[1] or _ENDLESS


def _overlap(one: Period, other: Period) -> Period | None:
    starts, ends = max(one[0], other[0]), min(_end(one), _end(other))
    return (starts, None if ends == _ENDLESS else ends) if starts < ends else None
