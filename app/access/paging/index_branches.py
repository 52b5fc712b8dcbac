"""The building blocks of pages of visible rows: branches in index order, each with its first rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Select, inspect, select, union_all
from sqlalchemy.orm import aliased
from sqlalchemy.sql.elements import BinaryExpression, BindParameter
from sqlalchemy.sql.operators import eq, in_op
from sqlalchemy.sql.util import ClauseAdapter


@dataclass(frozen=True)
class PageQuery:
    """What a page or count asks for. Conditions and key are columns of the record's own table."""

    conditions: list[Any]
    #: The rows of the page; for a count, its cap.
    size: int
    #: The rows of earlier pages.
    offset: int = 0
    #: The column by which the list is sorted, before the id; None = by id alone.
    key: Any = None
    descending: bool = True
    #: The key of the statement for access.compiled_statements; None = it isn't cached.
    name: Hashable = None
    #: The values of named parameters in the conditions.
    open_values: dict[str, Any] = field(default_factory=dict)
    #: Whether tasks of others are counted by the holders that they repeat.
    by_holders: bool = False

    @property
    def limit(self) -> int:
        """The number of rows up to the end of this page."""
        return self.offset + self.size


#: Record -> what `alias_of` returns for it.
_aliases: dict[Any, tuple[Any, ClauseAdapter]] = {}


def alias_of(record: Any) -> tuple[Any, ClauseAdapter]:
    """An alias of the record and an adapter that translates conditions to it. Cached: building forty columns is slow.

    Each process has one alias per record: two in one statement would multiply all their rows. So two threads that ask
    at the same time get the same one, which `lru_cache` does not promise.

    Aliases carry no loader criteria: each branch applies the access rule itself.
    """
    found = _aliases.get(record)
    if found is None:
        row = aliased(record)
        found = _aliases.setdefault(record, (row, ClauseAdapter(inspect(row).selectable)))
    return found


def for_alias(record: Any, page_query: PageQuery) -> tuple[list[Any], Any]:
    """The conditions and the key of the query, on the record's alias."""
    _row, adapter = alias_of(record)
    key = None if page_query.key is None else adapter.traverse(getattr(page_query.key, "expression", page_query.key))
    return [adapter.traverse(condition) for condition in page_query.conditions], key


def newest(branch: Select[Any], record: Any, page_query: PageQuery, sorts: bool = True) -> Select[Any]:
    """The first rows of one branch: id, and the key if there is one. If the order doesn't matter, any rows."""
    return select(*first_rows(branch, record, page_query, sorts).subquery().c)


def first_rows(branch: Select[Any], record: Any, page_query: PageQuery, sorts: bool = True) -> Select[Any]:
    """The same as `newest`, with its LIMIT, with which SQLite has no SELECT in a UNION."""
    row, _adapter = alias_of(record)
    conditions, key = for_alias(record, page_query)
    columns = [row.id.label("id"), *([] if key is None else [key.label("key")])]
    query = branch.with_only_columns(*columns, maintain_column_froms=True).where(*conditions).limit(page_query.limit)
    if sorts:
        query = query.order_by(*ordered([row.id] if key is None else [key, row.id], page_query.descending))
    return query


def ordered(columns: list[Any], descending: bool) -> list[Any]:
    """The columns for an ORDER BY, all of them descending or ascending."""
    return [column.desc() if descending else column.asc() for column in columns]


def page_of(parts: list[Select[Any]], page_query: PageQuery) -> Select[Any]:
    """The page of the union of the parts, each row once."""
    rows = union_all(*parts).subquery("ways")
    columns = [rows.c.id] if page_query.key is None else [rows.c.key, rows.c.id]
    order = ordered(columns, page_query.descending)
    return select(rows.c.id).group_by(*columns).order_by(*order).limit(page_query.size).offset(page_query.offset)


#: Columns of whoever holds a row, with which indexes begin that then have a status and a time.
_OF_A_USER = ("assignee_id",)
#: The most values of an IN condition whose rows are each read in index order.
MAX_VALUES = 8


