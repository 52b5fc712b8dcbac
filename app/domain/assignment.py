"""Assignments: who works on which lead or ticket, since when and why. A ticket can have several assignees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import JSON, ColumnElement, ForeignKey, Index, Integer, String, UniqueConstraint, func, select, update
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import round_robin, task_handover, timeline
from app.domain.base import RECORD_COLUMNS, NotFound, RuleBroken, Stamp, TranslatableText, UtcDateTime, translatable
from app.domain.notifications import notices
from app.domain.people.users import Absence, absence
from app.domain.persistence import bulk_statements, history_rows, parent_holders, record_locks, recount_marks
from app.domain.persistence.session_context import session_context

REASONS = ("created", "round robin", "direct", "request", "overdue", "delegate", "bulk", "joined")


class Assignment(Model):  # type: ignore[misc]
    """A period in which a user is assigned to a record; open while ended_on is null."""

    __tablename__ = "assignment"
    __table_args__ = (
        Index("ix_assignment_lead", "lead_id", "ended_on"),
        Index("ix_assignment_ticket", "ticket_id", "ended_on"),
        # The tickets that somebody shares, in the order of their list.
        Index("ix_assignment_user_ticket", "user_id", "ended_on", "ticket_id"),
        # The tickets that somebody has beside the main assignee.
        Index("ix_assignment_beside", "beside_id", "ticket_id"),
        Index("ix_assignment_user_started", "user_id", "started_on", "lead_id"),
        Index("ix_assignment_role", "role", "id"),
        Index("ix_assignment_started", "started_on"),
        Index("ix_assignment_stead", "stead_of_id", "ended_on"),
        # Set while open, null afterwards: the database allows one open assignment per record and user.
        UniqueConstraint("open_key", name="uq_assignment_open"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), nullable=False)
    started_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: Null while it is open. Past assignees have no access.
    ended_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Table, record id and user id while it is open, else null.
    open_key: Mapped[str | None] = mapped_column(String(40))
    #: The user while they are one of several assignees of a ticket, and not the main one: only for finding tickets, and
    #: written by `parent_holders` alone.
    beside_id: Mapped[int | None] = mapped_column(Integer)
    #: One of REASONS.
    reason: Mapped[str] = mapped_column(String(20), nullable=False)
    #: The role whose round robin chose the user; null = none.
    role: Mapped[str | None] = mapped_column(String(64))
    #: The user on leave whom this one substitutes; they get the record back when they return.
    stead_of_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id", name="fk_assignment_stead"))
    #: Who decided; null = the system.
    by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: Candidates, and who was skipped and why.
    decision: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)


@dataclass(frozen=True)
class NewAssignee:
    """The user who gets a record, and why."""

    user_id: int
    #: One of REASONS.
    reason: str
    #: The round-robin decision that chose the user.
    decision: round_robin.TurnDecision | None = None
    notify: bool = True
    #: The former assignee.
    previous_id: int | None = None


def choose_assignee(session: Session, values: dict[str, Any], stamp: Stamp) -> round_robin.TurnDecision:
    """Choose the assignee of a new record: the next user of a role, the given user, or its author.

    Raises RuleBroken.
    """
    if values.get("assign_to_role"):
        decision = round_robin.take_turn(session, values["assign_to_role"], stamp.now)
        if decision.user_id is None:
            raise RuleBroken(
                translatable("No one with the role %(role)s is available now.", role=decision.role), "assign_to_role"
            )
        return decision
    if values.get("assignee_id") and values["assignee_id"] != stamp.by:
        refuse_absent(session, values["assignee_id"], stamp.now, "assign_to")
    return round_robin.TurnDecision(values.get("assignee_id") or stamp.by, "")


def assign(session: Session, record: Any, assignee: NewAssignee, stamp: Stamp) -> bool:
    """Make a user the current assignee of a lead or ticket, with timeline and notices.

    Ends the assignment of the former one, whose open tasks of the record go to the user, and the user's own if they
    were an additional assignee. Returns False if the user is the current assignee already. The caller has checked that
    the user may be assigned.
    """
    previous_id = record.assignee_id
    if previous_id == assignee.user_id:
        return False
    record.assignee_id = assignee.user_id
    if record.id is not None:
        # First the record: what refers to it shares a lock of it, and two who then want to update it would deadlock.
        record_locks.write_first(session)
        _end_assignments(session, record, (previous_id, assignee.user_id), stamp.now)
        if previous_id is not None:
            task_handover.hand_over(session, record, previous_id, stamp)
    open_assignment(session, record, replace(assignee, previous_id=previous_id), stamp)
    return True


def open_first(session: Session, record: Any, decision: round_robin.TurnDecision, stamp: Stamp) -> None:
    """Open the first assignment of a new record, as `choose_assignee` decided; does nothing without an assignee."""
    if decision.user_id is None:
        return
    reason = "round robin" if decision.role else "created" if decision.user_id == stamp.by else "direct"
    assignee = NewAssignee(decision.user_id, reason, decision if decision.role else None)
    open_assignment(session, record, assignee, stamp)


def open_assignment(session: Session, record: Any, assignee: NewAssignee, stamp: Stamp) -> None:
    """Open the assignment of the user whom the record already names, with timeline and notices."""
    _add_assignment(session, record, assignee, stamp)
    user_id, previous_id = assignee.user_id, assignee.previous_id
    timeline.write(session, record, "assignment", stamp, to=user_id, old=previous_id, reason=assignee.reason)
    if assignee.notify:
        told = [_Notice(user_id, "assigned")]
        if previous_id is not None:
            told.append(_Notice(previous_id, "unassigned", {"to": user_id}))
        _notify(session, record, told, stamp)


def reassign_many(
    session: Session, decisions: Sequence[tuple[Any, round_robin.TurnDecision]], reason: str, now: datetime
) -> None:
    """End and open assignments as `assign` does, for many records; the caller writes rows, timeline and notices.

    `decisions`: (lead or ticket, who gets it). A record that stays with its assignee keeps its assignment.
    """
    moved = {
        (record.__tablename__, record.id): (record, decision)
        for record, decision in decisions
        if decision.user_id not in (None, record.assignee_id)
    }
    ended = [
        row.id
        for row in _open_assignments(session, moved)
        for record, decision in [moved["leads" if row.lead_id else "ticket", row.lead_id or row.ticket_id]]
        if row.user_id in (record.assignee_id, decision.user_id)
    ]
    statement = update(Assignment).where(Assignment.id.in_(ended)).values(open_key=None, ended_on=now)
    session.execute(statement, execution_options={"synchronize_session": False})
    names = ("by_id", "lead_id", "ticket_id")
    shared = {"started_on": now, "reason": reason, **dict.fromkeys(names)}
    rows = [
        shared
        | record_column(record)
        | _decision_columns(decision)
        | {"user_id": decision.user_id, "open_key": record_user_key(record, int(decision.user_id or 0))}
        for record, decision in moved.values()
    ]
    bulk_statements.insert_rows(session, Assignment, rows)
    for record, _decision in moved.values():
        recount_marks.mark(session, record.__tablename__, [record.id])


def _open_assignments(session: Session, records: Iterable[tuple[str, int]]) -> list[Any]:
    """The open assignments of these records (table, id)."""
    columns = (Assignment.id, Assignment.lead_id, Assignment.ticket_id, Assignment.user_id)
    found: list[Any] = []
    # One table after the other, because no index serves an OR of both.
    for table, parent in (("leads", Assignment.lead_id), ("ticket", Assignment.ticket_id)):
        if ids := [key for name, key in records if name == table]:
            found += session.execute(select(*columns).where(parent.in_(ids), Assignment.ended_on.is_(None)))
    return found


def _add_assignment(session: Session, record: Any, assignee: NewAssignee, stamp: Stamp) -> None:
    columns = {
        "user_id": assignee.user_id,
        "started_on": stamp.now,
        "reason": assignee.reason,
        "by_id": stamp.by,
        "open_key": record_user_key(record, assignee.user_id),
    }
    if assignee.reason == "joined":
        parent_holders.note_assignments(session, [record.id])
    decided = _decision_columns(assignee.decision) if assignee.decision else {"decision": {}}
    recount_marks.mark(session, record.__tablename__, [record.id])
    history_rows.add(session, Assignment, columns | decided | record_column(record))


def _decision_columns(decision: round_robin.TurnDecision) -> dict[str, Any]:
    return {"role": decision.role or None, "stead_of_id": decision.substitute_for, "decision": decision.as_json()}


def record_user_key(record: Any, user_id: int) -> str:
    """A key of a record and a user, for columns that must be unique."""
    return f"{record.__tablename__}:{record.id}:{user_id}"


def record_column(record: Any) -> dict[str, int]:
    """The column that refers to this lead or ticket, with its id."""
    return {RECORD_COLUMNS[record.__tablename__]: record.id}


def _is_of(record: Any) -> ColumnElement[bool]:
    column = getattr(Assignment, RECORD_COLUMNS[record.__tablename__])
    rule: ColumnElement[bool] = column == record.id
    return rule


def _end_assignments(session: Session, record: Any, user_ids: tuple[int | None, ...], now: datetime) -> None:
    theirs = Assignment.user_id.in_([user for user in user_ids if user is not None])
    recount_marks.mark(session, record.__tablename__, [record.id])
    if record.__tablename__ == "ticket":
        parent_holders.note_assignments(session, [record.id])
    statement = update(Assignment).where(_is_of(record), theirs, Assignment.ended_on.is_(None))
    session.execute(statement.values(open_key=None, ended_on=now), execution_options={"synchronize_session": False})


@dataclass(frozen=True)
class _Notice:
    """A notice about an assignment."""

    user_id: int
    #: assigned or unassigned.
    kind: str
    payload: dict[str, Any] = field(default_factory=dict)
    #: The name of the event if it differs from the kind.
    event: str = ""


def _notify(session: Session, record: Any, told: Iterable[_Notice], stamp: Stamp) -> None:
    """Send these notices, in one statement."""
    events = []
    for notice in told:
        key = f"{notice.event or notice.kind}:{record.__tablename__}:{record.id}:{stamp.now.isoformat()}"
        payload = {"number": record.number} | notice.payload
        events.append(notices.NoticeEvent(notice.kind, key, (notice.user_id,), payload, record, stamp.by))
    notices.notify_many(session, events, stamp.now)


def refuse_absent(session: Session, user_id: int, now: datetime, field: str = "assignee") -> Any:
    """The user row. Raises RuleBroken if the user doesn't exist or accepts no new work now.

    Times in the message are in the time zone of the session's context.
    """
    user = session.get(User, user_id)
    if user is None:
        raise RuleBroken("There is no such colleague. Please choose someone else.", field)
    away = absence(user, now)
    if away:
        raise RuleBroken(_absence_text(session, user, away, now), field)
    return user


def _absence_text(session: Session, user: Any, away: Absence, now: datetime) -> TranslatableText:
    delegate = session.get(User, user.delegate_id) if user.delegate_id else None
    substitute = round_robin.substitute(round_robin.TurnPosition(user, delegate), now)
    advice = translatable("Please choose someone else.")
    if delegate and substitute:
        advice = translatable("%(name)s is covering.", name=delegate.get_full_name())
    values = {"name": user.get_full_name(), "why": translatable(away.why), "advice": advice}
    if away.until is None:
        return translatable("%(name)s is %(why)s and can't take new work now. %(advice)s", **values)
    until = f"{away.until.astimezone(session_context(session).zone):%-d %b %Y, %H:%M}"
    return translatable(
        "%(name)s is %(why)s until %(until)s and can't take new work now. %(advice)s", until=until, **values
    )


# --- Several assignees of one ticket


def lock(session: Session, record: Any) -> Any:
    """Lock the record and reload it, so that decisions rest on its current state.

    Raises NotFound if it was deleted or merged meanwhile.
    """
    session.flush()  # reloading would discard this transaction's changes
    try:
        session.refresh(record, with_for_update=True)
    except InvalidRequestError:  # no such row
        raise NotFound("This record was deleted meanwhile.") from None
    return record


def current_assignees(session: Session, record: Any) -> list[int]:
    """Ids of all users who are assigned to the record now, the longest-assigned first."""
    query = select(Assignment.user_id).where(_is_of(record), Assignment.ended_on.is_(None)).order_by(Assignment.id)
    user_ids = dict.fromkeys(session.scalars(query))
    if record.assignee_id is not None:
        user_ids.setdefault(record.assignee_id)
    return list(user_ids)


def add_assignee(session: Session, ticket: Any, user_id: int, stamp: Stamp) -> bool:
    """Assign one more user to the ticket; without a current assignee, they become the current one.

    Returns False when the user is assigned already. Raises RuleBroken for a lead, which has one assignee.
    """
    if ticket.__tablename__ != "ticket":
        raise RuleBroken("A lead has only one assignee. Assign it to someone else instead.", "user")
    lock(session, ticket)
    if user_id in current_assignees(session, ticket):
        return False
    if ticket.assignee_id is None:
        return assign(session, ticket, NewAssignee(user_id, "direct"), stamp)
    _add_assignment(session, ticket, NewAssignee(user_id, "joined"), stamp)
    ticket.stamp(stamp)
    timeline.write(session, ticket, "assignment", stamp, what="joined", to=user_id)
    _notify(session, ticket, [_Notice(user_id, "assigned", {"beside": ticket.assignee_id}, "joined")], stamp)
    return True


def remove_assignee(session: Session, record: Any, user_id: int, stamp: Stamp) -> int:
    """End a user's assignment. Returns the id of the current assignee afterwards.

    The current assignee is succeeded by the longest-assigned other one, absent users last. The user's open tasks of the
    record go to the current assignee.
    Raises NotFound when the user is not assigned, RuleBroken when nobody else is.
    """
    lock(session, record)
    others = current_assignees(session, record)
    if user_id not in others:
        raise NotFound("This person isn't assigned to the record.")
    others.remove(user_id)
    if not others:
        raise RuleBroken("No one else is assigned. Assign it to someone else instead.", "user")
    is_current = record.assignee_id == user_id
    _end_assignments(session, record, (user_id,), stamp.now)
    if is_current:
        record.assignee_id = _successor(session, others, stamp.now)
    record.stamp(stamp)
    task_handover.hand_over(session, record, user_id, stamp)
    successor_id = record.assignee_id if is_current else None
    timeline.write(session, record, "assignment", stamp, what="released", old=user_id, to=successor_id)
    _notify(session, record, [_Notice(user_id, "unassigned", {"to": None}, "released")], stamp)
    if successor_id is not None:
        _notify(session, record, [_Notice(successor_id, "assigned")], stamp)
    return int(record.assignee_id)


def _successor(session: Session, user_ids: list[int], now: datetime) -> int:
    """The first of these users who is not absent, else the first."""
    users = session.scalars(select(User).where(User.id.in_(user_ids)))
    absent = {user.id for user in users if absence(user, now)}
    return min(user_ids, key=lambda user_id: user_id in absent)


# --- History


def history(session: Session, record: Any) -> list[Assignment]:
    """All assignments of a lead or ticket, newest first."""
    return list(session.scalars(select(Assignment).where(_is_of(record)).order_by(Assignment.id.desc())))


def latest_turns(session: Session, role: str, limit: int) -> list[Assignment]:
    """The newest assignments by the role's round robin, newest first."""
    query = select(Assignment).where(Assignment.role == role).order_by(Assignment.id.desc())
    return list(session.scalars(query.limit(limit)))


def turn_counts(session: Session, role: str, among: int) -> dict[int, tuple[int, datetime]]:
    """User id -> (how many of the role's `among` newest turns they had, when the last one was, UTC).

    A turn that a substitute took counts for the user on leave.
    """
    user_id = func.coalesce(Assignment.stead_of_id, Assignment.user_id).label("user_id")
    newest = select(user_id, Assignment.started_on).where(Assignment.role == role).order_by(Assignment.id.desc())
    turns = newest.limit(among).subquery()
    query = select(turns.c.user_id, func.count(), func.max(turns.c.started_on)).group_by(turns.c.user_id)
    return {user: (count, last) for user, count, last in session.execute(query)}
