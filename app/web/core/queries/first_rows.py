"""The first rows of several records in one statement, as a search shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

from sqlalchemy import Integer, Select, UnaryExpression, bindparam, func, literal, null, select, type_coerce, union_all
from sqlalchemy.sql.operators import desc_op

from app import access
from app.ops.statements.sqlalchemy_internals import is_same_type
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.record_pages import PageStatement, guarded
from app.web.core.queries.record_table import RecordTable

#: The lengths of the lists of ids in the statement; longer ones are four times the last one, and so on.
SIZES = (8, 16, 32)
#: Up to so many ids, all their rows are read and put in order here: MariaDB would make two temporary tables for each
#: record to sort and number them.
MOST_UNSORTED = 32
#: The columns of a row before those of its page.
_ABOUT = 2


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
    #: Another condition.
    kept: access.KeptRule | None = None

    @property
    def is_short(self) -> bool:
        """Whether its rows are so few that they can be put in order here, by `best_first`."""
        return self.ids is not None and len(self.ids) <= MOST_UNSORTED and self.typed is not None

    @property
    def is_plain(self) -> bool:
        """Whether its rows are short or the newest ones, so that they can be put in order here."""
        return self.is_short or self.query.newest

    @property
    def order(self) -> list[Any]:
        """Its order, if that doesn't follow from the other attributes."""
        return [] if self.typed is not None or self.query.newest else self.query.order

    @property
    def tables(self) -> frozenset[str]:
        """The tables with access rules."""
        if self.query.conditions or self.order:
            found = guarded(self.table, self.query)
        else:
            found = _tables(self.table, tuple(self.query.order) if self.typed is not None else ())
        return found if self.kept is None else found | self.kept.tables


@lru_cache(maxsize=100)
def _tables(table: RecordTable, order: tuple[Any, ...]) -> frozenset[str]:
    return guarded(table, ListQuery([], [*order], 0))


def load(session: Any, pages: Sequence[FirstRows]) -> list[list[tuple[Any, ...]]]:
    """The raw rows of each page, in its order, under the access rules."""
    if not pages:
        return []
    shape = access.shape_of([part for each in pages for part in (*each.query.conditions, *each.order)])
    size, is_plain = _size(pages), all(each.is_plain for each in pages)
    sizes = tuple(
        (
            *(each.table, each.names, each.query.size, len(each.query.conditions)),
            *(each.ids is None, each.typed is None, each.query.newest, each.kept and each.kept.key),
        )
        for each in pages
    )
    question = access.CachedStatement(
        None if shape.key is None else ("first rows", is_plain, sizes, size, shape.key),
        partial(_statement, pages, shape, size, session, is_plain),
        frozenset().union(*[each.tables for each in pages]),
    )
    open_values = shape.open_values | {
        name: key
        for place, each in enumerate(pages)
        if each.ids is not None
        for name, key in zip(_names(place, size), _filled(each.ids, size), strict=True)
    }
    for each in pages:
        open_values |= {} if each.typed is None else {"typed": each.typed}
        open_values |= {} if each.kept is None else each.kept.open_values
    return _sorted_out(pages, access.answer(session, question, open_values), is_plain)


def _sorted_out(pages: Sequence[FirstRows], rows: list[tuple[Any, ...]], is_plain: bool) -> list[list[tuple[Any, ...]]]:
    """The first rows of each page, with its own columns. If it `is_plain`, the rows come in any order."""
    found: list[list[tuple[Any, ...]]] = [[] for _each in pages]
    own = [itemgetter(*places) for places in _layout(_wanted(pages)).places]
    for row in sorted(rows, key=_best_first if is_plain else itemgetter(0, 1)):
        place = row[0]
        if len(found[place]) < pages[place].query.size:
            found[place].append(own[place](row))
    return found


def _best_first(row: tuple[Any, ...]) -> tuple[int, int, int]:
    """The place of a row among all: those with an exact name first in its page, then the newest."""
    return row[0], row[1], -row[_ABOUT]


def _size(pages: Sequence[FirstRows]) -> int:
    """The length of all lists of ids, which are filled up to one of few lengths: few statements have to be compiled."""
    most = max((len(each.ids or ()) for each in pages), default=0)
    size = next((size for size in SIZES if size >= most), SIZES[-1])
    while size < most:
        size *= 4
    return size


