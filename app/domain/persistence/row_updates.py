"""Updates changed objects by statements of our own; afterwards the session has them as after a flush.

For the most frequent changes by people: one record at a time. `fast_insert` explains why not by a flush. And for the
tasks of a record, of which there may be thousands: a flush would send an UPDATE for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import JSON, inspect
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.sql.elements import ClauseElement

from app.domain.base import RECORD_COLUMNS
from app.domain.persistence import bulk_statements, parent_holders, related_keys, row_effects
from app.domain.persistence.row_effects import Rows
from app.ops.statements import sqlalchemy_internals


def flush(session: Session) -> None:
    """Write the session's changes: a single lead, ticket, customer or task by one UPDATE, everything else by a flush.

    Several tasks that changed in the same columns are written by one UPDATE for 500 of them, after the only other
    record that has changed. Raises StaleDataError if a record was changed or deleted meanwhile.
    """
    # A savepoint that is rolled back restores only what a flush has written.
    if not session.in_nested_transaction():
        rows = [*session.dirty]
        tasks = [row for row in rows if row.__tablename__ == "task"] if len(rows) > 1 else []
        others = [row for row in rows if row.__tablename__ != "task"] if tasks else rows
        if len(others) == 1 and not (session.new or session.deleted) and _is_written_alone(session, others[0]):
            _write(session, others[0])
        if len(tasks) > 1 and not session.deleted and all(_is_written_alone(session, task) for task in tasks):
            _write_together(session, tasks)
    session.flush()


def _write_together(session: Session, tasks: Sequence[Any]) -> None:
    record = type(tasks[0])
    row_effects.apply("before_flush", session, Rows(changed=tasks), record)
    same: dict[tuple[str, ...], list[tuple[Any, _Change]]] = {}
    for task in tasks:
        if (change := _change_of(task)) is not None:
            same.setdefault(tuple(change.values), []).append((task, change))
    for group in same.values():
        changes = [(change.values, change.identity) for _, change in group]
        if bulk_statements.update_read_rows(session, record, changes) != len(changes):
            raise StaleDataError("one of the tasks was changed meanwhile")
    written = {id(task): change.values for group in same.values() for task, change in group}
    rows = [task for task in tasks if id(task) in written]
    for task in rows:
        inspect(task).dict.update(written[id(task)])
    row_effects.apply("after_flush", session, Rows(changed=rows, _columns=dict(written)), record)
    for task in rows:
        sqlalchemy_internals.set_unchanged(session, task)


def _write(session: Session, row: Any) -> None:
    """Write one record, unless only a flush can, or there is nothing to write."""
    record = type(row)
    row_effects.apply("before_flush", session, Rows(changed=[row], locks_parents=True), record)
    change = _change_of(row)
    if change is None:
        return
    values = inspect(row).dict
    if bulk_statements.update_row(session, record, change.values, change.identity, _condition(session, row)) != 1:
        raise StaleDataError(f"{row.__tablename__} {values['id']} was changed meanwhile")
    values.update(change.values)
    row_effects.apply("after_flush", session, Rows(changed=[row], _columns={id(row): change.values}), record)
    sqlalchemy_internals.set_unchanged(session, row)


def _condition(session: Session, row: Any) -> str:
    """A condition for the UPDATE that locks what comes before the row (`record_locks`)."""
    held, dialect = inspect(row).dict, session.get_bind().dialect.name
    if row.__tablename__ == "task":
        return parent_holders.lock_of_parent(held, dialect)
    customer_id = held.get("customer_id") if row.__tablename__ in parent_holders.PARENTS else None
    return "" if customer_id is None else parent_holders.lock_of("customer", customer_id, dialect)


def _is_written_alone(session: Session, row: Any) -> bool:
    """Whether an UPDATE of the object's own row is everything to write."""
    record = type(row)
    return (
        record.__tablename__ in RECORD_COLUMNS
        and _is_plain(inspect(record))
        and row_effects.can_write_without_flush(session, record, "update")
        and related_keys.set_keys(row)
    )


@dataclass(frozen=True)
class _Change:
    #: New values by column.
    values: dict[str, Any]
    #: Values that the row in the database must have: its id, and the version that was read.
    identity: dict[str, Any]


def _change_of(row: Any) -> _Change | None:
    """The changes of an object; None if there are none, or if only a flush can write them."""
    mapper, state = inspect(type(row)), inspect(row)
    columns, held = mapper.columns, state.dict
    values = {name: held.get(name) for name in row_effects.changed_columns(row)}
    if not values or "id" in values or not all(_is_plain_value(columns[name], each) for name, each in values.items()):
        return None
    identity = {"id": state.identity[0]}
    if mapper.version_id_col is not None:
        name = mapper.version_id_col.name
        if name in values or name not in held:
            return None
        identity[name] = held[name]
        values[name] = held[name] + 1
    return _Change(values, identity)


def _is_plain_value(column: Any, value: Any) -> bool:
    """Whether the value is plain: not SQL, and not the null of a JSON column, of which there are two."""
    return not isinstance(value, ClauseElement) and not (value is None and isinstance(column.type, JSON))


@lru_cache(maxsize=100)
def _is_plain(mapper: Mapper[Any]) -> bool:
    """Whether rows of this class are written by their columns alone."""
    is_simple = mapper.inherits is None and list(mapper.primary_key) == [mapper.local_table.c.get("id")]
    is_counted = mapper.version_id_col is None or mapper.version_id_generator is not False
    return (
        is_simple
        and is_counted
        and all(
            name == column.name and column.onupdate is None and column.server_onupdate is None
            for name, column in mapper.columns.items()
        )
    )
