"""The raw row of an object that was just written, as a SELECT would read it, so that the response needs no query.

Only if the object itself tells that the person sees it, and has all values: other tables, and whether the person sees
their rows, need a query. Known are the numbers of records that the person was found to see in this request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Dialect, inspect
from sqlalchemy.orm import Session
from sqlalchemy.sql.visitors import iterate

from app import access
from app.web.core.queries.record_columns import RecordColumns

Names = tuple[str, ...] | None


@dataclass(frozen=True)
class _Reader:
    """How to read one selected column from the object."""

    #: The attribute with its value; for a column of another table, the attribute that refers to it.
    name: str
    #: The record of another table, and whether the column is its number.
    other: Any = None
    is_number: bool = False
    #: The driver's conversions for storing and for reading; None = none.
    store: Callable[[Any], Any] | None = None
    load: Callable[[Any], Any] | None = None
    #: Whether the value of the attribute is that of the column.
    is_plain: bool = False

    def value(self, held: dict[str, Any], session: Session) -> Any:
        """The value as a SELECT would return it. Raises LookupError if the object doesn't have it."""
        found = held[self.name]
        if self.other is not None:
            number = access.seen_number(session, self.other, found) if found is not None and self.is_number else None
            if found is not None and number is None:
                raise LookupError(self.name)
            return number
        stored = found if self.store is None else self.store(found)
        return stored if self.load is None else self.load(stored)


def raw_row(table: RecordColumns, session: Session, row: Any, names: Names) -> tuple[Any, ...] | None:
    """The columns of `table.selection(names)` of a flushed object; None if they have to be read."""
    person = access.acting(session)
    if person is None or table.base_filters or type(row) is not table.record or not access.sees_as_holder(person, row):
        return None
    readers = _readers(table, names, session.get_bind().dialect)
    held = inspect(row).dict
    try:
        if readers is None:
            return None
        return tuple([held[each.name] if each.is_plain else each.value(held, session) for each in readers])
    except LookupError:  # of another table, or set by the database
        return None


@lru_cache(maxsize=200)
def _readers(table: RecordColumns, names: Names, dialect: Dialect) -> tuple[_Reader, ...] | None:
    """The readers of the columns; None if one is not a plain column."""
    chosen = table.fields if names is None else [table.by_name[name] for name in names]
    columns = table.placed(chosen)[0]
    keys = {other: own_key(on, table) for other, on in table.joins}
    found = [_reader(column, table, keys, dialect) for column in columns]
    return None if None in found else tuple(found)  # type: ignore[arg-type]


def _reader(column: Any, table: RecordColumns, keys: dict[Any, str | None], dialect: Dialect) -> _Reader | None:
    owner, kind = getattr(column, "class_", None), getattr(column, "type", None)
    if owner is table.record and column.key in inspect(owner).columns and kind is not None:
        own: Any = kind.dialect_impl(dialect)
        store, load = own.bind_processor(dialect), own.result_processor(dialect, None)
        return _Reader(column.key, None, False, store, load, store is None and load is None)
    key = keys.get(owner)
    return None if key is None else _Reader(key, owner, column.key == "number")


def own_key(on: Any, table: RecordColumns) -> str | None:
    """The record's attribute that refers to the joined table."""
    names = [node.key for node in iterate(on) if isinstance(node, Column) and node.table is table.record.__table__]
    return names[0] if len(names) == 1 else None
