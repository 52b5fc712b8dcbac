"""Users: FAB's user with columns of the CRM, their roles, and whether they accept new work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_appbuilder.security.sqla.models import Role, User, assoc_group_role, assoc_user_group, assoc_user_role
from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    ForeignKey,
    String,
    and_,
    not_,
    or_,
    select,
    union,
)
from sqlalchemy.orm import Session, mapped_column

from app.domain.base import RuleBroken, UtcDateTime, translatable
from app.domain.persistence.file_references import STORED_FILE

# FAB declares the users' table; the CRM's columns are added to FAB's own class, because a subclass
# on the same table would give two classes for one row in the identity map.
#: Mobile as typed and in E.164.
User.mobile = mapped_column(String(40))
User.mobile_e164 = mapped_column(String(20), index=True)
#: The person's manager; determines who is in whose team.
User.manager_id = mapped_column(ForeignKey("ab_user.id"), index=True)
#: Whether the person accepts new work: False keeps them out of round robin.
User.available = mapped_column(Boolean, nullable=False, default=True, server_default="1")
#: Not available before this moment, UTC.
User.away_until = mapped_column(UtcDateTime)
#: Leave, UTC, half-open [from, to).
User.leave_from = mapped_column(UtcDateTime)
User.leave_to = mapped_column(UtcDateTime)
#: The substitute during the leave.
User.delegate_id = mapped_column(ForeignKey("ab_user.id"))
#: IANA zone and language code of the person; null = the office's.
User.time_zone = mapped_column(String(64))
User.locale = mapped_column(String(8))
#: Minutes before due, e.g. [60, 5]; null = reminder_preferences.REMINDER_MINUTES.
User.reminder_minutes = mapped_column(JSON)
#: Notice choices that differ from notices.is_default: {kind: {channel: wanted}}; null = none differs.
User.notice_choices = mapped_column(JSON)
#: Their picture, a square, in the file store; null = initials.
User.picture = mapped_column(String(64), index=True, info=STORED_FILE)
#: The person's number at Twilio or Exotel, E.164.
User.telephony_number = mapped_column(String(20))
#: Whether the person is shown incoming calls from numbers that belong to no record.
User.takes_calls = mapped_column(Boolean, nullable=False, default=False, server_default="0")


@dataclass(frozen=True)
class Absence:
    """Why a user accepts no new work now, and until when if that is known (UTC)."""

    why: str
    until: datetime | None = None


def absence(user: Any, now: datetime) -> Absence | None:
    """The reason why this user accepts no new work at `now`, or None."""
    if not user.active:
        return Absence("deactivated")
    if not user.available:
        return Absence("not available")
    if user.away_until and user.away_until > now:
        return Absence("away", user.away_until)
    if is_on_leave(user, now):
        return Absence("on leave", user.leave_to)
    return None


def is_on_leave(user: Any, now: datetime) -> bool:
    """Whether this user's leave covers `now`."""
    return bool(user.leave_from and user.leave_from <= now and (user.leave_to is None or now < user.leave_to))


def delegate_on_leave(session: Session, user: Any, now: datetime) -> Any:
    """The user who covers for this one during a leave that covers `now`; None if nobody does or they are away too."""
    delegate: Any = session.get(User, user.delegate_id) if user.delegate_id and is_on_leave(user, now) else None
    return delegate if delegate is not None and absence(delegate, now) is None else None


def on_leave(now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """`is_on_leave` in SQL: the users whose leave covers `now`. Never NULL, so that it can be negated."""
    has_not_ended = or_(User.leave_to.is_(None), User.leave_to > now)
    return and_(User.leave_from.is_not(None), User.leave_from <= now, has_not_ended)


def why_absent(user: Any, now: datetime) -> str | None:
    """The reason in a word or two; None if the user accepts work."""
    found = absence(user, now)
    return found.why if found else None


def available(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """`absence` in SQL: the users who accept work at `now`."""
    not_away = or_(User.away_until.is_(None), User.away_until <= now)
    return User.active.is_(True), User.available.is_(True), not_away, not_(on_leave(now))


def get_role(session: Session, name: str) -> Any:
    """The role of this name. Raises RuleBroken when there is none."""
    role = session.scalars(select(Role).where(Role.name == name)).first()
    if role is None:
        raise RuleBroken(translatable("There is no role named “%(name)s”.", name=name), "assign_to_role")
    return role


def has_role(role_id: int) -> ColumnElement[bool]:
    """Whether a user has the role, directly or through a group."""
    direct = select(assoc_user_role.c.user_id).where(assoc_user_role.c.role_id == role_id)
    grouped = (
        select(assoc_user_group.c.user_id)
        .join(assoc_group_role, assoc_group_role.c.group_id == assoc_user_group.c.group_id)
        .where(assoc_group_role.c.role_id == role_id)
    )
    return or_(User.id.in_(direct), User.id.in_(grouped))


def members(session: Session, role_id: int) -> list[Any]:
    """All users of the role, in order of id."""
    return list(session.scalars(select(User).where(has_role(role_id)).order_by(User.id)))


def roles_held(session: Session, users: Iterable[int]) -> dict[int, frozenset[int]]:
    """User -> the ids of their roles, directly or through groups; users without a role are left out."""
    some = sorted(users)
    direct = select(assoc_user_role.c.user_id, assoc_user_role.c.role_id).where(assoc_user_role.c.user_id.in_(some))
    grouped = select(assoc_user_group.c.user_id, assoc_group_role.c.role_id).join(
        assoc_group_role, assoc_group_role.c.group_id == assoc_user_group.c.group_id
    )
    found: dict[int, set[int]] = {}
    for user, role in session.execute(union(direct, grouped.where(assoc_user_group.c.user_id.in_(some)))):
        found.setdefault(user, set()).add(role)
    return {user: frozenset(roles) for user, roles in found.items()}


def active_admins(session: Session) -> list[int]:
    """Ids of the active admins."""
    return [user.id for user in members(session, get_role(session, "Admin").id) if user.active]
