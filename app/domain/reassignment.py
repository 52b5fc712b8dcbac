"""Overdue tasks move to a colleague: all overdue tasks of a record together, to the same person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session, load_only

from app.domain import leads, office_hours, settings, tasks, team, tickets
from app.domain.base import RuleBroken
from app.domain.leads import Lead
from app.domain.reassignment_batch import ReassignmentBatch, RecordToReassign
from app.domain.settings import BusinessSetting, LeadStatus, TicketStatus
from app.domain.tasks import Task
from app.domain.tickets import Ticket

#: kind -> (record, its statuses, role that serves it unless the record names one, meanings of the end).
KINDS: dict[str, tuple[Any, Any, str, tuple[str, ...]]] = {
    "lead": (Lead, LeadStatus, "Sales User", leads.TERMINAL),
    "ticket": (Ticket, TicketStatus, "Support User", tickets.ENDED),
}
#: What is read of a record and of a task: no more than the rules ask for.
_OF_RECORD = (
    "number",
    "status_id",
    "assignee_id",
    "assigned_role",
    "customer_id",
    "exhausted_task_id",
    "changed_on",
    "changed_by_id",
)
_OF_TASK = (
    Task.title,
    Task.status,
    Task.due_on,
    Task.assignee_id,
    Task.lead_id,
    Task.ticket_id,
    Task.exhausted,
    Task.tried,
    Task.remind_on,
)


@dataclass(frozen=True)
class ReassignmentTerms:
    """What a manager may turn: minutes of office time."""

    #: So long a task may be overdue before it moves.
    grace_minutes: int = 30
    #: So long the next person gets.
    retry_minutes: int = 540


@dataclass(frozen=True)
class ReassignmentPass:
    """What one pass goes by; all of it UTC."""

    now: datetime
    #: What was due before it has been overdue for longer than the grace.
    late_before: datetime
    #: Until when whoever takes a task has time.
    due_on: datetime


def load_terms(session: Session) -> ReassignmentTerms:
    """The settings as they stand now."""
    known = {key: settings.DEFINITIONS[key][0] for key in ("grace_minutes", "retry_minutes")}
    chosen = select(BusinessSetting.key, BusinessSetting.value).where(BusinessSetting.key.in_(known))
    return ReassignmentTerms(**known | {row.key: row.value for row in session.execute(chosen)})


def pass_at(now: datetime, office: office_hours.Office, terms: ReassignmentTerms) -> ReassignmentPass:
    """What a pass at `now` goes by. Raises clock.NeverOpens."""
    grace, retry = timedelta(minutes=terms.grace_minutes), timedelta(minutes=terms.retry_minutes)
    return ReassignmentPass(
        now, office_hours.subtract_open_time(office, now, grace), office_hours.add_open_time(office, now, retry)
    )


# --- Finding


def due_records(
    session: Session, now: datetime, grace_minutes: int, office: office_hours.Office, limit: int
) -> list[tuple[str, int]]:
    """Records with a task that is overdue beyond the grace, oldest first; none while the office is closed."""
    if not office_hours.is_open(office, now):
        return []
    query = (
        select(Task.lead_id, Task.ticket_id)
        .outerjoin(Lead, Lead.id == Task.lead_id)
        .outerjoin(Ticket, Ticket.id == Task.ticket_id)
        .where(
            *_watched(office_hours.subtract_open_time(office, now, timedelta(minutes=grace_minutes))), _record_lives()
        )
        .order_by(Task.due_on, Task.id)
        .limit(limit)
    )
    return list(dict.fromkeys(_record_of(row) for row in session.execute(query)))


def _watched(late_before: datetime) -> tuple[ColumnElement[bool], ...]:
    return Task.exhausted.is_(False), Task.status.in_(tasks.ACTIVE), Task.due_on < late_before


def _record_lives() -> ColumnElement[bool]:
    ended = (
        record.status_id.not_in(select(status.id).where(status.meaning.in_(meanings)))
        for record, status, _, meanings in KINDS.values()
    )
    return or_(*ended)


def _record_of(task: Any) -> tuple[str, int]:
    return ("lead", task.lead_id) if task.lead_id is not None else ("ticket", task.ticket_id)


# --- Deciding


def reassign_record(
    session: Session, kind: str, record_id: int, now: datetime, office: office_hours.Office, terms: ReassignmentTerms
) -> str:
    """Hand all overdue tasks of one record to the next in turn: reassign() for one."""
    return reassign(session, [(kind, record_id)], pass_at(now, office, terms))[0]


def reassign(session: Session, found: Sequence[tuple[str, int]], at: ReassignmentPass) -> list[str]:
    """Hand on the overdue tasks of these records (kind, id), those of each to the next in turn.

    Answers in order: reassigned, exhausted (nobody is left), or skipped (locked by somebody else, gone, ended, or not
    overdue any more). The caller commits: one transaction. It waits for the pointers of the roles only, which come
    first; whatever else somebody holds is left to the next minute, so nobody waits for us in a circle.
    """
    roles = _roles(session, found)
    turns = {role: _turns(session, role) for role in sorted(set(roles.values()))}
    cases = _cases(session, roles, at)
    sheet = ReassignmentBatch(at.now, at.due_on)
    for place in found:
        if case := cases.get(place):
            decision = _next(turns[case.role], case, at.now)
            sheet.exhaust(case, decision) if decision.user_id is None else sheet.hand_over(case, decision)
    sheet.write(session)
    return [sheet.answers.get(place, "skipped") for place in found]


def _roles(session: Session, found: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """(kind, id) -> the role that serves the record."""
    roles: dict[tuple[str, int], str] = {}
    for kind, (record, _, usual, _) in KINDS.items():
        if ids := _ids(found, kind):
            query = select(record.id, record.assigned_role).where(record.id.in_(ids))
            roles |= {(kind, key): role or usual for key, role in session.execute(query)}
    return roles


def _ids(places: Iterable[tuple[str, int]], kind: str) -> list[int]:
    return sorted(key for each, key in places if each == kind)


def _turns(session: Session, role: str) -> team.LockedTurns | None:
    """The locked line of the role; None where the role is gone."""
    try:
        return team.lock_turns(session, role)
    except RuleBroken:
        return None


def _next(turns: team.LockedTurns | None, case: RecordToReassign, now: datetime) -> team.Decision:
    """Whose turn it is among those who had none of these tasks."""
    had = {user for task in case.late for user in (*task.tried, task.assignee_id) if user is not None}
    return turns.next(now, frozenset(had)) if turns else team.Decision(None, case.role)


# --- Locking


def _cases(
    session: Session, roles: dict[tuple[str, int], str], at: ReassignmentPass
) -> dict[tuple[str, int], RecordToReassign]:
    """The records that are ours now, with their overdue tasks."""
    records = {
        (kind, record.id): record for kind in KINDS for record in _locked_records(session, kind, _ids(roles, kind))
    }
    late = _locked_tasks(session, records, at)
    cases = {
        place: RecordToReassign(place, roles[place], record, late.get(place, [])) for place, record in records.items()
    }
    # Whose role was changed meanwhile waits a minute: the pointer of the new one is not ours.
    return {place: case for place, case in cases.items() if case.late and case.is_served_by(KINDS[place[0]][2])}


def _locked_records(session: Session, kind: str, ids: list[int]) -> list[Any]:
    """Those that live and that nobody else holds."""
    if not ids:
        return []
    record, status, _, meanings = KINDS[kind]
    ended = set(session.scalars(select(status.id).where(status.meaning.in_(meanings))))
    columns = [getattr(record, name) for name in _OF_RECORD] + ([Ticket.lead_id] if record is Ticket else [])
    rows = _locked(session, record, ids, columns)
    return [row for row in rows if row.status_id not in ended]


def _locked_tasks(
    session: Session, records: dict[tuple[str, int], Any], at: ReassignmentPass
) -> dict[tuple[str, int], list[Task]]:
    """The overdue tasks of each record, oldest first; none of a record when somebody else holds one of them."""
    wanted = _late_ids(session, records, at)
    if not wanted:
        return {}
    ours = {task.id: task for task in _locked(session, Task, sorted(wanted), _OF_TASK)}
    held_by_others = {place for key, place in wanted.items() if key not in ours}
    late: dict[tuple[str, int], list[Task]] = {}
    for task in sorted(ours.values(), key=lambda task: (task.due_on, task.id)):
        place = wanted[task.id]
        if place not in held_by_others and _is_late(task, at):
            late.setdefault(place, []).append(task)
    return late


def _late_ids(session: Session, places: Iterable[tuple[str, int]], at: ReassignmentPass) -> dict[int, tuple[str, int]]:
    """Overdue task -> its record. One kind after the other: no index serves an OR of both."""
    wanted: dict[int, tuple[str, int]] = {}
    for kind, parent in (("lead", Task.lead_id), ("ticket", Task.ticket_id)):
        if ids := _ids(places, kind):
            query = select(Task.id, parent.label("parent")).where(parent.in_(ids), *_watched(at.late_before))
            wanted |= {row.id: (kind, row.parent) for row in session.execute(query)}
    return wanted


def _is_late(task: Task, at: ReassignmentPass) -> bool:
    """The same as _watched, said of a row under its lock."""
    watched = task.status in tasks.ACTIVE and not task.exhausted
    return watched and task.due_on is not None and task.due_on < at.late_before


def _locked(session: Session, record: Any, ids: list[int], columns: Sequence[Any]) -> list[Any]:
    """The rows under their locks, as they are now; without those that somebody else holds."""
    query = select(record).options(load_only(*columns)).where(record.id.in_(ids)).order_by(record.id)
    locked = query.with_for_update(skip_locked=True)
    return list(session.scalars(locked, execution_options={"populate_existing": True}))
