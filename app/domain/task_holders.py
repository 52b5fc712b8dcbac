"""Compares what tasks and assignments say of the holders of leads and tickets, and puts right what differs (ADR 0129).

Lists find tasks by these values only once they have settled: after an upgrade, they are filled in, and a server of the
former version may still change holders without them for a day. The same applies after a way back to a version without
them: it leaves runs of jobs, but not of the one that compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import Boolean, Integer, Select, String, and_, case, func, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.assignment import Assignment
from app.domain.base import UtcDateTime
from app.domain.leads import Lead
from app.domain.maintenance.job_runs import MANUAL_PREFIX, JobRun
from app.domain.persistence import parent_holders
from app.domain.tasks import Task
from app.domain.tickets import Ticket

#: Rows that one transaction compares.
STEP = 1000
#: After an upgrade, servers of the former version may change holders for so long.
SETTLES_IN = timedelta(hours=24)
#: In place of a table: when a process that keeps the values last led the schedule, in `began_on`.
LEADER = "leader"
#: A job that every version runs each minute. If it ran so long after the leader's word, another version has led since.
EVERY_MINUTE, _LATE = "send due reminders", timedelta(seconds=150)
#: All rows are compared again so long after the last time began: until they have settled, and from then on.
_OFTEN, _DAILY = timedelta(minutes=15), timedelta(hours=24)


class HolderCheck(Model):  # type: ignore[misc]
    """How far the rows of one table were compared. Locked meanwhile."""

    __tablename__ = "holder_check"
    #: task or assignment, or LEADER.
    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    #: The id of the last row; 0 = all were compared.
    checked_until: Mapped[int] = mapped_column(Integer, nullable=False)
    #: When the comparing that is under way, or the last one, began, UTC.
    began_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Until when a server of the former version may run, UTC; null = no row was compared yet.
    settles_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Whether the values are complete, and only this version writes rows.
    is_settled: Mapped[bool] = mapped_column(Boolean, nullable=False)


@dataclass(frozen=True)
class ComparedKind:
    """A table whose rows are compared."""

    record: Any
    #: (first id exclusive, last id) -> SELECT of (id, lead, ticket) of the rows that differ.
    differing: Callable[[int, int], Select[Any]]
    #: Puts rows right; their leads and tickets are locked.
    correct: Callable[[Session, list[int]], None]


def _differing_tasks(after: int, last: int) -> Select[Any]:
    table, lead, ticket = Task.__table__.c, Lead.__table__, Ticket.__table__
    rules = [
        table[name].is_distinct_from(func.coalesce(lead.c[holder], ticket.c[holder]))
        for holder, name in parent_holders.STORED.items()
    ]
    query = select(table.id, table.lead_id, table.ticket_id).select_from(Task.__table__)
    query = query.outerjoin(lead, lead.c.id == table.lead_id).outerjoin(ticket, ticket.c.id == table.ticket_id)
    return query.where(table.id > after, table.id <= last, or_(*rules))


def _differing_assignments(after: int, last: int) -> Select[Any]:
    """Open assignments beside the main assignee that don't say so, and others that do."""
    table, ticket = Assignment.__table__.c, Ticket.__table__
    query = select(table.id, table.lead_id, table.ticket_id).select_from(Assignment.__table__)
    query = query.outerjoin(ticket, ticket.c.id == table.ticket_id).where(table.id > after, table.id <= last)
    is_open = and_(table.ended_on.is_(None), table.ticket_id.is_not(None))
    right = case((and_(is_open, table.user_id != func.coalesce(ticket.c.assignee_id, 0)), table.user_id))
    return query.where(table.beside_id.is_distinct_from(right))


#: Name of a check -> the table.
KINDS = {
    "task": ComparedKind(Task, _differing_tasks, parent_holders.write_tasks),
    "assignment": ComparedKind(Assignment, _differing_assignments, parent_holders.write_assignments),
}


def is_settled(session: Session) -> bool:
    """Whether tasks can be found by these values."""
    settled = select(func.count()).where(HolderCheck.is_settled.is_(True), HolderCheck.name.in_(KINDS))
    return session.scalar(settled) == len(KINDS) and not was_without(session)


