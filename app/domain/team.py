"""Users: FAB's user with columns of the CRM, reporting lines, availability, and round robin."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import Role, User, assoc_group_role, assoc_user_group, assoc_user_role
from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    ForeignKey,
    Integer,
    String,
    UniqueConstraint,
    and_,
    not_,
    or_,
    select,
    union,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from app.domain.base import RuleBroken, UtcDateTime, hold_name, translatable
from app.domain.file_references import STORED_FILE
from app.domain.permissions import ModulePermission

#: Minutes before a task's due time at which its assignee is reminded, unless the person chose others.
REMINDER_MINUTES = (60, 5)

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
#: Minutes before due, e.g. [60, 5]; null = REMINDER_MINUTES.
User.reminder_minutes = mapped_column(JSON)
#: Notice choices that differ from notices.CHANNELS: {kind: {channel: wanted}}; null = none differs.
User.notice_choices = mapped_column(JSON)
#: Their picture, a square, in the file store; null = initials.
User.picture = mapped_column(String(64), index=True, info=STORED_FILE)
#: The person's number at Twilio or Exotel, E.164.
User.telephony_number = mapped_column(String(20))
#: Whether the person is shown incoming calls from numbers that belong to no record.
User.takes_calls = mapped_column(Boolean, nullable=False, default=False, server_default="0")


class RoundRobin(Model):  # type: ignore[misc]
    """The round robin of a role; its row lock distributes concurrent assignments evenly."""

    __tablename__ = "round_robin"
    __table_args__ = (UniqueConstraint("role_id"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    role_id: Mapped[int] = mapped_column(ForeignKey("ab_role.id", ondelete="CASCADE"), nullable=False)
    #: The user who had the last turn; the next higher id follows.
    last_user_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: The number of turns given.
    turns: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: When the last turn was given or the pointer was reset, UTC.
    changed_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


@dataclass
class TurnDecision:
    """The user whose turn it is, the candidates, and who was skipped for which reason."""

    user_id: int | None
    role: str
    candidates: list[int] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)
    #: The user on leave whose turn it was, when their delegate takes it.
    substitute_for: int | None = None
    #: Until when skipped users are absent, if known, UTC.
    absent_until: dict[int, datetime] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The form stored in the Assignment row."""
        skipped = [{"user": user, "why": why} | self._until(user) for user, why in self.skipped.items()]
        return {"role": self.role, "candidates": self.candidates, "skipped": skipped}

    def _until(self, user: int) -> dict[str, str]:
        return {"until": self.absent_until[user].isoformat()} if user in self.absent_until else {}


@dataclass(frozen=True)
class Absence:
    """Why a user accepts no new work now, and until when if that is known (UTC)."""

    why: str
    until: datetime | None = None


def reminder_offsets(user: Any) -> tuple[int, ...]:
    """Minutes before due at which this user is reminded; () = never."""
    chosen = getattr(user, "reminder_minutes", None)
    return tuple(REMINDER_MINUTES if chosen is None else chosen)


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


def on_leave(now: datetime) -> ColumnElement[bool]:
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
    """Ids of the active administrators."""
    return [user.id for user in members(session, get_role(session, "Admin").id) if user.active]


@dataclass(frozen=True)
class TurnPosition:
    """One user's position in a round robin, and their delegate, if any."""

    user: Any
    delegate: Any


@dataclass(frozen=True)
class RoundRobinLine:
    """The users of a role in order of id, and who had the last turn."""

    role: str
    places: list[TurnPosition]
    last_user_id: int | None = None
    #: The ids of the users, in order.
    ids: tuple[int, ...] = ()

    def in_turn(self) -> list[TurnPosition]:
        """The positions in the order of the next turns."""
        first = bisect_right(self.ids, self.last_user_id or 0)
        return self.places[first:] + self.places[:first]

    def moved_to(self, user_id: int) -> RoundRobinLine:
        """The line after this user's turn."""
        return replace(self, last_user_id=user_id)


def load_line(session: Session, role: Any, last_user_id: int | None) -> RoundRobinLine:
    """The round robin line of a role; one statement."""
    delegate = aliased(User)
    query = select(User, delegate).outerjoin(delegate, delegate.id == User.delegate_id).where(has_role(role.id))
    rows = session.execute(query.order_by(User.id)).all()
    places = [TurnPosition(user, other) for user, other in rows]
    return RoundRobinLine(role.name, places, last_user_id, tuple(position.user.id for position in places))


def preview_turns(line: RoundRobinLine, now: datetime, count: int) -> list[TurnDecision]:
    """The next `count` decisions if nothing changes; moves no pointer. Fewer when no one is available."""
    decisions: list[TurnDecision] = []
    while len(decisions) < count:
        decision = _decide(line, now)
        if decision.user_id is None:
            break
        decisions.append(decision)
        line = line.moved_to(decision.substitute_for or decision.user_id)
    return decisions


def take_turn(session: Session, role_name: str, now: datetime, without: frozenset[int] = frozenset()) -> TurnDecision:
    """Take the next turn in the role and move the pointer, under its row lock.

    `without`: ids of users who already had this work. The decision's user_id is None if nobody is left. The turn of a
    user on leave goes to their delegate, of whatever role, if the delegate is available.
    """
    return lock_turns(session, role_name).next(now, without)


