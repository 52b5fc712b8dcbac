"""Who works here: FAB's user with what the trade adds, the reports-to tree, availability, whose turn it is."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import Role, User, assoc_group_role, assoc_user_group, assoc_user_role
from sqlalchemy import JSON, Boolean, ColumnElement, ForeignKey, Integer, String, UniqueConstraint, or_, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from app.domain.base import RuleBroken, UtcDateTime, translatable
from app.domain.permissions import ModulePermission

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
User.away_until = mapped_column(UtcDateTime)
#: Leave, UTC, half-open [from, to).
User.leave_from = mapped_column(UtcDateTime)
User.leave_to = mapped_column(UtcDateTime)
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
    changed_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


@dataclass
class Decision:
    """Why this person: who stood in line, who was skipped and why."""

    user_id: int | None
    role: str
    candidates: list[int] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)
    #: The one on leave whose turn it was, when his delegate takes it.
    substitute_for: int | None = None
    #: Until when those are absent of whom it is known, UTC.
    until: dict[int, datetime] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The shape kept on the Assignment row."""
        skipped = [{"user": user, "why": why} | self._until(user) for user, why in self.skipped.items()]
        return {"role": self.role, "candidates": self.candidates, "skipped": skipped}

    def _until(self, user: int) -> dict[str, str]:
        return {"until": self.until[user].isoformat()} if user in self.until else {}


@dataclass(frozen=True)
class Absence:
    """Why somebody takes no new work now, and until when if that is known (UTC)."""

    why: str
    until: datetime | None = None


def absence(user: Any, now: datetime) -> Absence | None:
    """The reason why this user takes no new work at `now`, or None."""
    if not user.active:
        return Absence("deactivated")
    if not user.available:
        return Absence("not available")
    if user.away_until and user.away_until > now:
        return Absence("away", user.away_until)
    if user.leave_from and user.leave_from <= now and (user.leave_to is None or now < user.leave_to):
        return Absence("on leave", user.leave_to)
    return None


def why_absent(user: Any, now: datetime) -> str | None:
    """The reason in a word or two, or None for who is there."""
    found = absence(user, now)
    return found.why if found else None