def was_without(session: Session) -> bool:
    """Whether a version that doesn't keep the values has led the schedule since one that does."""
    led_on = session.scalar(select(HolderCheck.began_on).where(HolderCheck.name == LEADER))
    if led_on is None:
        return False
    by_itself = (JobRun.job == EVERY_MINUTE, JobRun.slot.not_like(f"{MANUAL_PREFIX}%"))
    last = session.scalar(select(JobRun.started_on).where(*by_itself).order_by(JobRun.started_on.desc()).limit(1))
    return last is not None and last > led_on + _LATE


def note_leader(session: Session, now: datetime) -> bool:
    """Note that the process that leads the schedule keeps the values. Returns whether a former one did not.

    Then nothing relies on them until they have settled again, as after an upgrade.
    """
    was_away = was_without(session)
    for state in session.scalars(select(HolderCheck).where(HolderCheck.name.in_(KINDS))) if was_away else ():
        state.is_settled, state.checked_until, state.began_on, state.settles_on = False, 0, None, None
    _store_leader(session, now)
    return was_away


def _store_leader(session: Session, now: datetime) -> None:
    state = session.get(HolderCheck, LEADER) or HolderCheck(name=LEADER, is_settled=False, checked_until=0)
    state.began_on = now
    session.add(state)


def waiting(session: Session, now: datetime) -> list[str]:
    """The tables whose rows are to be compared now."""
    if was_without(session):
        return list(KINDS)
    states = session.scalars(select(HolderCheck).where(HolderCheck.name.in_(KINDS)))
    return [state.name for state in states if _is_due(state, now)]


def _is_due(state: HolderCheck, now: datetime) -> bool:
    return (
        state.checked_until > 0
        or state.began_on is None
        or state.began_on <= now - (_DAILY if state.is_settled else _OFTEN)
    )


def check_next(session: Session, name: str, now: datetime) -> tuple[int, int]:
    """Compare the next rows of a table, in the caller's transaction. Returns (rows compared, rows that differed).

    (0, 0) if they were all compared a short time ago.
    """
    query = select(HolderCheck).where(HolderCheck.name == name).with_for_update()
    state = session.scalars(query.execution_options(populate_existing=True)).one()
    if not _is_due(state, now):
        return 0, 0
    if state.checked_until == 0:
        state.began_on, state.settles_on = now, state.settles_on or now + SETTLES_IN
    kind = KINDS[name]
    ids = kind.record.__table__.c.id
    keys = list(session.scalars(select(ids).where(ids > state.checked_until).order_by(ids).limit(STEP)))
    differed = _correct(session, kind, state.checked_until, keys[-1]) if keys else 0
    if len(keys) < STEP:
        state.checked_until = 0
        state.is_settled = state.is_settled or (state.settles_on or now) <= (state.began_on or now)
    else:
        state.checked_until = keys[-1]
    return max(1, len(keys)), differed


def _correct(session: Session, kind: ComparedKind, after: int, last: int) -> int:
    """Put right the rows that differ, and return how many. Leads and tickets are locked before them, as by others."""
    rows = session.execute(kind.differing(after, last)).all()
    for parent, place in ((Lead, 1), (Ticket, 2)):
        ids = parent.__table__.c.id
        held = sorted({row[place] for row in rows if row[place] is not None})
        if held:
            session.execute(select(ids).where(ids.in_(held)).order_by(ids).with_for_update(read=True)).all()
    if rows:
        kind.correct(session, [row[0] for row in rows])
    return len(rows)


def differing(session: Session, name: str) -> int:
    """How many rows of a table differ, all read in steps."""
    table, kind = KINDS[name].record.__table__, KINDS[name]
    last = session.scalar(select(func.max(table.c.id))) or 0
    return sum(len(session.execute(kind.differing(after, after + STEP)).all()) for after in range(0, last, STEP))


def settle(session: Session, name: str, now: datetime) -> None:
    """Compare all rows of a table from the first one on, and rely on them from then on; commits after each step.

    For an operator who knows that no server of a former version runs.
    """
    state = session.get(HolderCheck, name) or HolderCheck(name=name, is_settled=False)
    state.checked_until, state.began_on, state.settles_on = 0, None, now
    session.add(state)
    _store_leader(session, now)
    session.commit()
    while check_next(session, name, now)[0] == STEP:
        session.commit()
    session.commit()
