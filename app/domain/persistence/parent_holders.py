"""Who holds a lead or ticket, stored in the rows that are found by it: in its tasks, and in assignments of a ticket.

An index has the tasks by holder, status and due time, and the tickets that somebody has beside the main assignee. These
columns are only for finding rows (ADR 0129); whether a person sees one is decided by the rule on its lead or ticket.
They are written in the transaction that changes a holder: what changes is noted wherever it is written, and one UPDATE
of each table before the commit derives them from what the lead or ticket says by then. Nothing else writes them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Column, Index, Integer, Table
from sqlalchemy.orm import ORMExecuteState, Session

from app.domain.persistence import statement_rows
from app.domain.persistence.row_effects import Rows
from app.domain.persistence.transaction_state import transaction_state
from app.lib.batches import batched
from app.ops.statements import fast_statements

#: Column of a lead or ticket that names a holder -> the column of its tasks that repeats it.
STORED = {"assignee_id": "parent_assignee_id", "owner_id": "parent_owner_id"}
#: Table of a record -> the column of its tasks.
PARENTS = {"leads": "lead_id", "ticket": "ticket_id"}
#: The user of an open assignment of a ticket, unless they are its main assignee.
_BESIDE = (
    "CASE WHEN ticket_id IS NOT NULL AND ended_on IS NULL AND user_id <> COALESCE("
    "(SELECT assignee_id FROM ticket WHERE ticket.id = assignment.ticket_id), 0) THEN user_id END"
)
#: In place of the id of a ticket: of any.
_ANY = 0
#: Ids of one UPDATE.
_AT_ONCE = 1000


def add_columns(task: Table) -> None:
    """Give the table of tasks its columns, each with the index of somebody's tasks by status and due time."""
    for holder, name in STORED.items():
        column: Column[int] = Column(name, Integer)
        task.append_column(column)
        Index(f"ix_task_parent_{holder.removesuffix('_id')}", column, task.c.status, task.c.due_on)


# --- what changes


def note(session: Session, table: str, keys: Iterable[int]) -> None:
    """Note that the holders of these leads or tickets, or their tasks, change in this transaction."""
    transaction_state(session).held_records |= {(table, int(key)) for key in keys}


def note_saved(session: Session, rows: Rows) -> None:
    """Effect after a flush: note the leads and tickets whose holders change."""
    for row in rows.changed:
        note_row(session, row.__tablename__, [row.id], rows.changed_columns(row))


def note_assignments(session: Session, ticket_ids: Iterable[int]) -> None:
    """Note that the assignments of these tickets, or their main assignees, change in this transaction."""
    transaction_state(session).assigned_tickets |= {int(key) for key in ticket_ids}


def note_row(session: Session, table: str, keys: Iterable[int], columns: Collection[str]) -> None:
    """Note that these columns of rows of any table are written, if others repeat one of them."""
    if table in PARENTS and not STORED.keys().isdisjoint(columns):
        keys = list(keys)
        note(session, table, keys)
        if table == "ticket" and "assignee_id" in columns:
            note_assignments(session, keys)


def note_tasks(session: Session, rows: Rows) -> None:
    """Effect after a flush: note tasks that are new or have another lead or ticket."""
    moved = [row for row in rows.changed if not {"lead_id", "ticket_id"}.isdisjoint(rows.changed_columns(row))]
    new = () if rows.locks_parents else rows.new
    transaction_state(session).held_tasks |= {int(row.id) for row in (*new, *moved)}


def note_saved_assignments(session: Session, rows: Rows) -> None:
    """Effect after a flush: note the tickets whose assignments are new or change."""
    note_assignments(session, {row.ticket_id for row in (*rows.new, *rows.changed) if row.ticket_id is not None})


def note_statement(state: ORMExecuteState) -> None:
    """Session hook: note what an INSERT or UPDATE without objects changes."""
    table: Any = getattr(state.statement, "table", None)
    name = str(getattr(table, "name", ""))
    if name == "task" and state.is_insert:
        _note_tasks_after(state.session)
    elif state.is_update and (name == "task" or name in PARENTS):
        names = {"lead_id", "ticket_id"} if name == "task" else set(STORED)
        if not names.isdisjoint(statement_rows.columns_set(state)):
            _note_updated(state, name, table)


def _note_updated(state: ORMExecuteState, name: str, table: Any) -> None:
    keys = statement_rows.ids_of(state, table)
    gathered = transaction_state(state.session)
    if keys is None:  # it may be any row
        gathered.tasks_after = 0
        note_assignments(state.session, [_ANY] if name == "ticket" else [])
    elif name == "task":
        gathered.held_tasks |= set(keys)
    else:
        note_row(state.session, name, keys, statement_rows.columns_set(state))