def is_available(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """The same in SQL: the users who take work at `now`."""
    no_leave = or_(User.leave_from.is_(None), User.leave_from > now, User.leave_to <= now)
    not_away = or_(User.away_until.is_(None), User.away_until <= now)
    return User.active.is_(True), User.available.is_(True), not_away, no_leave


def get_role(session: Session, name: str) -> Any:
    """The role row. Raises RuleBroken when there is none of that name."""
    role = session.scalars(select(Role).where(Role.name == name)).first()
    if role is None:
        raise RuleBroken(translatable("There is no role named “%(name)s”.", name=name), "assign_to_role")
    return role


def _is_member(role_id: int) -> ColumnElement[bool]:
    """Users of the role, directly or through a group."""
    direct = select(assoc_user_role.c.user_id).where(assoc_user_role.c.role_id == role_id)
    grouped = (
        select(assoc_user_group.c.user_id)
        .join(assoc_group_role, assoc_group_role.c.group_id == assoc_user_group.c.group_id)
        .where(assoc_group_role.c.role_id == role_id)
    )
    return or_(User.id.in_(direct), User.id.in_(grouped))


def members(session: Session, role_id: int) -> list[Any]:
    """All users of the role, in order of id."""
    return list(session.scalars(select(User).where(_is_member(role_id)).order_by(User.id)))


@dataclass(frozen=True)
class TurnPosition:
    """One person's place in the line of a role, and who may stand in."""

    user: Any
    delegate: Any


@dataclass(frozen=True)
class RoundRobinLine:
    """The people of a role in order of id, and whose turn was the last."""

    role: str
    places: list[TurnPosition]
    last_user_id: int | None = None

    def in_turn(self) -> list[TurnPosition]:
        """Beginning behind the one who had the last turn."""
        first = bisect_right(self.places, self.last_user_id or 0, key=lambda place: place.user.id)
        return self.places[first:] + self.places[:first]

    def moved_to(self, user_id: int) -> RoundRobinLine:
        """The line after this person's turn."""
        return replace(self, last_user_id=user_id)


def load_line(session: Session, role: Any, last_user_id: int | None) -> RoundRobinLine:
    """The line of a role row as it stands now; one statement."""
    delegate = aliased(User)
    query = select(User, delegate).outerjoin(delegate, delegate.id == User.delegate_id).where(_is_member(role.id))
    rows = session.execute(query.order_by(User.id)).all()
    return RoundRobinLine(role.name, [TurnPosition(user, other) for user, other in rows], last_user_id)


def preview_turns(line: RoundRobinLine, now: datetime, count: int) -> list[Decision]:
    """The next `count` decisions if nothing changes; moves no pointer. Shorter when nobody is there."""
    coming: list[Decision] = []
    while len(coming) < count:
        decision = _decided(line, now)
        if decision.user_id is None:
            break
        coming.append(decision)
        line = line.moved_to(decision.substitute_for or decision.user_id)
    return coming


def take_turn(session: Session, role_name: str, now: datetime, without: frozenset[int] = frozenset()) -> Decision:
    """Give the next turn in the role and move the pointer, under its row lock.

    `without`: user ids that already had this work. The decision's user_id is None when nobody is left.
    A person on leave with a present delegate of any role hands the turn to the delegate.
    """
    return lock_turns(session, role_name).next(now, without)


@dataclass
class LockedTurns:
    """The line of a role under the lock of its pointer: nobody else gives a turn until the transaction ends."""

    pointer: RoundRobin
    line: RoundRobinLine

    def next(self, now: datetime, without: frozenset[int] = frozenset()) -> Decision:
        """Give the next turn and move the pointer."""
        decision = _decided(self.line, now, without)
        if decision.user_id is not None:
            self.line = self.line.moved_to(decision.substitute_for or decision.user_id)
            self.pointer.last_user_id = self.line.last_user_id
            self.pointer.turns, self.pointer.changed_on = self.pointer.turns + 1, now
        return decision


def lock_turns(session: Session, role_name: str) -> LockedTurns:
    """Lock the pointer of the role, for one turn or many. Raises RuleBroken when there is no such role."""
    role = get_role(session, role_name)
    pointer = _locked_pointer(session, role.id)
    return LockedTurns(pointer, load_line(session, role, pointer.last_user_id))


def roles_in_use(session: Session) -> list[tuple[Any, RoundRobin | None]]:
    """The roles in which turns are given, by name, with their pointers: they have one, or work on leads or tickets."""
    works = (ModulePermission.module.in_(("Leads", "Tickets")), ModulePermission.verb == "write")
    workers = select(ModulePermission.role_id).where(*works, ModulePermission.level != "none")
    wanted = or_(RoundRobin.id.is_not(None), Role.id.in_(workers))
    query = select(Role, RoundRobin).outerjoin(RoundRobin, RoundRobin.role_id == Role.id).where(wanted)
    return [(role, pointer) for role, pointer in session.execute(query.order_by(Role.name))]


def set_next(session: Session, role_name: str, user_id: int | None, now: datetime) -> None:
    """The next turn is this person's (None = the first in line). Raises RuleBroken for who does not stand in it."""
    role = get_role(session, role_name)
    ids = [user.id for user in members(session, role.id)]
    if user_id is not None and user_id not in ids:
        raise RuleBroken(
            translatable("This person doesn't have the role %(role)s. Please choose someone who does.", role=role_name),
            "user",
        )
    pointer = _locked_pointer(session, role.id)
    before = [each for each in ids if user_id is not None and each < user_id]
    pointer.last_user_id, pointer.changed_on = (before[-1] if before else None), now


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


def _decided(line: RoundRobinLine, now: datetime, without: frozenset[int] = frozenset()) -> Decision:
    """Whose turn it is in this line; changes nothing."""
    decision = Decision(None, line.role, [place.user.id for place in line.places])
    for place in line.in_turn():
        taker = _taker(place, now, without, decision)
        if taker is not None:
            decision.user_id, decision.substitute_for = taker, place.user.id if taker != place.user.id else None
            break
    return decision


def _taker(place: TurnPosition, now: datetime, without: frozenset[int], decision: Decision) -> int | None:
    """Who takes this user's turn: himself, his delegate while he is on leave, or nobody (reason noted)."""
    user = place.user
    if user.id in without:
        decision.skipped[user.id] = "already had it"
        return None
    away = absence(user, now)
    if away is None:
        return int(user.id)
    decision.skipped[user.id] = away.why
    if away.until is not None:
        decision.until[user.id] = away.until
    return substitute(place, now, without)


def substitute(place: TurnPosition, now: datetime, without: frozenset[int] = frozenset()) -> int | None:
    """The present delegate of somebody who is on leave, or None."""
    delegate = place.delegate
    if delegate is None or delegate.id in without or why_absent(place.user, now) != "on leave":
        return None
    return int(delegate.id) if why_absent(delegate, now) is None else None


def reporting_tree(session: Session, user_id: int) -> frozenset[int]:
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
    if manager_id is not None and manager_id in reporting_tree(session, user_id):
        raise RuleBroken(
            "A person can't report to themselves, directly or through others. Choose another manager.", "manager"
        )