@lru_cache(maxsize=1000)
def _names(place: int, size: int) -> list[str]:
    return [f"row_{place}_{n}" for n in range(size)]


def _filled(ids: set[int], size: int) -> list[int]:
    full = sorted(ids) or [-1]
    return [*full, *full[-1:] * (size - len(full))]


# --- the columns of all pages


@dataclass(frozen=True)
class _Layout:
    """The columns of the statement after those about the row."""

    #: The type of each column.
    types: tuple[Any, ...]
    #: For each page, the index in a row of each of its columns, the id first.
    places: tuple[tuple[int, ...], ...]


def _wanted(pages: Sequence[FirstRows]) -> tuple[tuple[RecordTable, tuple[str, ...]], ...]:
    return tuple((each.table, each.names) for each in pages)


@lru_cache(maxsize=200)
def _layout(wanted: tuple[tuple[RecordTable, tuple[str, ...]], ...]) -> _Layout:
    """Pages share the columns of equal types: a UNION would change the values of others, or refuse their collations."""
    types: list[Any] = []
    places = []
    for table, names in wanted:
        free = [*enumerate(types)]
        own = []
        for column in table.selection(names)[0].selected_columns:
            same = next(((at, kind) for at, kind in free if is_same_type(kind, column.type)), None)
            if same is None:
                types.append(column.type)
            else:
                free.remove(same)
            own.append(_ABOUT + (len(types) - 1 if same is None else same[0]))
        places.append(tuple(own))
    return _Layout(tuple(types), tuple(places))


# --- the statement


def _statement(
    pages: Sequence[FirstRows], shape: access.StatementShape, size: int, session: Any, is_plain: bool
) -> Any:
    """(index of the page, place of the row, columns of all pages): a row has only the columns of its own page.

    The place is the index of the row; if the rows are put in order here, 0 for an exact name and 1 for others.
    """
    layout, is_sqlite = _layout(_wanted(pages)), session.get_bind().dialect.name == "sqlite"
    branches = []
    for place, each in enumerate(pages):
        ids = [bindparam(name, 0, type_=Integer) for name in _names(place, size)] if each.ids is not None else []
        rules = [each.table.record.id.in_(ids)] if ids else []
        rules += [] if each.kept is None else [each.kept.make()]
        page = PageStatement(each.table, each.query, each.names, 0, rules, shape, None)
        person, labeled = access.acting(session), partial(_labeled, layout, place)
        if not is_plain:
            branches.append(_numbered(place, page, labeled, person))
            continue
        branch = _unsorted(place, page, labeled) if ids else _newest(place, page, labeled, person)
        branches.append(select(*branch.subquery().c) if is_sqlite and not ids else branch)
    return branches[0] if len(branches) == 1 else union_all(*branches)


_Labeled = Callable[[list[Any]], list[Any]]


def _labeled(layout: _Layout, place: int, own: list[Any]) -> list[Any]:
    """The columns of all pages, those of the others empty."""
    at = dict(zip(layout.places[place], own, strict=True))
    empty = ((n, type_coerce(null(), kind)) for n, kind in enumerate(layout.types))
    return [at.get(_ABOUT + n, missing).label(f"c{n}") for n, missing in empty]


def _unsorted(place: int, page: PageStatement, labeled: _Labeled) -> Select[Any]:
    """All rows of a page with these ids, without its order.

    Access rules name many indexes, each of which MariaDB would look at.
    """
    is_other = page.order[0] if len(page.order) > 1 else literal(1)
    columns = [literal(place).label("page"), is_other.label("at"), *labeled(page.columns)]
    query = page.unsorted().with_hint(page.table.record, "FORCE INDEX (PRIMARY)", "mysql")
    return query.with_only_columns(*columns, maintain_column_froms=True)


def _newest(place: int, page: PageStatement, labeled: _Labeled, person: access.Person | None) -> Select[Any]:
    """The newest rows of a page."""
    columns = [literal(place).label("page"), literal(0).label("at"), *labeled(page.columns)]
    return page.statement(person).with_only_columns(*columns, maintain_column_froms=True)


def _numbered(place: int, page: PageStatement, labeled: _Labeled, person: access.Person | None) -> Select[Any]:
    """The first rows of a page with the index of each."""
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
    return select(literal(place).label("page"), at, *labeled(own))
