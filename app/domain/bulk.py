"""Statements for many rows at once, which spare a round trip per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, insert, literal, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

#: Column values of one row by name; `id` identifies the row.
Row = Mapping[str, Any]


def update_rows(
    session: Session, record: Any, rows: Sequence[Row], *, where: Sequence[str] = (), bump_version: bool = True
) -> None:
    """Set other values in each of these rows by one UPDATE; all rows have the same columns.

    `where`: columns that are compared rather than set; a row with another value stays unchanged.
    `bump_version`: whether this counts as a save, so that forms opened before are refused as stale.
    Bypasses the session's objects: whoever holds one of the rows as an object must reload it.
    """
    if not rows:
        return
    table = record.__table__
    values = {name: _value(table, name, rows) for name in rows[0] if name != "id" and name not in where}
    if bump_version:
        values["version"] = table.c.version + 1
    is_unchanged = [table.c[name] == _value(table, name, rows) for name in where]
    session.execute(update(table).where(table.c.id.in_([row["id"] for row in rows]), *is_unchanged).values(values))


def _value(table: Any, name: str, rows: Sequence[Row]) -> ColumnElement[Any]:
    """The value that all rows share, or CASE id WHEN … with the value of each."""
    first, kind = rows[0][name], table.c[name].type
    if all(row[name] == first for row in rows):
        return literal(first, kind)
    return case({row["id"]: literal(row[name], kind) for row in rows}, value=table.c.id)


def insert_rows(session: Session, record: Any, rows: Sequence[Row]) -> None:
    """Insert these rows; all have the same columns."""
    if rows:
        session.execute(insert(record.__table__), list(rows))


def upsert(session: Session, record: Any, keys: Sequence[str], changes: Callable[[Any], dict[str, Any]]) -> Any:
    """An INSERT for rows as parameters, which updates the row that already has the same `keys`.

    `changes`: from the columns of the row that was to be inserted to the values to set. Only columns may stand there:
    MariaDB's driver takes no parameters behind ON DUPLICATE KEY.
    """
    table = record.__table__
    if session.get_bind().dialect.name == "sqlite":
        statement = sqlite.insert(table)
        return statement.on_conflict_do_update(index_elements=list(keys), set_=changes(statement.excluded))
    own = mysql.insert(table)
    return own.on_duplicate_key_update(changes(own.inserted))


def insert_if_missing(session: Session, record: Any, key: str, values: Row) -> None:
    """Insert the row unless one with the same `key` exists; waits for a concurrent insert of it, and locks the row."""
    table = record.__table__
    if session.get_bind().dialect.name == "sqlite":
        session.execute(sqlite.insert(table).values(values).on_conflict_do_nothing(index_elements=[key]))
    else:
        session.execute(mysql.insert(table).values(values).on_duplicate_key_update({key: table.c[key]}))
