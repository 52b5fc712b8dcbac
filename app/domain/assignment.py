"""Who has what, since when, why; several people on one ticket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import notices, team, timeline
from app.domain.base import NotFound, RuleBroken, TranslatableText, UtcDateTime, translatable
from app.domain.session_context import session_context

REASONS = ("created", "round robin", "direct", "request", "overdue", "delegate", "bulk", "joined")


class Assignment(Model):  # type: ignore[misc]
    """One stretch of one person having one record; open while ended_on is null."""

    __tablename__ = "assignment"
    __table_args__ = (
        Index("ix_assignment_lead", "lead_id", "ended_on"),
        Index("ix_assignment_ticket", "ticket_id", "ended_on"),
        Index("ix_assignment_user", "user_id", "ended_on"),
        Index("ix_assignment_role", "role", "id"),
        Index("ix_assignment_stead", "stead_of_id", "ended_on"),
        # Set while open, null afterwards: the database allows one open stretch a record and person.
        UniqueConstraint("open_key", name="uq_assignment_open"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), nullable=False)
    started_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: Past assignees have lost access.
    ended_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Table, record and person while it is open.
    open_key: Mapped[str | None] = mapped_column(String(40))
    #: One of REASONS.
    reason: Mapped[str] = mapped_column(String(20), nullable=False)
    #: The role whose turn it was; null = nobody's turn was asked for.
    role: Mapped[str | None] = mapped_column(String(64))
    #: In whose stead, while he is on leave; he gets it back when he returns.
    stead_of_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id", name="fk_assignment_stead"))
    #: Who decided; null = the system.
    by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: Candidates, and who was skipped and why ("Why this person?").
    decision: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)


def choose_assignee(session: Session, values: dict[str, Any], by: int | None, now: datetime) -> team.Decision:
    """Who gets a new record: the next of a role, the one named, or its maker. Raises RuleBroken."""
    if values.get("assign_to_role"):
        decision = team.take_turn(session, values["assign_to_role"], now)
        if decision.user_id is None:
            raise RuleBroken(
                translatable("No one with the role %(role)s is available now.", role=decision.role), "assign_to_role"
            )
        return decision
    if values.get("assignee_id") and values["assignee_id"] != by:
        refuse_absent(session, values["assignee_id"], now, "assign_to")
    return team.Decision(values.get("assignee_id") or by, "")


def assign(
    session: Session,
    record: Any,
    user_id: int,
    reason: str,
    by: int | None,
    now: datetime,
    decision: team.Decision | None = None,
    told: bool = True,
) -> bool:
    """Make the user the current assignee of a lead or ticket: ends the old stretch, writes timeline and notices.

    Who only helped until now begins a new stretch as well. Answers False when he has it already.
    The caller has checked that the person may be assigned.
    """
    old = record.assignee_id
    if old == user_id:
        return False
    if record.id is not None:
        _end_open(session, record, (old, user_id), now)
    record.assignee_id = user_id
    open_assignment(session, record, user_id, reason, by, now, decision, old, told)
    return True


def open_assignment(
    session: Session,
    record: Any,
    user_id: int,
    reason: str,
    by: int | None,
    now: datetime,
    decision: team.Decision | None = None,
    old: int | None = None,
    told: bool = True,
) -> None:
    """Open the stretch of an assignee that the record names already; writes timeline and notices."""
    _open(session, record, user_id, reason, by, now, decision)
    timeline.write(session, record, "assignment", by, now, to=user_id, old=old, reason=reason)
    if told:
        _tell_both(session, record, old, user_id, by, now)


def reassign_many(session: Session, gifts: Sequence[tuple[Any, team.Decision]], reason: str, now: datetime) -> None:
    """What give() does to the stretches, for many records at once whose rows, timeline and notices the caller writes.

    `gifts`: (lead or ticket, the decision that names its next person). Who has the record already keeps his stretch.
    """
    moved = {
        (each.__tablename__, each.id): (each, why) for each, why in gifts if why.user_id not in (None, each.assignee_id)
    }
    ended = [
        row.id
        for row in _open_stretches(session, moved)
        for record, why in [moved["leads" if row.lead_id else "ticket", row.lead_id or row.ticket_id]]
        if row.user_id in (record.assignee_id, why.user_id)
    ]
    step = update(Assignment).where(Assignment.id.in_(ended)).values(ended_on=now, open_key=None)
    session.execute(step, execution_options={"synchronize_session": False})
    same = {"started_on": now, "reason": reason, "by_id": None, "lead_id": None, "ticket_id": None}
    rows = [
        same
        | record_column(record)
        | {
            "user_id": why.user_id,
            "role": why.role or None,
            "stead_of_id": why.substitute_for,
            "decision": why.as_json(),
            "open_key": record_user_key(record, int(why.user_id or 0)),
        }
        for record, why in moved.values()
    ]
    if rows:
        session.execute(insert(Assignment.__table__), rows)


def _open_stretches(session: Session, places: Iterable[tuple[str, int]]) -> list[Any]:
    """Of these (table, id)."""
    columns = (Assignment.id, Assignment.lead_id, Assignment.ticket_id, Assignment.user_id)
    found: list[Any] = []
    # One table after the other: no index serves an OR of both.
    for table, parent in (("leads", Assignment.lead_id), ("ticket", Assignment.ticket_id)):
        if ids := [key for name, key in places if name == table]:
            found += session.execute(select(*columns).where(parent.in_(ids), Assignment.ended_on.is_(None)))
    return found


def _open(
    session: Session,
    record: Any,
    user_id: int,
    reason: str,
    by: int | None,
    now: datetime,
    decision: team.Decision | None = None,
) -> None:
    turn = {"role": decision.role or None, "stead_of_id": decision.substitute_for} if decision else {}
    why = decision.as_json() if decision else {}
    session.add(
        Assignment(
            user_id=user_id,
            started_on=now,
            reason=reason,
            by_id=by,
            decision=why,
            **turn,
            open_key=record_user_key(record, user_id),
            **record_column(record),
        )
    )


def record_user_key(record: Any, user_id: int) -> str:
    """Names a record and a person, for the columns that the database keeps unique."""
    return f"{record.__tablename__}:{record.id}:{user_id}"


def record_column(record: Any) -> dict[str, int]:
    """The column that names a lead or a ticket, with its id."""
    return {"lead_id": record.id} if record.__tablename__ == "leads" else {"ticket_id": record.id}


def _of(record: Any) -> ColumnElement[bool]:
    parent = Assignment.lead_id if record.__tablename__ == "leads" else Assignment.ticket_id
    rule: ColumnElement[bool] = parent == record.id
    return rule


def _end_open(session: Session, record: Any, user_ids: tuple[int | None, ...], now: datetime) -> None:
    theirs = Assignment.user_id.in_([user for user in user_ids if user is not None])
    step = update(Assignment).where(_of(record), theirs, Assignment.ended_on.is_(None))
    session.execute(step.values(ended_on=now, open_key=None), execution_options={"synchronize_session": False})


def _tell_both(session: Session, record: Any, old: int | None, new: int, by: int | None, now: datetime) -> None:
    says = {"number": record.number}
    notices.notify(session, [new], "assigned", _event("assigned", record, now), record, by, now, **says)
    if old is not None:
        notices.notify(session, [old], "unassigned", _event("unassigned", record, now), record, by, now, to=new, **says)


def _event(what: str, record: Any, now: datetime) -> str:
    return f"{what}:{record.__tablename__}:{record.id}:{now.isoformat()}"


def refuse_absent(session: Session, user_id: int, now: datetime, field: str = "assignee") -> Any:
    """The user row, or RuleBroken when nobody of that id is here and takes work.

    Moments in the sentence are in the zone of the session's context.
    """
    user = session.get(User, user_id)
    if user is None:
        raise RuleBroken("There is no such colleague. Please choose someone else.", field)
    away = team.absence(user, now)
    if away:
        raise RuleBroken(_in_words(session, user, away, now), field)
    return user


def _in_words(session: Session, user: Any, away: team.Absence, now: datetime) -> TranslatableText:
    delegate = session.get(User, user.delegate_id) if user.delegate_id else None
    other = team.substitute(team.TurnPosition(user, delegate), now)
    advice = translatable("Please choose someone else.")
    if delegate and other:
        advice = translatable("%(name)s is covering.", name=delegate.get_full_name())
    words = {"name": user.get_full_name(), "why": translatable(away.why), "advice": advice}
    if away.until is None:
        return translatable("%(name)s is %(why)s and can't take new work now. %(advice)s", **words)
    until = f"{away.until.astimezone(session_context(session).zone):%-d %b %Y, %H:%M}"
    return translatable(
        "%(name)s is %(why)s until %(until)s and can't take new work now. %(advice)s", until=until, **words
    )


# --- several people on one ticket


def lock(session: Session, record: Any) -> Any:
    """Lock the record and read it anew, so that what is decided about it now is decided about what it is."""
    session.refresh(record, with_for_update=True)
    return record


def current_assignees(session: Session, record: Any) -> list[int]:
    """Everybody who has the record now, the longest first."""
    open_now = select(Assignment.user_id).where(_of(record), Assignment.ended_on.is_(None)).order_by(Assignment.id)
    everybody = dict.fromkeys(session.scalars(open_now))
    if record.assignee_id is not None:
        everybody.setdefault(record.assignee_id)
    return list(everybody)


def add_assignee(session: Session, ticket: Any, user_id: int, by: int | None, now: datetime) -> bool:
    """One more person has the ticket beside the current one; where nobody has it, he becomes the current one.

    Answers False when he has it already. Raises RuleBroken for a lead, which has one assignee.
    """
    if ticket.__tablename__ != "ticket":
        raise RuleBroken("A lead has only one assignee. Assign it to someone else instead.", "user")
    lock(session, ticket)
    if user_id in current_assignees(session, ticket):
        return False
    if ticket.assignee_id is None:
        return assign(session, ticket, user_id, "direct", by, now)
    _open(session, ticket, user_id, "joined", by, now)
    ticket.stamp(by, now)
    timeline.write(session, ticket, "assignment", by, now, what="joined", to=user_id)
    says = {"number": ticket.number, "beside": ticket.assignee_id}
    notices.notify(session, [user_id], "assigned", _event("joined", ticket, now), ticket, by, now, **says)
    return True


def remove_assignee(session: Session, record: Any, user_id: int, by: int | None, now: datetime) -> int:
    """The person does not have the record any more; answers who is the current assignee now.

    After the current one comes who has had it longest, those at work before those away.
    Raises NotFound for somebody who does not have it, RuleBroken for the only one.
    """
    lock(session, record)
    others = current_assignees(session, record)
    if user_id not in others:
        raise NotFound("This person isn't assigned to the record.")
    others.remove(user_id)
    if not others:
        raise RuleBroken("No one else is assigned. Assign it to someone else instead.", "user")
    was_current = record.assignee_id == user_id
    _end_open(session, record, (user_id,), now)
    if was_current:
        away = {user.id for user in session.scalars(select(User).where(User.id.in_(others))) if team.absence(user, now)}
        record.assignee_id = min(others, key=lambda each: each in away)
    record.stamp(by, now)
    _tell_released(session, record, user_id, was_current, by, now)
    return int(record.assignee_id)


def _tell_released(session: Session, record: Any, gone: int, was_current: bool, by: int | None, now: datetime) -> None:
    heir = record.assignee_id if was_current else None
    timeline.write(session, record, "assignment", by, now, what="released", old=gone, to=heir)
    says = {"number": record.number}
    notices.notify(session, [gone], "unassigned", _event("released", record, now), record, by, now, to=None, **says)
    if heir is not None:
        notices.notify(session, [heir], "assigned", _event("assigned", record, now), record, by, now, **says)


# --- what was


def history(session: Session, record: Any) -> list[Assignment]:
    """All stretches of a lead or ticket, newest first."""
    return list(session.scalars(select(Assignment).where(_of(record)).order_by(Assignment.id.desc())))


def latest_turns(session: Session, role: str, limit: int) -> list[Assignment]:
    """The newest assignments by turn of the role, newest first."""
    query = select(Assignment).where(Assignment.role == role).order_by(Assignment.id.desc())
    return list(session.scalars(query.limit(limit)))


def turn_counts(session: Session, role: str, among: int) -> dict[int, tuple[int, datetime]]:
    """User id -> (how many of the role's `among` newest turns were his, when the last one was, UTC).

    A turn that a delegate took is the turn of whom he stood in for.
    """
    whose = func.coalesce(Assignment.stead_of_id, Assignment.user_id).label("whose")
    newest = select(whose, Assignment.started_on).where(Assignment.role == role).order_by(Assignment.id.desc())
    few = newest.limit(among).subquery()
    query = select(few.c.whose, func.count(), func.max(few.c.started_on)).group_by(few.c.whose)
    return {user: (count, last) for user, count, last in session.execute(query)}
