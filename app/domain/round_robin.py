"""Round robin: whose turn it is to get new work of a role, and who is skipped for which reason."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import Role, User
from sqlalchemy import ForeignKey, Integer, UniqueConstraint, or_, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from app.domain.base import RuleBroken, UtcDateTime, translatable
from app.domain.people.permissions import ModulePermission
from app.domain.people.users import absence, get_role, has_role, members, why_absent


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
