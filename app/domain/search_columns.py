"""Columns that only searches use, so that what they look for is a range of an index.

Reversed columns are for the last characters of a text, the rest of a name is for its second word.

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
#: Name -> the column with what follows its first word; NULL for a name of one word.
REST = {"first_name": "first_name_rest", "last_name": "last_name_rest"}
#: Each name's counterpart, by which people are searched together with it.
_OTHER_NAME = {"first_name": "last_name", "last_name": "first_name"}
#: Who holds a record, and is asked for their own ones of a common name.
_HOLDERS = {"leads": ("assignee", "owner"), "customer": ("owner",)}
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


def add_rest_of_names(table: Table) -> None:
    """Give a table the columns with the rest of names, with their indexes."""
    for name, rest in REST.items():
        column: Column[str] = Column(rest, String(80), Computed(rest_of(name), persisted=False))
        table.append_column(column)
        Index(f"ix_{table.name}_{rest}", column, table.c[_OTHER_NAME[name]])
        for holder in _HOLDERS.get(table.name, ()):
            Index(f"ix_{table.name}_{holder}_{rest}", table.c[f"{holder}_id"], column)


def rest_of(name: str) -> str:
    """SQL for what follows the first word of a name; the same on both databases."""
    return f"CASE WHEN instr({name}, ' ') > 0 THEN ltrim(substr({name}, instr({name}, ' ') + 1)) END"


def reversed_column(column: Any) -> Any:
    """The reversed column of an attribute or column; None if it has none."""
    return _computed(column, REVERSED)


def rest_column(column: Any) -> Any:
    """The column with the rest of a name; None if it has none."""
    return _computed(column, REST)


def _computed(column: Any, names: dict[str, str]) -> Any:
    own = column.property.columns[0] if hasattr(column, "property") else column
    name = names.get(own.key)
    return own.table.c.get(name) if name else None