def _note_tasks_after(session: Session) -> None:
    gathered = transaction_state(session)
    if gathered.tasks_after is None:
        rows = fast_statements.send(session, "SELECT max(id) FROM task", {}).rows
        gathered.tasks_after = next((int(row[0] or 0) for row in rows), 0)


# --- what is stored


def of_new_task(values: Mapping[str, Any], dialect: str) -> dict[str, str]:
    """Column -> SQL for its value in the INSERT of a task with these values.

    It reads the lead or ticket under the lock that the foreign key takes anyway: who changes its holder meanwhile is
    waited for.
    """
    return {name: _of_parent(holder, values, dialect) for holder, name in STORED.items()}


def lock_of_parent(task: Mapping[str, Any], dialect: str) -> str:
    """A condition for the UPDATE of a task that locks its lead or ticket before the task, as an assignment does.

    MariaDB evaluates it first, as it depends on no row.
    """
    for table, column in PARENTS.items():
        if task.get(column) is not None:
            return lock_of(table, task[column], dialect)
    return ""


def lock_of(table: str, key: int, dialect: str) -> str:
    """A condition for an UPDATE that shares a lock of this row, and is met if there is one."""
    if dialect == "sqlite":
        return ""
    return f" AND (SELECT 1 FROM {table} WHERE id = {int(key)} LOCK IN SHARE MODE) = 1"  # noqa: S608  # a number


def _of_parent(expression: str, task: Mapping[str, Any], dialect: str) -> str:
    table = "leads" if task.get("lead_id") is not None else "ticket"
    key, lock = int(task[PARENTS[table]]), "" if dialect == "sqlite" else " LOCK IN SHARE MODE"
    return f"(SELECT {expression} FROM {table} WHERE id = {key}{lock})"  # noqa: S608  # our names, a number


def write(session: Session) -> None:
    """Session hook, before a commit: store the holders that were noted, in one UPDATE for each table."""
    if session.in_nested_transaction():
        return
    session.flush()
    gathered = transaction_state(session)
    for table, column in PARENTS.items():
        _write_where(session, column, sorted(key for name, key in gathered.held_records if name == table))
    _write_where(session, "id", sorted(gathered.held_tasks))
    if gathered.tasks_after is not None:
        fast_statements.send(session, f"{_update()} WHERE id > {gathered.tasks_after}", {})
    _write_assigned(session, gathered.assigned_tickets)
    forget(session)


def _write_assigned(session: Session, ticket_ids: set[int]) -> None:
    if _ANY in ticket_ids:
        fast_statements.send(session, f"UPDATE assignment SET beside_id = {_BESIDE}", {})  # noqa: S608  # our text
        return
    for some in batched(sorted(ticket_ids), _AT_ONCE):
        keys = ", ".join(map(str, some))
        rule = f"ticket_id IN ({keys}) AND (ended_on IS NULL OR beside_id IS NOT NULL)"
        fast_statements.send(session, f"UPDATE assignment SET beside_id = {_BESIDE} WHERE {rule}", {})  # noqa: S608


def _write_where(session: Session, column: str, keys: list[int]) -> None:
    for some in batched(keys, _AT_ONCE):
        fast_statements.send(session, f"{_update()} WHERE {column} IN ({', '.join(map(str, some))})", {})


def write_tasks(session: Session, keys: Iterable[int]) -> None:
    """Store the holders of the leads and tickets of these tasks, which the caller has locked."""
    _write_where(session, "id", sorted(keys))


def write_assignments(session: Session, keys: Iterable[int]) -> None:
    """Store in these assignments whether they are beside the main assignee; the caller has locked their tickets."""
    for some in batched(sorted(keys), _AT_ONCE):
        rule = f"id IN ({', '.join(map(str, some))})"
        fast_statements.send(session, f"UPDATE assignment SET beside_id = {_BESIDE} WHERE {rule}", {})  # noqa: S608


def _update() -> str:
    parts = [
        f"{name} = COALESCE((SELECT {holder} FROM leads WHERE leads.id = task.lead_id), "  # noqa: S608  # our names
        f"(SELECT {holder} FROM ticket WHERE ticket.id = task.ticket_id))"
        for holder, name in STORED.items()
    ]
    return f"UPDATE task SET {', '.join(parts)}"  # noqa: S608  # our names


def forget(session: Session) -> None:
    """Session hook, after a rollback: drop the notes. Those of a savepoint stay, which only writes a row once more."""
    if not session.in_nested_transaction():
        gathered = transaction_state(session)
        gathered.held_records, gathered.held_tasks, gathered.tasks_after = set(), set(), None
        gathered.assigned_tickets = set()
