"""Updates one changed object by a statement of our own; afterwards the session has it as after a flush.

For the most frequent changes by people: one record at a time. `fast_insert` explains why not by a flush.
"""

from __future__ import annotations

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

    Raises StaleDataError if the record was changed or deleted meanwhile.
    """
    row = _only_changed(session)
    if row is None or not _is_written_alone(session, row):
        session.flush()
        return
    record = type(row)
    row_effects.apply("before_flush", session, Rows(changed=[row], locks_parents=True), record)
    change = _change_of(row)
    if change is None:
        session.flush()
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


def _only_changed(session: Session) -> Any:
    """The only object that the session has changed; None if there are more, and within a savepoint."""
    changed = [] if session.new or session.deleted else [*session.dirty]
    # A savepoint that is rolled back restores only what a flush has written.
    return changed[0] if len(changed) == 1 and not session.in_nested_transaction() else None


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
