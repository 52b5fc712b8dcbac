"""Reversed columns that only searches use, so that a search for the last characters is a range of an index.

The database computes them, so they are never outdated and exist for old rows. No class has them as attributes: a
record's INSERT and SELECT stay as they are.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Computed, Index, String, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement

#: Column -> its reversed column.
REVERSED = {
    "mobile_e164": "mobile_reversed",
    "alternative_e164": "alternative_reversed",
    "client_id": "client_id_reversed",
    "pod_id": "pod_id_reversed",
    "referral_code": "referral_code_reversed",
    "other_e164": "other_reversed",
    "peer": "peer_reversed",
}
#: Characters of a text that are reversed on SQLite; MariaDB has a function and needs no limit.
MOST = 40


class ReversedText(ColumnElement[str]):
    """The first MOST characters of a column, reversed."""

    inherit_cache = False
    type = String()

    def __init__(self, column: str) -> None:
        self.column = column


@compiles(ReversedText)
def _reverse(element: ReversedText, _compiler: Any, **_: Any) -> str:
    return f"reverse(left({element.column}, {MOST}))"


@compiles(ReversedText, "sqlite")
def _reverse_on_sqlite(element: ReversedText, _compiler: Any, **_: Any) -> str:
    """SQLite has no function for it."""
    return " || ".join(f"substr({element.column}, {n}, 1)" for n in range(MOST, 0, -1))


def add_reversed(table: Table) -> None:
    """Give a table the reversed columns, with an index for each."""
    for name, backwards in REVERSED.items():
        if name in table.c and not table.c[name].foreign_keys:
            column: Column[str] = Column(backwards, String(MOST), Computed(ReversedText(name), persisted=False))
            table.append_column(column)
            Index(f"ix_{table.name}_{backwards}", column)


def reversed_column(column: Any) -> Any:
    """The reversed column of an attribute or column; None if it has none."""
    own = column.property.columns[0] if hasattr(column, "property") else column
    name = REVERSED.get(own.key)
    return own.table.c.get(name) if name else None
