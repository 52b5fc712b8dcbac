"""Who works here: FAB's user with what the trade adds, the reports-to tree, availability, whose turn it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import Role, User, assoc_group_role, assoc_user_group, assoc_user_role
from sqlalchemy import JSON, Boolean, ForeignKey, Integer, String, UniqueConstraint, or_, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Moment, RuleBroken

#: Minutes before a task's due time at which its assignee is reminded, unless the person chose others.
REMINDER_MINUTES = (60, 5)

# FAB declares the users' table; the trade's columns join it here, on FAB's own class, because a
# subclass on the same table would give two classes for one row in the identity map.
#: Mobile as typed and in E.164.
User.mobile = mapped_column(String(40))
User.mobile_e164 = mapped_column(String(20), index=True)
#: To whom this person reports; the tree of team visibility.
User.manager_id = mapped_column(ForeignKey("ab_user.id"), index=True)
#: Takes new work: false keeps the person out of round robin until turned on again.
User.available = mapped_column(Boolean, nullable=False, default=True, server_default="1")
#: Not available before this moment, UTC.
User.away_until = mapped_column(Moment)
#: Leave, UTC, half-open [from, to).
User.leave_from = mapped_column(Moment)
User.leave_to = mapped_column(Moment)
#: Who works in this person's stead during the leave.
User.delegate_id = mapped_column(ForeignKey("ab_user.id"))
#: IANA zone and language code of the person; null = the office's.
User.time_zone = mapped_column(String(64))
User.locale = mapped_column(String(8))
#: Minutes before due, e.g. [60, 5]; null = REMINDER_MINUTES.
User.reminder_minutes = mapped_column(JSON)
#: How this person wants to be told, where it differs from notices.CHANNELS: {kind: {channel: wanted}}; null = nowhere.
User.notice_choices = mapped_column(JSON)
#: Twilio/Exotel number of this person, E.164.
User.telephony_number = mapped_column(String(20))


class RoundRobin(Model):  # type: ignore[misc]
    """Whose turn it is in a role; its row lock makes parallel assignments spread evenly."""

    __tablename__ = "round_robin"
    __table_args__ = (UniqueConstraint("role_id"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    role_id: Mapped[int] = mapped_column(ForeignKey("ab_role.id", ondelete="CASCADE"), nullable=False)
    #: The person who had the last turn; the next one in order of id follows.
    last_user_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: How many turns were given.
    turns: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: When the last turn was given or the pointer was reset, UTC.
    changed_on: Mapped[datetime | None] = mapped_column(Moment)


@dataclass
class Decision:
    """Why this person: who stood in line, who was skipped and why."""

    user_id: int | None
    role: str
    candidates: list[int] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)
    #: The one on leave whose turn it was, when his delegate takes it.
    stead_of: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The shape kept on the Assignment row."""
        skipped = [{"user": user, "why": why} for user, why in self.skipped.items()]
        return {"role": self.role, "candidates": self.candidates, "skipped": skipped}


def why_absent(user: Any, now: datetime) -> str | None:
    """The reason why this user takes no new work at `now`, or None."""
    if not user.active:
        return "deactivated"
    if not user.available:
        return "not available"
    if user.away_until and user.away_until > now:
        return "away"
    if user.leave_from and user.leave_from <= now and (user.leave_to is None or now < user.leave_to):
        return "on leave"
    return None


def role_named(session: Session, name: str) -> Any:
    """The role row. Raises RuleBroken when there is none of that name."""
    role = session.scalars(select(Role).where(Role.name == name)).first()
    if role is None:
        raise RuleBroken(f"There is no role named “{name}”.", "assign_to_role")
    return role


def members(session: Session, role_id: int) -> list[Any]:
    """All users of the role, directly or through a group, in order of id."""
    direct = select(assoc_user_role.c.user_id).where(assoc_user_role.c.role_id == role_id)
    grouped = (
        select(assoc_user_group.c.user_id)
        .join(assoc_group_role, assoc_group_role.c.group_id == assoc_user_group.c.group_id)
        .where(assoc_group_role.c.role_id == role_id)
    )
    return list(session.scalars(select(User).where(or_(User.id.in_(direct), User.id.in_(grouped))).order_by(User.id)))


