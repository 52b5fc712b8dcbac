"""Tasks that the CRM has made for an open lead or ticket, when that is merged into a closed one: they close with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import leads, task_closing, tickets
from app.domain.change_context import ChangeContext
from app.domain.leads import Lead
from app.domain.merging.merge_rows import MergeLedger
from app.domain.picklists import LeadStatus, TicketStatus
from app.domain.tasks import Task
from app.domain.tickets import Ticket
from app.lib.batches import batched

#: Record -> its statuses, and the meanings of closed ones.
_CLOSED: dict[Any, tuple[Any, frozenset[str]]] = {
    Lead: (LeadStatus, frozenset(leads.TERMINAL)),
    Ticket: (TicketStatus, frozenset(tickets.ENDED)),
}
#: Columns of a task that depend on whether it is open.
_CHANGED = ("status", "done_on", "remind_on")
#: Ids per statement.
_AT_ONCE = 500


def superfluous(session: Session, rows: Sequence[Any], status_id: int, context: ChangeContext) -> list[int]:
    """The ids of the tasks that close when these records become one of this status, read before they move.

    Empty if it is open. Those of records that are closed already were left open on purpose. Raises RuleBroken if they
    are too many.
    """
    picklist, closed = _CLOSED.get(type(rows[0]), (None, frozenset()))
    if picklist is None or session.get_one(picklist, status_id).meaning not in closed:
        return []
    found = task_closing.generated_of(session, [row for row in rows if row.status.meaning not in closed], context)
    return [task.id for task in found]


def close(session: Session, kept: Any, ids: Sequence[int], context: ChangeContext, ledger: MergeLedger) -> None:
    """Close these tasks, which belong to the remaining record now, and note for the undo what they were."""
    found: list[Task] = []
    for some in batched(ids, _AT_ONCE):
        found += session.scalars(select(Task).where(Task.id.in_(some)), execution_options={"populate_existing": True})
    before = {task.id: _columns(task) for task in found}
    task_closing.close_generated(session, kept, found, context)
    session.flush()
    alike: dict[str, list[Any]] = {}
    for task in found:
        for name, old in before[task.id].items():
            if (new := getattr(task, name)) != old:
                alike.setdefault(f"{name}: {old} {new}", [name, old, new, []])[-1].append(task.id)
    for name, old, new, rows in alike.values():
        ledger.changed(Task.__table__.c[name], old, new, rows)


def _columns(task: Task) -> dict[str, Any]:
    """What closing changes, besides the stamps."""
    return {name: getattr(task, name) for name in _CHANGED}
