"""The first rows of several records in one statement, as a search shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Integer, Select, UnaryExpression, bindparam, func, literal, null, select, type_coerce, union_all
from sqlalchemy.sql.operators import desc_op

from app import access
from app.web.core.queries.record_pages import PageStatement, guarded
from app.web.core.queries.record_table import ListQuery, RecordTable

#: The shortest list of ids in the statement; longer ones are four times as long, and so on.
SIZE = 8


@dataclass(frozen=True)
class FirstRows:
    """The first page of a record: its conditions, order and size are those of the query."""

    table: RecordTable
    query: ListQuery
    names: tuple[str, ...]
    #: The ids of the rows, in addition to the conditions; None = any.
    ids: set[int] | None = None
    #: The value of the parameter "typed" in the order, which then follows from the table; None = it has none.
    typed: str | None = None

    @property
    def tables(self) -> frozenset[str]:
        """The tables with access rules."""
        if self.typed is None or self.query.conditions:
            return guarded(self.table, self.query)
        return _tables(self.table, tuple(self.query.order))

    @property
    def width(self) -> int:
        """The number of columns, the id first."""
        return len(self.table.selection(self.names)[0].selected_columns)


@lru_cache(maxsize=100)
def _tables(table: RecordTable, order: tuple[Any, ...]) -> frozenset[str]:
    return guarded(table, ListQuery([], [*order], 0))


def load(session: Any, pages: Sequence[FirstRows]) -> list[list[tuple[Any, ...]]]:
    """The raw rows of each page, in its order, under the access rules."""
    if not pages:
        return []
    orders = [() if each.typed is not None else each.query.order for each in pages]
    shape = access.shape_of(
        [part for each, order in zip(pages, orders, strict=True) for part in (*each.query.conditions, *order)]
    )
    size = _size(pages)
    sizes = tuple(
        (each.table, each.names, each.query.size, len(each.query.conditions), each.ids is None, each.typed is None)
        for each in pages
    )
    question = access.CachedStatement(
        None if shape.key is None else ("first rows", sizes, size, shape.key),
        partial(_statement, pages, shape, size, access.acting(session)),
        frozenset().union(*[each.tables for each in pages]),
    )
    open_values = shape.open_values | {
        name: key
        for place, each in enumerate(pages)
        if each.ids is not None
        for name, key in zip(_names(place, size), _filled(each.ids, size), strict=True)
    }
    typed = next((each.typed for each in pages if each.typed is not None), None)
    if typed is not None:
        open_values["typed"] = typed
    found: list[list[tuple[Any, ...]]] = [[] for _each in pages]
    starts = _starts(pages)
    for place, _at, *row in sorted(access.answer(session, question, open_values), key=lambda row: row[:2]):
        found[place].append(tuple(row[starts[place] : starts[place] + pages[place].width]))
    return found


def _size(pages: Sequence[FirstRows]) -> int:
    """The length of all lists of ids, which are filled up to one of few lengths: few statements have to be compiled."""
    size, most = SIZE, max((len(each.ids or ()) for each in pages), default=0)
    while size < most:
        size *= 4
    return size


def _names(place: int, size: int) -> list[str]:
    return [f"row_{place}_{n}" for n in range(size)]


def _filled(ids: set[int], size: int) -> list[int]:
    full = sorted(ids) or [-1]
    return [*full, *full[-1:] * (size - len(full))]


def _starts(pages: Sequence[FirstRows]) -> list[int]:
    """The index of the first column of each page."""
    starts = [0]
    for each in pages:
        starts.append(starts[-1] + each.width)
    return starts


def _statement(
    pages: Sequence[FirstRows], shape: access.StatementShape, size: int, person: access.Person | None
) -> Any:
    """(index of the page, index of the row, columns of all pages): a row has only the columns of its own page.

    Pages share no columns, because the types and collations of a column of a UNION must be the same.
    """
    empty = [
        [type_coerce(null(), column.type) for column in each.table.selection(each.names)[0].selected_columns]
        for each in pages
    ]
    branches = []
    for place, each in enumerate(pages):
        ids = [bindparam(name, 0, type_=Integer) for name in _names(place, size)] if each.ids is not None else []
        rules = [each.table.record.id.in_(ids)] if ids else []
        page = PageStatement(each.table, each.query, each.names, 0, rules, shape, None)
        branches.append(_branch(place, page, empty, person))
    return union_all(*branches)


def _branch(place: int, page: PageStatement, empty: list[list[Any]], person: access.Person | None) -> Select[Any]:
    keys = [each.element if isinstance(each, UnaryExpression) else each for each in page.order]
    query = page.statement(person).add_columns(*[key.label(f"order_{n}") for n, key in enumerate(keys)])
    rows = query.subquery()
    columns = [*rows.c]
    own, order = columns[: -len(keys)], columns[-len(keys) :]
    turned = [
        column.desc() if isinstance(each, UnaryExpression) and each.modifier is desc_op else column.asc()
        for column, each in zip(order, page.order, strict=True)
    ]
    cells = [own if n == place else missing for n, missing in enumerate(empty)]
    labeled = [cell.label(f"c{n}") for n, cell in enumerate(cell for part in cells for cell in part)]
    return select(literal(place).label("page"), func.row_number().over(order_by=turned).label("at"), *labeled)