def next_in_turn(session: Session, role_name: str, now: datetime, without: frozenset[int] = frozenset()) -> Decision:
    """Give the next turn in the role and move the pointer, under its row lock.

    `without`: user ids that already had this work. The decision's user_id is None when nobody is left.
    A person on leave with a present delegate of any role hands the turn to the delegate.
    """
    role = role_named(session, role_name)
    pointer = _locked_pointer(session, role.id)
    people = members(session, role.id)
    decision = Decision(None, role_name, [user.id for user in people])
    for user in _from_after(people, pointer.last_user_id):
        taker = _taker(session, user, now, without, decision)
        if taker is not None:
            pointer.last_user_id, pointer.turns, pointer.changed_on = user.id, pointer.turns + 1, now
            decision.user_id, decision.stead_of = taker, user.id if taker != user.id else None
            return decision
    return decision


def _locked_pointer(session: Session, role_id: int) -> RoundRobin:
    query = select(RoundRobin).where(RoundRobin.role_id == role_id).with_for_update()
    # populate_existing: the lock may have waited for somebody who moved the pointer.
    pointer = session.scalars(query, execution_options={"populate_existing": True}).first()
    if pointer is None:
        session.execute(_open_pointer(session, role_id))
        pointer = session.scalars(query, execution_options={"populate_existing": True}).one()
    return pointer


def _open_pointer(session: Session, role_id: int) -> Any:
    """The first turn of a role makes its row; where somebody was faster, it takes that row's lock."""
    values = {"role_id": role_id, "turns": 0}
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(RoundRobin).values(values).on_conflict_do_nothing(index_elements=["role_id"])
    return mysql.insert(RoundRobin).values(values).on_duplicate_key_update(turns=RoundRobin.turns)


def _from_after(people: list[Any], last_id: int | None) -> list[Any]:
    """The people in turn, beginning behind the one who had the last turn."""
    later = [user for user in people if last_id is None or user.id > last_id]
    return later + [user for user in people if user not in later]


def _taker(session: Session, user: Any, now: datetime, without: frozenset[int], decision: Decision) -> int | None:
    """Who takes this user's turn: himself, his delegate while he is on leave, or nobody (reason noted)."""
    if user.id in without:
        decision.skipped[user.id] = "already had it"
        return None
    reason = why_absent(user, now)
    if reason is None:
        return int(user.id)
    decision.skipped[user.id] = reason
    if reason == "on leave" and user.delegate_id and user.delegate_id not in without:
        delegate = session.get(User, user.delegate_id)
        if delegate is not None and why_absent(delegate, now) is None:
            return int(delegate.id)
    return None


def below(session: Session, user_id: int) -> frozenset[int]:
    """The user and everybody below in the reports-to tree."""
    tree = select(User.id).where(User.id == user_id).cte("tree", recursive=True)
    tree = tree.union(select(User.id).join(tree, User.manager_id == tree.c.id))
    return frozenset(session.scalars(select(tree.c.id)))


def managers_above(session: Session, user_id: int) -> list[int]:
    """The chain of managers over a user, nearest first; a cycle ends the walk."""
    chain: list[int] = []
    current = session.execute(select(User.manager_id).where(User.id == user_id)).scalar()
    while current is not None and current not in chain and current != user_id:
        chain.append(current)
        current = session.execute(select(User.manager_id).where(User.id == current)).scalar()
    return chain


def refuse_cycle(session: Session, user_id: int, manager_id: int | None) -> None:
    """Raise RuleBroken when the manager reports, through whomever, to the user himself."""
    if manager_id is not None and manager_id in below(session, user_id):
        raise RuleBroken("Nobody can report to himself, not through others either. Choose another manager.", "manager")
