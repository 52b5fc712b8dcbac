"""Reassignment of overdue tasks: all overdue tasks of a record move together, to the next in turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from app.domain import business_settings, leads, round_robin, tasks, tickets
from app.domain.automation.reassignment_batch import ReassignmentBatch, RecordToReassign
from app.domain.base import RuleBroken
from app.domain.leads import Lead
from app.domain.persistence.bulk_statements import LockedRow
from app.domain.picklists import LeadStatus, TicketStatus
from app.domain.tasks import Task
from app.domain.tickets import Ticket
from app.domain.working_time import office_hours

#: kind -> (record, its statuses, default role, meanings of closed statuses).
KINDS: dict[str, tuple[Any, Any, str, tuple[str, ...]]] = {
    "lead": (Lead, LeadStatus, "Sales User", leads.TERMINAL),
    "ticket": (Ticket, TicketStatus, "Support User", tickets.ENDED),
}
#: Columns that are loaded from a record and a task.
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
#: Besides: where the notices of a ticket lead; what moves with the task of a lead.
_OF_KIND = {"lead": Lead.next_follow_up_on, "ticket": Ticket.lead_id}
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
    """Settings in minutes of office time."""

    #: How long a task may be overdue before it is reassigned.
    grace_minutes: int = business_settings.DEFINITIONS["grace_minutes"][0]
    #: How long the new assignee has.
    retry_minutes: int = business_settings.DEFINITIONS["retry_minutes"][0]


@dataclass(frozen=True)
class ReassignmentPass:
    """The times of one run, UTC."""

    now: datetime
    #: Tasks due before this have been overdue for longer than the grace time.
    overdue_before: datetime
    #: The new due time of reassigned tasks.
    due_on: datetime


def load_terms(session: Session) -> ReassignmentTerms:
    """The current settings of reassignment."""
    return ReassignmentTerms(**business_settings.values_of(session, "grace_minutes", "retry_minutes"))


def pass_at(now: datetime, office: office_hours.OfficeSchedule, terms: ReassignmentTerms) -> ReassignmentPass:
    """The times of a run at `now`. Raises office_hours.NeverOpens."""
    grace, retry = timedelta(minutes=terms.grace_minutes), timedelta(minutes=terms.retry_minutes)
    return ReassignmentPass(
        now, office_hours.subtract_open_time(office, now, grace), office_hours.add_open_time(office, now, retry)
    )


# --- finding


def due_records(
    session: Session, now: datetime, grace_minutes: int, office: office_hours.OfficeSchedule, limit: int
) -> list[tuple[str, int]]:
    """(kind, id) of records with a task overdue beyond the grace time, oldest first; [] while the office is closed."""
    if not office_hours.is_open(office, now):
        return []
    query = (
        select(Task.lead_id, Task.ticket_id)
        .outerjoin(Lead, Lead.id == Task.lead_id)
        .outerjoin(Ticket, Ticket.id == Task.ticket_id)
        .where(
            *_overdue(office_hours.subtract_open_time(office, now, timedelta(minutes=grace_minutes))), _record_is_open()
        )
        .order_by(Task.due_on, Task.id)
        .limit(limit)
    )
    return list(dict.fromkeys(_record_of(row) for row in session.execute(query)))


def _overdue(overdue_before: datetime) -> tuple[ColumnElement[bool], ...]:
    return Task.exhausted.is_(False), Task.status.in_(tasks.ACTIVE), Task.due_on < overdue_before


def _record_is_open() -> ColumnElement[bool]:
    ended = (
        record.status_id.not_in(select(status.id).where(status.meaning.in_(meanings)))
        for record, status, _, meanings in KINDS.values()
    )
    return or_(*ended)


def _record_of(task: Any) -> tuple[str, int]:
    return ("lead", task.lead_id) if task.lead_id is not None else ("ticket", task.ticket_id)


# --- reassigning


def reassign(session: Session, records: Sequence[tuple[str, int]], run: ReassignmentPass) -> list[str]:
    """Reassign the overdue tasks of these records (kind, id), those of each record to the next in turn.

    Returns in order: reassigned, exhausted (nobody is left), or skipped (locked by another transaction, gone, closed,
    or no longer overdue). The caller commits: one transaction. It waits only for the round-robin pointers, which are
    locked first; other locked rows are left to the next run, so that there is no deadlock.
    """
    roles = _roles(session, records)
    turns = {role: _lock_turns(session, role) for role in sorted(set(roles.values()))}
    items = _lock_items(session, roles, run)
    batch = ReassignmentBatch(run.now, run.due_on)
    for key in records:
        if item := items.get(key):
            decision = _next(turns[item.role], item, run.now)
            batch.mark_exhausted(item, decision) if decision.user_id is None else batch.reassign(item, decision)
    batch.write(session)
    return [batch.results.get(key, "skipped") for key in records]


def _roles(session: Session, records: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """(kind, id) -> the role responsible for the record."""
    roles: dict[tuple[str, int], str] = {}
    for kind, (record, _, usual, _) in KINDS.items():
        if ids := _ids(records, kind):
            query = select(record.id, record.assigned_role).where(record.id.in_(ids))
            roles |= {(kind, key): role or usual for key, role in session.execute(query)}
    return roles


def _ids(keys: Iterable[tuple[str, int]], kind: str) -> list[int]:
    return sorted(key for each, key in keys if each == kind)


def _lock_turns(session: Session, role: str) -> round_robin.LockedTurns | None:
    """The locked round robin of the role; None if there is no such role."""
    try:
        return round_robin.lock_turns(session, role)
    except RuleBroken:
        return None


def _next(turns: round_robin.LockedTurns | None, item: RecordToReassign, now: datetime) -> round_robin.TurnDecision:
    """The next in turn among those who have not had any of these tasks."""
    tried = {user for task in item.overdue for user in (*task.tried, task.assignee_id) if user is not None}
    return turns.next(now, frozenset(tried)) if turns else round_robin.TurnDecision(None, item.role)


# --- locking


def _lock_items(
    session: Session, roles: dict[tuple[str, int], str], run: ReassignmentPass
) -> dict[tuple[str, int], RecordToReassign]:
    """The records that this transaction could lock, with their overdue tasks."""
    records = {
        (kind, record.id): record for kind in KINDS for record in _locked_records(session, kind, _ids(roles, kind))
    }
    overdue_tasks = _locked_tasks(session, records, run)
    items = {
        key: RecordToReassign(key, roles[key], record, overdue_tasks.get(key, [])) for key, record in records.items()
    }
    # A record whose role was changed meanwhile waits for the next run: the new role's pointer is not locked.
    return {key: item for key, item in items.items() if item.overdue and item.has_role(KINDS[key[0]][2])}


def _locked_records(session: Session, kind: str, ids: list[int]) -> list[LockedRow]:
    """The open records that this transaction could lock."""
    if not ids:
        return []
    record, status, _, meanings = KINDS[kind]
    ended = set(session.scalars(select(status.id).where(status.meaning.in_(meanings))))
    columns = [getattr(record, name) for name in _OF_RECORD] + [_OF_KIND[kind]]
    rows = _locked(session, record, ids, columns)
    return [row for row in rows if row.status_id not in ended]


def _locked_tasks(
    session: Session, records: dict[tuple[str, int], Any], run: ReassignmentPass
) -> dict[tuple[str, int], list[LockedRow]]:
    """The overdue tasks of each record, oldest first; none if another transaction has locked one of them."""
    record_by_task = _overdue_tasks(session, records, run)
    if not record_by_task:
        return {}
    locked = {task.id: task for task in _locked(session, Task, sorted(record_by_task), _OF_TASK)}
    locked_elsewhere = {key for task_id, key in record_by_task.items() if task_id not in locked}
    overdue_tasks: dict[tuple[str, int], list[LockedRow]] = {}
    for task in sorted(locked.values(), key=lambda task: (task.due_on, task.id)):
        key = record_by_task[task.id]
        if key not in locked_elsewhere and _is_overdue(task, run):
            overdue_tasks.setdefault(key, []).append(task)
    return overdue_tasks


def _overdue_tasks(
    session: Session, keys: Iterable[tuple[str, int]], run: ReassignmentPass
) -> dict[int, tuple[str, int]]:
    """Overdue task id -> its record. One kind after the other: no index serves an OR of both."""
    record_by_task: dict[int, tuple[str, int]] = {}
    for kind, parent in (("lead", Task.lead_id), ("ticket", Task.ticket_id)):
        if ids := _ids(keys, kind):
            query = select(Task.id, parent.label("parent")).where(parent.in_(ids), *_overdue(run.overdue_before))
            record_by_task |= {row.id: (kind, row.parent) for row in session.execute(query)}
    return record_by_task


def _is_overdue(task: LockedRow, run: ReassignmentPass) -> bool:
    """`_overdue` for a locked row."""
    is_watched = task.status in tasks.ACTIVE and not task.exhausted
    return is_watched and task.due_on is not None and task.due_on < run.overdue_before


def _locked(session: Session, record: Any, ids: list[int], columns: Sequence[Any]) -> list[LockedRow]:
    """Lock the rows and read them as they are now; skips those that another transaction has locked."""
    query = select(record.id, *columns).where(record.id.in_(ids)).order_by(record.id)
    return [LockedRow.of(record, row) for row in session.execute(query.with_for_update(skip_locked=True))]
