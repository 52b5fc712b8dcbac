"""Overdue tasks move to a colleague: one record at a time, all of its overdue tasks to the same person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from app.domain import assignment, clock, leads, notices, reminders, settings, tasks, team, tickets, timeline
from app.domain.base import RuleBroken
from app.domain.leads import Lead
from app.domain.settings import BusinessSetting, LeadStatus, TicketStatus
from app.domain.tasks import Task
from app.domain.tickets import Ticket

#: kind -> (record, role that serves it unless the record names one, meanings of the end).
KINDS: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "lead": (Lead, "Sales User", leads.TERMINAL),
    "ticket": (Ticket, "Support User", tickets.ENDED),
}


@dataclass(frozen=True)
class Terms:
    """What a manager may turn: minutes of office time."""

    #: So long a task may be overdue before it moves.
    grace_minutes: int = 30
    #: So long the next person gets.
    retry_minutes: int = 540


def terms(session: Session) -> Terms:
    """The settings as they stand now."""
    known = {key: settings.KNOWN[key][0] for key in ("grace_minutes", "retry_minutes")}
    chosen = select(BusinessSetting.key, BusinessSetting.value).where(BusinessSetting.key.in_(known))
    return Terms(**known | {row.key: row.value for row in session.execute(chosen)})


def due_records(
    session: Session, now: datetime, grace_minutes: int, office: clock.Office, limit: int
) -> list[tuple[str, int]]:
    """Records with a task that is overdue beyond the grace, oldest first; none while the office is closed."""
    if not clock.is_open(office, now):
        return []
    query = (
        select(Task.lead_id, Task.ticket_id, Task.due_on)
        .outerjoin(Lead, Lead.id == Task.lead_id)
        .outerjoin(Ticket, Ticket.id == Task.ticket_id)
        .where(*_watched(now, grace_minutes), _record_lives())
        .order_by(Task.due_on, Task.id)
        .limit(limit)
    )
    late = [row for row in session.execute(query) if _is_late(row.due_on, now, grace_minutes, office)]
    found = [("lead", row.lead_id) if row.lead_id is not None else ("ticket", row.ticket_id) for row in late]
    return list(dict.fromkeys(found))


def _watched(now: datetime, grace_minutes: int) -> tuple[ColumnElement[bool], ...]:
    """What the index can say: office time never passes faster than the wall clock."""
    latest = now - timedelta(minutes=grace_minutes)
    return Task.exhausted.is_(False), Task.status.in_(tasks.WATCHED), Task.due_on < latest


def _record_lives() -> ColumnElement[bool]:
    ended_leads = select(LeadStatus.id).where(LeadStatus.meaning.in_(leads.TERMINAL))
    ended_tickets = select(TicketStatus.id).where(TicketStatus.meaning.in_(tickets.ENDED))
    return or_(Lead.status_id.not_in(ended_leads), Ticket.status_id.not_in(ended_tickets))


def _is_late(due_on: datetime, now: datetime, grace_minutes: int, office: clock.Office) -> bool:
    return clock.open_between(office, due_on, now) > timedelta(minutes=grace_minutes)


def reassign_record(
    session: Session, kind: str, record_id: int, now: datetime, office: clock.Office, terms: Terms
) -> str:
    """Hand all overdue tasks of one record to the next in turn. The caller commits: one record, one transaction.

    Answers reassigned, exhausted (nobody is left), or skipped (locked, gone, ended, or not overdue any more).
    """
    record = _locked(session, kind, record_id)
    if record is None or record.status.meaning in KINDS[kind][2]:
        return "skipped"
    late = _late_tasks(session, kind, record_id, now, office, terms)
    if not late:
        return "skipped"
    decision = _next(session, record.assigned_role or KINDS[kind][1], now, late)
    if decision.user_id is None:
        _exhaust(session, record, late, decision, now)
        return "exhausted"
    _hand_over(session, record, late, decision, now, clock.after(office, now, timedelta(minutes=terms.retry_minutes)))
    return "reassigned"


def _locked(session: Session, kind: str, record_id: int) -> Any:
    """The record under its lock; None where somebody else holds it: the next minute comes back to it."""
    record = KINDS[kind][0]
    query = select(record).where(record.id == record_id).with_for_update(skip_locked=True, of=record)
    return session.scalars(query, execution_options={"populate_existing": True}).first()


def _late_tasks(
    session: Session, kind: str, record_id: int, now: datetime, office: clock.Office, terms: Terms
) -> list[Task]:
    """The record's overdue tasks as they are under its lock, oldest first."""
    parent = Task.lead_id == record_id if kind == "lead" else Task.ticket_id == record_id
    query = select(Task).where(parent, *_watched(now, terms.grace_minutes)).order_by(Task.due_on, Task.id)
    found = session.scalars(query, execution_options={"populate_existing": True})
    return [task for task in found if task.due_on and _is_late(task.due_on, now, terms.grace_minutes, office)]


