"""Inserts one new object by a statement of our own; afterwards the session has it as after a flush.

For records that people create often. A flush sorts, checks and compiles for whatever a session may contain, which costs
more than the INSERT.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, Session

from app.domain.persistence import bulk_statements, parent_holders, related_keys, row_effects, row_updates
from app.ops.statements import sqlalchemy_internals


def insert(session: Session, row: Any) -> None:
    """Insert an object that is not in the session yet; it gets its id. The session's own changes are written first."""
    defaults = _defaults(inspect(type(row)))
    can_write = row_effects.can_write_without_flush(session, type(row), "insert")
    if defaults is None or not can_write or not related_keys.set_keys(row):
        session.add(row)
        session.flush()
        return
    row_updates.flush(session)
    written = row_effects.Rows(new=[row], locks_parents=True)
    row_effects.apply("before_flush", session, written, type(row))
    values = _values(row, defaults)
    computed = _computed(session, row, values)
    inspect(row).dict.update(values, id=bulk_statements.insert_row(session, type(row), values, computed))
    row_effects.apply("after_flush", session, written, type(row))
    sqlalchemy_internals.add_inserted(session, row)


def _values(row: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    """The values of all columns except the id."""
    given = inspect(row).dict
    values = {}
    for name, default in defaults.items():
        value = given.get(name)
        if value is None and default is not None:
            value = default.arg(None) if default.is_callable else default.arg
        values[name] = value
    return values


def _computed(session: Session, row: Any, values: dict[str, Any]) -> dict[str, str]:
    if row.__tablename__ != "task":
        return {}
    return parent_holders.of_new_task(values, session.get_bind().dialect.name)


@lru_cache(maxsize=100)
def _defaults(mapper: Mapper[Any]) -> dict[str, Any] | None:
    """Attribute -> default of each column except the id; None for a class that needs a flush."""
    columns = {name: column for name, column in mapper.columns.items() if name != "id"}
    is_plain = all(
        name == column.name and (column.server_default is None or column.default is not None)
        for name, column in columns.items()
    )
    if mapper.inherits or not is_plain:
        return None
    return {name: column.default for name, column in columns.items()}
