"""Marks for leads, tickets and tasks whose figures have to be counted again.

A mark is the id of a row. It is written in the transaction that changes the row, so that no reader takes what was
counted of it for current. Marks are only added, never updated, so nobody waits for anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import BigInteger, Integer, SmallInteger
from sqlalchemy.orm import Mapped, ORMExecuteState, Session, mapped_column

from app.domain.persistence import bulk_statements, statement_rows
from app.domain.persistence.bulk_statements import InsertPlan
from app.domain.persistence.row_effects import Rows
from app.domain.persistence.transaction_state import transaction_state
from app.ops.statements import fast_statements

#: Table -> its stored number.
KINDS = {"leads": 1, "ticket": 2, "task": 3}
_HOLDERS = ("assignee_id", "owner_id")
_SLA = ("replied_on", "sla_started_on", "reply_due_on", "reply_late_on")
#: Table -> the columns that figures are summed by.
COUNTED: dict[str, frozenset[str]] = {
    "leads": frozenset(
        {"created_on", "opened_on", "activated_on", "status_id", "source_id", "referral", *_HOLDERS, *_SLA}
    ),
    "ticket": frozenset({"created_on", "resolved_on", "status_id", "priority", "resolve_late_on", *_HOLDERS, *_SLA}),
    "task": frozenset({"created_on", "done_on", "due_on", "status", "priority", "assignee_id"}),
}
#: An execution option of statements whose sender marks the rows.
IS_MARKED = "rows_are_marked"
#: The tables whose tasks the database deletes with them, and the column of tasks.
_WITH_TASKS = {"leads": "lead_id", "ticket": "ticket_id"}
#: Marks of one INSERT: they are short.
_AT_ONCE = 10_000
_BIG = BigInteger().with_variant(Integer(), "sqlite")


class RowMark(Model):  # type: ignore[misc]
    """A row that was added, changed or removed since its figures were counted."""

    __tablename__ = "row_mark"
    id: Mapped[int] = mapped_column(_BIG, primary_key=True)
    #: One of the values of KINDS.
    kind: Mapped[int] = mapped_column(SmallInteger, nullable=False)
    row_id: Mapped[int] = mapped_column(Integer, nullable=False)


def mark(session: Session, table: str, keys: Iterable[int]) -> None:
    """Note that these rows of a table of KINDS change in this transaction; `write_marks` stores it at the commit."""
    kind = KINDS[table]
    transaction_state(session).marked_rows |= {(kind, int(key)) for key in keys}


# --- rows that are saved as objects


def note_saved(session: Session, rows: Rows) -> None:
    """Effect after a flush: note the rows whose figures change."""
    for row in (*rows.new, *rows.deleted):
        mark(session, row.__tablename__, [row.id])
    for row in rows.changed:
        if not COUNTED[row.__tablename__].isdisjoint(rows.changed_columns(row)):
            mark(session, row.__tablename__, [row.id])


def note_given(session: Session, rows: Rows) -> None:
    """Effect after a flush: note the leads and tickets that were given to somebody, or are no longer theirs."""
    saved = (*rows.new, *rows.changed)
    mark(session, "leads", [row.lead_id for row in saved if row.lead_id is not None])
    mark(session, "ticket", [row.ticket_id for row in saved if row.ticket_id is not None])


def note_tasks_of_deleted(session: Session, rows: Rows) -> None:
    """Effect before a flush: note the tasks that the database deletes with their lead or ticket."""
    for row in rows.deleted:
        _mark_tasks(session, row.__tablename__, [row.id])


def _mark_tasks(session: Session, table: str, keys: list[int]) -> None:
    if table in _WITH_TASKS and keys:
        listed = ", ".join(str(int(key)) for key in keys)
        mark(session, "task", _ids(session, f"SELECT id FROM task WHERE {_WITH_TASKS[table]} IN ({listed})"))  # noqa: S608  # numbers and our names


def _ids(session: Session, text: str) -> list[int]:
    """The first column of a statement without parameters, under no access rules and without a flush."""
    return [int(row[0] or 0) for row in fast_statements.send(session, text, {}).rows]


# --- statements without objects


def note_statement(state: ORMExecuteState) -> None:
    """Session hook: note the rows that an INSERT, UPDATE or DELETE without objects changes."""
    if not (state.is_insert or state.is_update or state.is_delete) or state.execution_options.get(IS_MARKED):
        return
    table: Any = getattr(state.statement, "table", None)
    name = str(getattr(table, "name", ""))
    if name not in KINDS:
        return
    if state.is_insert:
        note_inserts(state.session, name)
    elif state.is_delete or not COUNTED[name].isdisjoint(statement_rows.columns_set(state)):
        keys = statement_rows.ids_of(state, table)
        if keys is None:
            transaction_state(state.session).rows_after[name] = 0  # it may be any row
            return
        mark(state.session, name, keys)
        if state.is_delete:
            _mark_tasks(state.session, name, keys)


def note_inserts(session: Session, table: str) -> None:
    """Note that rows without known ids are about to be added to a table."""
    after = transaction_state(session).rows_after
    if table not in after:
        after[table] = _ids(session, f"SELECT max(id) FROM {table}")[0]  # noqa: S608  # our names


# --- the end of the transaction


def write_marks(session: Session) -> None:
    """Session hook, before a commit: store the noted marks, in one INSERT."""
    if session.in_nested_transaction():
        return
    session.flush()
    gathered = transaction_state(session)
    for table, after in gathered.rows_after.items():
        mark(session, table, _ids(session, f"SELECT id FROM {table} WHERE id > {after}"))  # noqa: S608  # our names
    noted = sorted(gathered.marked_rows)
    forget(session)
    if noted:
        rows = [{"kind": kind, "row_id": key} for kind, key in noted]
        bulk_statements.insert_rows(session, RowMark, rows, InsertPlan(at_once=_AT_ONCE))


def forget(session: Session) -> None:
    """Session hook, after a rollback: drop the notes. Those of a savepoint stay, which only counts a row once more."""
    if not session.in_nested_transaction():
        gathered = transaction_state(session)
        gathered.marked_rows, gathered.rows_after = set(), {}