def _next(session: Session, role: str, now: datetime, late: list[Task]) -> team.Decision:
    """Whose turn it is among those who had none of these tasks; nobody, with the reason, where the role is gone."""
    had = {user for task in late for user in (*task.tried, task.assignee_id) if user is not None}
    try:
        return team.next_in_turn(session, role, now, frozenset(had))
    except RuleBroken:
        return team.Decision(None, role)


# --- Somebody takes it


def _hand_over(
    session: Session, record: Any, late: list[Task], decision: team.Decision, now: datetime, due_on: datetime
) -> None:
    taker = session.get_one(User, decision.user_id)
    _tell_taken(session, record, late, taker.id, now)
    first, old_due = late[0], late[0].due_on
    for task in late:
        _pass_on(task, taker, due_on, now)
    held = record.assignee_id
    assignment.give(session, record, taker.id, "overdue", None, now, decision, told=False)
    if held == taker.id:  # it was his already, only its tasks were not: still one line says so
        timeline.write(session, record, "assignment", None, now, to=taker.id, old=held, reason="overdue")
    record.stamp(None, now)
    session.flush()
    says = {"number": record.number, "title": first.title, "tasks": len(late), "due": due_on.isoformat()}
    notices.tell(session, [taker.id], "task_assigned", _key("given", first, old_due), first, None, now, **says)


def _pass_on(task: Task, taker: Any, due_on: datetime, now: datetime) -> None:
    """The round goes on: `tried` grows, which a re-dating by hand would empty."""
    if task.assignee_id is not None and task.assignee_id not in task.tried:
        task.tried = [*task.tried, task.assignee_id]
    task.assignee_id, task.due_on = taker.id, due_on
    task.arm(reminders.offsets_of(taker), now)
    task.stamp(None, now)


def _tell_taken(session: Session, record: Any, late: list[Task], taker_id: int, now: datetime) -> None:
    """Each person who loses tasks hears it once, whatever their number."""
    for user in dict.fromkeys(task.assignee_id for task in late if task.assignee_id not in (None, taker_id)):
        his = [task for task in late if task.assignee_id == user]
        key, says = _key("taken", his[0], his[0].due_on), {"number": record.number, "tasks": len(his), "to": taker_id}
        notices.tell(session, [user], "task_taken", key, his[0], None, now, title=his[0].title, **says)


def _key(what: str, task: Task, due_on: datetime | None) -> str:
    """Names one overdue period of one task, so that it is handled once."""
    return f"{what}:{task.id}:{due_on.isoformat() if due_on else ''}"


# --- Nobody is left


def _exhaust(session: Session, record: Any, late: list[Task], decision: team.Decision, now: datetime) -> None:
    first = late[0]
    for task in late:
        task.exhausted = True
        task.stamp(None, now)
    record.exhausted_task_id = first.id
    text = f"Nobody with the role {decision.role} is left to take the overdue task “{first.title}”."
    timeline.write(session, record, "system", None, now, text=text, what="exhausted", task=first.id,
                   decision=decision.as_json())  # fmt: skip
    session.flush()
    people = _answerable(session, [task.assignee_id for task in late])
    says = {"number": record.number, "title": first.title, "role": decision.role, "tasks": len(late)}
    notices.tell(session, people, "exhausted", _key("exhausted", first, first.due_on), first, None, now, **says)


def _answerable(session: Session, assignees: Iterable[int | None]) -> list[int]:
    """The managers above whoever has the tasks, and all admins; those who still work here."""
    above = [manager for user in dict.fromkeys(assignees) if user for manager in team.managers_above(session, user)]
    admins = [user.id for user in team.members(session, team.role_named(session, "Admin").id)]
    working = select(User.id).where(User.id.in_({*above, *admins}), User.active.is_(True)).order_by(User.id)
    return list(session.scalars(working))
