"""The first rows of several records in one statement, as a search shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

from sqlalchemy import Integer, Select, UnaryExpression, bindparam, func, literal, null, select, type_coerce, union_all
from sqlalchemy.sql.operators import desc_op

from app import access
from app.web.core.queries.record_pages import PageStatement, guarded
from app.web.core.queries.record_table import ListQuery, RecordTable

#: The shortest list of ids in the statement; longer ones are four times as long, and so on.
SIZE = 8
#: Up to so many ids, all their rows are read and put in order here: MariaDB would make two temporary tables for each
#: record to sort and number them.
MOST_UNSORTED = 32


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
    def is_short(self) -> bool:
        """Whether its rows are so few that they can be put in order here, by `best_first`."""
        return self.ids is not None and len(self.ids) <= MOST_UNSORTED and self.typed is not None

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
    size, is_short = _size(pages), all(each.is_short for each in pages)
    sizes = tuple(
        (each.table, each.names, each.query.size, len(each.query.conditions), each.ids is None, each.typed is None)
        for each in pages
    )
    question = access.CachedStatement(
        None if shape.key is None else ("first rows", is_short, sizes, size, shape.key),
        partial(_statement, pages, shape, size, access.acting(session), is_short),
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
    rows = access.answer(session, question, open_values)
    for row in sorted(rows, key=partial(_best_first, starts) if is_short else itemgetter(0, 1)):
        place, cut = row[0], starts[row[0]] + 2
        if len(found[place]) < pages[place].query.size:
            found[place].append(row[cut : cut + pages[place].width])
    return found


def _best_first(starts: list[int], row: tuple[Any, ...]) -> tuple[int, int, int]:
    """The place of a row among all: those with an exact name first in its page, then the newest."""
    return row[0], row[1], -row[starts[row[0]] + 2]


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
    pages: Sequence[FirstRows],
    shape: access.StatementShape,
    size: int,
    person: access.Person | None,
    is_short: bool,
) -> Any:
    """(index of the page, place of the row, columns of all pages): a row has only the columns of its own page.

    The place is the index of the row; if the rows are put in order here, 0 for an exact name and 1 for others. Pages
    share no columns, because the types and collations of a column of a UNION must be the same.
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
        branches.append(_unsorted(place, page, empty) if is_short else _branch(place, page, empty, person))
    return branches[0] if len(branches) == 1 else union_all(*branches)


def _unsorted(place: int, page: PageStatement, empty: list[list[Any]]) -> Select[Any]:
    """All rows of a page, without its order."""
    query, own = page.unsorted(), [*page.table.selection(page.names)[0].selected_columns]
    is_other = page.order[0] if len(page.order) > 1 else literal(1)
    return query.with_only_columns(
        literal(place).label("page"), is_other.label("at"), *_labeled(place, own, empty), maintain_column_froms=True
    )


def _labeled(place: int, own: list[Any], empty: list[list[Any]]) -> list[Any]:
    """The columns of all pages, those of the others empty."""
    cells = [own if n == place else missing for n, missing in enumerate(empty)]
    return [cell.label(f"c{n}") for n, cell in enumerate(cell for part in cells for cell in part)]


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
    at = func.row_number().over(order_by=turned).label("at")
    return select(literal(place).label("page"), at, *_labeled(place, own, empty))