def by_value(
    record: Any, page_query: PageQuery, *rules: Any, held_by: str = "", begun: Select[Any] | None = None
) -> list[Select[Any]]:
    """The first rows for each value of a condition "one of these values", in index order.

    `held_by`: a column for which a rule has one value; the index begins with it. `begun`: the rows to begin with; they
    may be joined with others. [] if no condition has an index on its column and the key. No index has the rows of
    several values in order.
    """
    found = value_index(record, page_query, held_by)
    if found is None:
        return []
    place, index = found
    condition, others = (
        page_query.conditions[place],
        [*page_query.conditions[:place], *page_query.conditions[place + 1 :]],
    )
    row, _adapter = alias_of(record)
    branch = (select(row.id) if begun is None else begun).where(*rules)
    branch = branch.with_hint(row, f"FORCE INDEX ({index})", "mysql")
    return [
        newest(branch, record, replace(page_query, conditions=[condition.left == value, *others]))
        for value in _values_of(record, condition) or ()
    ]


def page_of_all(record: Any, page_query: PageQuery) -> Select[Any] | None:
    """The ids of the page for who reads all rows; None if no index has them in order, or a search has found them."""
    if any(names_ids(record, condition) for condition in page_query.conditions):
        return None
    holder = one_holder(record, page_query.conditions)
    held = by_value(record, page_query, held_by=holder) if holder else []
    parts = held or by_value(record, page_query)
    return page_of(parts, page_query) if parts else None


def value_index(record: Any, page_query: PageQuery, held_by: str = "") -> tuple[int, str] | None:
    """The position of the first "one of these values" condition with an index on its column and the key, and that
    index.
    """
    before = (held_by,) if held_by else ()
    for place, condition in enumerate(page_query.conditions if page_query.key is not None else ()):
        values = _values_of(record, condition)
        index = None if values is None else index_of(record, *before, condition.left.name, page_query.key.name)
        if index is not None:
            return place, index
    return None


def _values_of(record: Any, condition: Any) -> list[Any] | None:
    """The values of "column IN (…)" on the record's table; None for any other condition, or for too many values."""
    if not (isinstance(condition, BinaryExpression) and condition.operator is in_op):
        return None
    column, given = condition.left, condition.right
    if not (isinstance(column, Column) and isinstance(given, BindParameter) and given.expanding):
        return None
    values = [*dict.fromkeys(given.effective_value or ())]
    return values if column.table is record.__table__ and 0 < len(values) <= MAX_VALUES else None


@lru_cache
def index_on(record: Any, column: str) -> str | None:
    """The narrowest index that begins with the column; None if there is none."""
    if column == "id":
        return "PRIMARY"
    begun = [each for each in record.__table__.indexes if each.columns.keys()[0] == column]
    return min(((len(each.columns), str(each.name)) for each in begun), default=(0, None))[1]


@lru_cache
def index_in_order(record: Any, column: str) -> str | None:
    """The index that is ordered by the column, then by id; None if there is none."""
    return "PRIMARY" if column == "id" else index_of(record, column)


@lru_cache
def index_of(record: Any, *columns: str) -> str | None:
    """The index that is ordered by these columns, then by id; None if there is none.

    That is one on just these columns, or one in which the id follows them, and whatever follows the id.
    """
    keys = {str(each.name): each.columns.keys() for each in record.__table__.indexes}
    exact = (name for name, names in keys.items() if names == [*columns])
    return next(exact, None) or next(
        (name for name, names in keys.items() if names[: len(columns) + 1] == [*columns, "id"]), None
    )


def one_value_index(record: Any, page_query: PageQuery) -> tuple[int, str] | None:
    """The position of the first condition "column = value" with an index on the column in the order of the query, and
    that index.
    """
    order = () if page_query.key is None else (page_query.key.key,)
    for place, condition in enumerate(page_query.conditions):
        if isinstance(condition, BinaryExpression) and condition.operator is eq:
            column, given = condition.left, condition.right
            is_own = isinstance(column, Column) and column.table is record.__table__
            if is_own and isinstance(given, BindParameter) and (index := index_of(record, column.name, *order)):
                return place, index
    return None


def one_holder(record: Any, conditions: Sequence[Any]) -> str:
    """The column of a condition "column = a user", such as the assignee of tasks; "" if there is none."""
    for condition in conditions:
        if isinstance(condition, BinaryExpression) and condition.operator is eq:
            column = condition.left
            if isinstance(column, Column) and column.table is record.__table__ and column.name in _OF_A_USER:
                return str(column.name)
    return ""


def names_ids(record: Any, condition: Any) -> bool:
    """Whether it is "id = …" or "id IN (…)" on the record's own table."""
    if not (isinstance(condition, BinaryExpression) and condition.operator in (eq, in_op)):
        return False
    column = condition.left
    return isinstance(column, Column) and column.name == "id" and column.table is record.__table__