@dataclass
class LockedTurns:
    """The line of a role under the lock of its pointer: nobody else takes a turn until the transaction ends."""

    pointer: RoundRobin
    line: RoundRobinLine

    def next(self, now: datetime, without: frozenset[int] = frozenset()) -> TurnDecision:
        """Take the next turn and move the pointer."""
        decision = _decide(self.line, now, without)
        if decision.user_id is not None:
            self.line = self.line.moved_to(decision.substitute_for or decision.user_id)
            self.pointer.last_user_id = self.line.last_user_id
            self.pointer.turns, self.pointer.changed_on = self.pointer.turns + 1, now
        return decision


def lock_turns(session: Session, role_name: str) -> LockedTurns:
    """Lock the pointer of the role, for one turn or many. Raises RuleBroken if there is no such role."""
    role = get_role(session, role_name)
    pointer = _locked_pointer(session, role.id)
    return LockedTurns(pointer, load_line(session, role, pointer.last_user_id))


def roles_in_use(session: Session) -> list[tuple[Any, RoundRobin | None]]:
    """The roles with a round robin, by name, with their pointers: those that have one, or may edit leads or tickets."""
    works = (ModulePermission.module.in_(("Leads", "Tickets")), ModulePermission.verb == "write")
    workers = select(ModulePermission.role_id).where(*works, ModulePermission.level != "none")
    wanted = or_(RoundRobin.id.is_not(None), Role.id.in_(workers))
    query = select(Role, RoundRobin).outerjoin(RoundRobin, RoundRobin.role_id == Role.id).where(wanted)
    return [(role, pointer) for role, pointer in session.execute(query.order_by(Role.name))]


def set_next(session: Session, role_name: str, user_id: int | None, now: datetime) -> None:
    """Give the next turn to this user (None = the first). Raises RuleBroken if they do not have the role."""
    role = get_role(session, role_name)
    ids = [user.id for user in members(session, role.id)]
    if user_id is not None and user_id not in ids:
        raise RuleBroken(
            translatable("This person doesn't have the role %(role)s. Please choose someone who does.", role=role_name),
            "user",
        )
    pointer = _locked_pointer(session, role.id)
    earlier = [each for each in ids if user_id is not None and each < user_id]
    pointer.last_user_id, pointer.changed_on = (earlier[-1] if earlier else None), now


def _locked_pointer(session: Session, role_id: int) -> RoundRobin:
    query = select(RoundRobin).where(RoundRobin.role_id == role_id).with_for_update()
    # populate_existing: the lock may have waited for a transaction that moved the pointer.
    pointer = session.scalars(query, execution_options={"populate_existing": True}).first()
    if pointer is None:
        session.execute(_open_pointer(session, role_id))
        pointer = session.scalars(query, execution_options={"populate_existing": True}).one()
    return pointer


def _open_pointer(session: Session, role_id: int) -> Any:
    """Insert the pointer of a role at its first turn; if another transaction was faster, lock its row."""
    values = {"role_id": role_id, "turns": 0}
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(RoundRobin).values(values).on_conflict_do_nothing(index_elements=["role_id"])
    return mysql.insert(RoundRobin).values(values).on_duplicate_key_update(turns=RoundRobin.turns)


def _decide(line: RoundRobinLine, now: datetime, without: frozenset[int] = frozenset()) -> TurnDecision:
    """Decide whose turn it is in this line; changes nothing."""
    decision = TurnDecision(None, line.role, list(line.ids))
    for position in line.in_turn():
        taker = _user_or_substitute(position, now, without, decision)
        if taker is not None:
            decision.user_id, decision.substitute_for = taker, position.user.id if taker != position.user.id else None
            break
    return decision


def _user_or_substitute(
    position: TurnPosition, now: datetime, without: frozenset[int], decision: TurnDecision
) -> int | None:
    """Who takes this turn: the user, their delegate during a leave, or nobody; the reason is added to `decision`."""
    user = position.user
    if user.id in without:
        decision.skipped[user.id] = "already had it"
        return None
    away = absence(user, now)
    if away is None:
        return int(user.id)
    decision.skipped[user.id] = away.why
    if away.until is not None:
        decision.absent_until[user.id] = away.until
    return substitute(position, now, without)


def substitute(position: TurnPosition, now: datetime, without: frozenset[int] = frozenset()) -> int | None:
    """The delegate of a user on leave, if the delegate is available; else None."""
    delegate = position.delegate
    if delegate is None or delegate.id in without or why_absent(position.user, now) != "on leave":
        return None
    return int(delegate.id) if why_absent(delegate, now) is None else None


def reporting_tree(session: Session, user_id: int) -> frozenset[int]:
    """The user and everyone who reports to them, directly or through others."""
    tree = select(User.id).where(User.id == user_id).cte("tree", recursive=True)
    tree = tree.union(select(User.id).join(tree, User.manager_id == tree.c.id))
    return frozenset(session.scalars(select(tree.c.id)))


def managers_above(session: Session, user_id: int) -> list[int]:
    """The managers above a user, nearest first; stops at a cycle."""
    chain: list[int] = []
    current = session.execute(select(User.manager_id).where(User.id == user_id)).scalar()
    while current is not None and current not in chain and current != user_id:
        chain.append(current)
        current = session.execute(select(User.manager_id).where(User.id == current)).scalar()
    return chain


def refuse_cycle(session: Session, user_id: int, manager_id: int | None) -> None:
    """Raise RuleBroken if the manager reports to this user, directly or through others.

    Until the transaction ends, others who name a manager wait: two changes together could make a circle.
    """
    if manager_id is not None:
        hold_name(session, "managers")
    if manager_id is not None and manager_id in reporting_tree(session, user_id):
        raise RuleBroken(
            "A person can't report to themselves, directly or through others. Choose another manager.", "manager"
        )
