"""One row without the tables that it may refer to, for records whose rows mostly refer to none.

Those tables and their access rules are half of what the statement of such a row costs MariaDB, and most of what is read
of them is empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Integer, Select, bindparam, inspect, select
from sqlalchemy.orm import Session

from app import access
from app.lib.lru_cache import LruCache
from app.models import Lead
from app.web.core.queries.record_columns import RecordColumns
from app.web.core.queries.written_rows import own_key

#: Records of which most rows refer to none of the tables that their fields show: a lead gets its customer at the end.
MOSTLY_ALONE = (Lead,)
#: Rows of which a process remembers that they refer to others.
MAX_REFERRING = 10_000
Names = tuple[str, ...] | None


@dataclass(frozen=True)
class OwnRow:
    """How a row that refers to no other table is read."""

    #: Selects each of its columns once, where the row has the parameter `row` as its id, and refers to none.
    query: Select[Any]
    #: Makes the columns of `RecordColumns.selection` of its columns and None.
    whole: Callable[[tuple[Any, ...]], tuple[Any, ...]]


#: (table, id) of rows that were found to refer to others, so that they are read with these at once.
_referring: LruCache[tuple[str, int], bool] = LruCache(MAX_REFERRING)


def find(table: RecordColumns, session: Session, key: int, names: Names) -> tuple[Any, ...] | None:
    """The raw row, if the person sees it and it refers to no other table; None tells nothing of it."""
    own = None if _referring.get((table.name, key)) else _own_row(table, names)
    if own is None:
        return None
    question = access.CachedStatement((table, "own", names), lambda: own.query, frozenset([table.name]))
    found = access.answer(session, question, {"row": key})
    return own.whole((*found[0], None)) if found else None


def remember_referring(table: RecordColumns, key: int) -> None:
    """Remember that the row refers to others, if that was not known."""
    if table.record in MOSTLY_ALONE:
        _referring.keep((table.name, key), True)


@lru_cache(maxsize=200)
def _own_row(table: RecordColumns, names: Names) -> OwnRow | None:
    """How to read these fields; None if they show no other table, or more than columns."""
    record, chosen = table.record, table.fields if names is None else [table.by_name[name] for name in names]
    columns = table.placed(chosen)[0]
    joins = table.joins_for(columns)
    keys = [own_key(on, table) for _other, on in joins]
    if record not in MOSTLY_ALONE or not joins or None in keys or not all(map(_is_plain, columns)):
        return None
    own = {column.key: column for column in columns if column.class_ is record}
    places = {key: place for place, key in enumerate(own)}
    query = select(*(column.label(f"c{place}") for place, column in enumerate(own.values())))
    rules = [getattr(record, key).is_(None) for key in keys if key is not None]
    whole = itemgetter(*(places[each.key] if each.class_ is record else len(own) for each in columns))
    return OwnRow(query.where(record.id == bindparam("row", 0, type_=Integer), *rules), whole)


def _is_plain(column: Any) -> bool:
    """Whether it is a column of a table."""
    return hasattr(column, "class_") and column.key in inspect(column.class_).columns
