"""Many rows in one statement: what would cost a round trip each when a pass deals with thousands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, insert, literal, update
from sqlalchemy.orm import Session

#: Columns of one row by name; `id` names the row.
Row = Mapping[str, Any]


def update_rows(
    session: Session, record: Any, rows: Sequence[Row], *, where: Sequence[str] = (), save: bool = True
) -> None:
    """Give each of these rows its own values, in one UPDATE; all of them name the same columns.

    `where`: columns whose value is no new one but must be this one, else the row stays as it is.
    `save`: counts as a save of a record that has a version, so that a person's stale form is refused.
    Goes around the session: whoever holds one of the rows as an object has to read it anew.
    """
    if not rows:
        return
    table = record.__table__
    values = {name: _by_row(table, name, rows) for name in rows[0] if name != "id" and name not in where}
    if save:
        values["version"] = table.c.version + 1
    same = [table.c[name] == _by_row(table, name, rows) for name in where]
    session.execute(update(table).where(table.c.id.in_([row["id"] for row in rows]), *same).values(values))


def _by_row(table: Any, name: str, rows: Sequence[Row]) -> ColumnElement[Any]:
    """The value that all rows share, or CASE id WHEN … for each its own."""
    first, kind = rows[0][name], table.c[name].type
    if all(row[name] == first for row in rows):
        return literal(first, kind)
    return case({row["id"]: literal(row[name], kind) for row in rows}, value=table.c.id)


def insert_rows(session: Session, record: Any, rows: Sequence[Row]) -> None:
    """Insert these rows; all of them name the same columns."""
    if rows:
        session.execute(insert(record.__table__), list(rows))
