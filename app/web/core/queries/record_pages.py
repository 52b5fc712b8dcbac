"""Pages, single rows and counts of a RecordTable, as statements that are compiled once per person and shape.

app/access/compiled_statements.py explains what may be cached, and why it can never show a row to somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Integer, Select, UnaryExpression, bindparam, func, literal, not_, select
from sqlalchemy.sql.operators import asc_op, desc_op

from app import access
from app.lib.cached_property import cached_property
from app.ops.statements.sqlalchemy_internals import annotations_of
from app.web.core.fields.filter_operators import is_empty
from app.web.core.queries import capped_counts, own_rows
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.record_columns import RecordColumns, is_table_column, tables_in

#: Annotation of a sort expression: the custom column whose values are in a table of their own.
SORTED_BY = "sorted_by"
Names = tuple[str, ...] | None


def sort_of(order: list[Any], record: Any) -> tuple[Any, bool] | None:
    """(column or None for the id alone, whether descending) of an order by one of the record's columns, then by id."""
    if not 0 < len(order) < 3 or not all(isinstance(each, UnaryExpression) for each in order):
        return None
    columns, modifiers = [each.element for each in order], {each.modifier for each in order}
    if modifiers not in ({desc_op}, {asc_op}) or tables_in(columns) != {record.__tablename__}:
        return None
    if not all(is_table_column(column) for column in columns) or columns[-1].key != "id":
        return None
    return (columns[0] if len(columns) == 2 else None), modifiers == {desc_op}


@dataclass(frozen=True)
class PageStatement:
    """One page: the query, and its key among the person's other statements."""

    table: RecordColumns
    query: ListQuery
    names: Names
    offset: int
    #: The cursor, as a condition.
    before: list[Any]
    shape: access.StatementShape
    key: Hashable

    @cached_property
    def rules(self) -> list[Any]:
        """The conditions, including the cursor, with parameters in place of values."""
        return self.shape.opened([*self.query.conditions, *self.before])

    @cached_property
    def order(self) -> list[Any]:
        """The order, likewise."""
        return self.query.order if self.query.newest else self.shape.opened(self.query.order)

    @property
    def columns(self) -> list[Any]:
        """The selected columns, the id first."""
        return [*self.table.selection(self.names)[0].selected_columns]

    @property
    def open_values(self) -> dict[str, Any]:
        """The values of the parameters."""
        return self.shape.open_values

    @classmethod
    def of(cls, table: RecordColumns, query: ListQuery, names: Names) -> PageStatement:
        before = [] if query.before is None else [table.record.id < query.before]
        conditions, offset = [*query.conditions, *before], 0 if before else query.offset
        order = [] if query.newest else query.order
        shape = access.shape_of([*conditions, *order])
        cut = len(conditions)
        key = None if shape.key is None else (table, names, query.size, offset, query.newest, cut, shape.key)
        return cls(table, query, names, offset, before, shape, key)

    @property
    def wanted(self) -> access.PageQuery | None:
        """The page as a query for the fast forms of the access rules; None if they can't be used."""
        sort = sort_of(self.query.order, self.table.record)
        if sort is None or not tables_in(self.rules, access.outer_nodes) <= {self.table.name}:
            return None
        return access.PageQuery(
            self.rules, self.query.size, self.offset, *sort, name=self.key, open_values=self.open_values
        )

    def statement(self, person: access.Person | None) -> Select[Any]:
        """The SELECT of the page; at a deep offset the ids are paged on the index first."""
        query, _slices = self.table.selection(self.names)
        wanted = self.wanted if person is not None else None
        page = None if person is None or wanted is None else access.page_of_union(person, self.table.record, wanted)
        if page is not None:
            ids = page.subquery("page")
            query = query.with_hint(self.table.record, "FORCE INDEX (PRIMARY)", "mysql")
            return query.join(ids, ids.c.id == self.table.record.id).order_by(*self.order)
        bound = replace(self.query, conditions=self.rules, order=self.order)
        if self.offset < access.DEEP_OFFSET:
            query = self.table.joined(query, bound, self.names).where(*self.rules).order_by(*self.order)
            return query.limit(self.query.size).offset(self.offset)
        deep = self.table.ids(bound).order_by(*self.order).limit(self.query.size).offset(self.offset)
        ids = deep.subquery("page")
        query = query.join(ids, ids.c.id == self.table.record.id).order_by(*self.order)
        return self.table.joined(query, bound, self.names)

    def unsorted(self) -> Select[Any]:
        """The SELECT of all rows, in any order."""
        bound = replace(self.query, conditions=self.rules, order=self.order)
        return self.table.joined(self.table.selection(self.names)[0], bound, self.names).where(*self.rules)


def rows(table: RecordColumns, session: Any, query: ListQuery, names: Names = None) -> list[Any]:
    """One page of raw rows.

    If rows without a value come last, those with one are read first, in the order of an index.
    """
    if query.counted_to is not None and access.is_scanned(table.record):
        query.ways = _ways(table, session, query, query.counted_to)
    apart = _sorted_apart(query)
    if apart is not None:
        return _rows_by_value(table, session, query, names, apart)
    column = empty_last(table, query)
    if column is None:
        return _rows(table, session, query, names)
    with_value = replace(query, conditions=[*query.conditions, not_(is_empty(column))], order=query.order[1:])
    found = _rows(table, session, with_value, names)
    if len(found) == query.size:
        return found
    if not found and query.offset:  # the number of rows with a value is unknown
        return _rows(table, session, query, names)
    rest = [*query.conditions, is_empty(column)]
    size = query.size - len(found)
    return [*found, *_rows(table, session, replace(query, conditions=rest, size=size, page=0, start=0), names)]


def _sorted_apart(query: ListQuery) -> tuple[Any, bool] | None:
    """(custom column, whether descending) of a list sorted by one."""
    for each in query.order if query.before is None else ():
        column = annotations_of(getattr(each, "element", None)).get(SORTED_BY)
        if column is not None:
            return column, each.modifier is desc_op
    return None


def _rows_by_value(
    table: RecordColumns, session: Any, query: ListQuery, names: Names, by: tuple[Any, bool]
) -> list[Any]:
    """A page in the order of the index of values; rows without one come last."""
    column, turned = by
    key = table.record.id

    def statement() -> Select[Any]:
        ids = _ids_by_value(table, query, column, turned).subquery("page")
        found = table.selection(names)[0].join(ids, ids.c.id == key)
        return found.order_by(*_turned([ids.c.value, ids.c.id], turned))

    found = access.answer(session, access.CachedStatement(None, statement, guarded(table, query)), {})
    if len(found) == query.size:
        return found
    if not found and query.offset:  # the number of rows with a value is unknown
        return _rows(table, session, query, names)
    rest = replace(
        query, conditions=[*query.conditions, not_(column.present())], order=_turned([key], turned), page=0, start=0
    )
    return [*found, *_rows(table, session, replace(rest, size=query.size - len(found)), names)]


def _turned(columns: list[Any], is_down: bool) -> list[Any]:
    return [each.desc() if is_down else each.asc() for each in columns]


def _ids_by_value(table: RecordColumns, query: ListQuery, column: Any, turned: bool) -> Select[Any]:
    """The ids of the page, starting with the index of values, in its order; MariaDB would sort all records instead."""
    values = column.stored.table
    found = select(values.c.record_id.label("id"), column.stored.label("value")).select_from(values)
    found = found.join(table.record, table.record.id == values.c.record_id)
    found = table.joined_for(found, query.conditions).where(column.join_rule, *query.conditions)
    found = found.order_by(*_turned([column.stored, values.c.record_id], turned))
    found = found.prefix_with("STRAIGHT_JOIN", dialect="mysql")
    index = f"FORCE INDEX (ix_custom_value_{column.stored.name.removesuffix('_value')})"
    return found.with_hint(values, index, "mysql").limit(query.size).offset(query.offset)


def empty_last(table: RecordColumns, query: ListQuery) -> Any:
    """The record's own column of a list sorted ascending with empty values last; else None."""
    order = query.order
    if query.before is not None or query.offset >= access.DEEP_OFFSET or len(order) != 3:
        return None
    sort = sort_of(order[1:], table.record)
    return None if sort is None or sort[1] or is_table_column(order[0].element) else sort[0]


def _rows(table: RecordColumns, session: Any, query: ListQuery, names: Names) -> list[Any]:
    person, page = access.acting(session), PageStatement.of(table, query, names)
    if person is not None and access.is_entry(table.record) and page.wanted is not None:
        entries = access.newest_entries(session, person, page.wanted, query.before)
        if entries is not None:
            query.rest = entries.rest
            return _rows_of(page, session, entries.ids)
    if person is not None and access.is_scanned(table.record):
        wanted = None if page.offset >= access.DEEP_OFFSET else page.wanted
        is_own_only = query.ways is not None and query.ways[1] == 0
        is_own_only = is_own_only or access.asks_for_own(person, table.record, query.conditions)
        ids = None if wanted is None else access.page_by_person(session, person, table.record, wanted, is_own_only)
        if isinstance(ids, list):
            return _rows_of(page, session, ids)
    question = access.CachedStatement(page.key, partial(page.statement, person), partial(guarded, table, query))
    return access.answer(session, question, page.open_values)


def _rows_of(page: PageStatement, session: Any, ids: list[int]) -> list[Any]:
    """The rows with these ids in the order of the list, under the access rules."""
    if not ids:
        return []
    open_values = {f"row_{place}": key for place, key in enumerate(ids)}

    def statement() -> Select[Any]:
        parameters = [bindparam(name, 0, type_=Integer) for name in open_values]
        query, _slices = page.table.selection(page.names)
        return query.where(page.table.record.id.in_(parameters)).order_by(*page.query.order)

    order = "newest" if page.query.newest else access.key_of(*page.query.order)
    key = None if order is None else (page.table, "ids", page.names, len(ids), order)
    question = access.CachedStatement(key, statement, partial(guarded, page.table, page.query))
    return access.answer(session, question, open_values)


@dataclass(frozen=True)
class FoundRows:
    """What a search has found."""

    rule: access.KeptRule
    typed: str
    #: Returns the ORDER BY, in which the parameter "typed" is what was typed; follows from the kind of rule.
    order: Callable[[], list[Any]]
    #: The most rows that are read.
    size: int


def rows_found(table: RecordColumns, session: Any, found: FoundRows, names: Names) -> list[Any]:
    """The first of these rows, of those that the person sees."""

    def statement() -> Select[Any]:
        return table.first_rows(found.rule.make(), found.order(), found.size, names)

    key = (table, "found", names, found.size, found.rule.key)
    question = access.CachedStatement(key, statement, guarded(table) | found.rule.tables)
    return access.answer(session, question, found.rule.open_values | {"typed": found.typed})


def visible_row(table: RecordColumns, session: Any, key: int, names: Names = None) -> Any:
    """The raw row of this id if the person sees it, else None."""
    conditions = table.base_conditions()
    alone = None if conditions else own_rows.find(table, session, key, names)
    if alone is not None:
        return alone
    shape = access.shape_of(conditions)

    def statement() -> Select[Any]:
        query, _slices = table.selection(names)
        return query.where(table.record.id == bindparam("row", 0, type_=Integer), *shape.opened(conditions))

    name = None if shape.key is None else (table, "one", names, shape.key)
    question = access.CachedStatement(name, statement, guarded(table))
    found = access.answer(session, question, {"row": key, **shape.open_values})
    if not found:
        return None
    own_rows.remember_referring(table, key)
    return found[0]


def _ways(table: RecordColumns, session: Any, query: ListQuery, cap: int) -> tuple[int, int | None] | None:
    """Counts made before the page is read, if they tell how to read it.

    If the person reaches no rows through others, the page consists of their own. None if the counts don't help, or stop
    at the cap. The second number is None for people with very many leads or tickets, each of which could have rows of
    others.
    """
    person = access.acting(session)
    known = capped_counts.key_of(table.record, query.conditions)
    if person is None or capped_counts.is_capped(person, known):
        return None
    shape = access.shape_of(query.conditions)
    rules, end = shape.opened(query.conditions), query.offset + query.size
    by_holders = access.counts_by_holders(session, table.record)
    wanted = access.PageQuery(rules, cap, by_holders=by_holders)
    if not tables_in(rules, access.outer_nodes) <= {table.name} or not access.is_counted_by_path(
        person, table.record, wanted
    ):
        return None
    others = None
    if access.asks_for_own(person, table.record, query.conditions):
        others = 0
    elif access.holds_many(session, person, table.record):
        others = access.NOT_COUNTED
    few = capped_counts.were_few(person, known)
    name = None if shape.key is None else (table, "ways", cap, end, others, few, by_holders, shape.key)
    make = partial(access.count_by_path, person, table.record, wanted, end, others, few)
    question = access.CachedStatement(name, make, partial(guarded, table, query))
    ((own, others),) = access.answer(session, question, shape.open_values)
    if own < cap:
        capped_counts.remember_few(person, known)
    if others is None:
        return None
    return int(own), None if others == access.NOT_COUNTED else int(others)


#: A cap that nothing reaches.
NO_CAP = 10**9


def count(table: RecordColumns, session: Any, query: ListQuery, cap: int) -> int:
    """The number of matching rows, up to the cap."""
    if query.ways is not None and query.ways[1] is not None and cap == query.counted_to:
        return min(cap, query.ways[0] + query.ways[1])
    shape, person = access.shape_of(query.conditions), access.acting(session)
    by_holders = access.counts_by_holders(session, table.record)
    if person is not None and access.is_entry(table.record) and cap < NO_CAP:
        entries = _count_of_entries(table, session, person, query, cap)
        if entries is not None:
            return entries

    def statement() -> Select[Any]:
        found, rules = None, shape.opened(query.conditions)
        if person is not None and tables_in(rules, access.outer_nodes) <= {table.name}:
            wanted = access.PageQuery(rules, cap, by_holders=by_holders)
            found = access.exact_count(person, table.record) if cap == NO_CAP and not rules else None
            found = access.count_by_person(person, table.record, wanted) if found is None else found
        if found is not None:
            return found
        ids = table.ids(replace(query, conditions=rules))
        ones = ids.with_only_columns(literal(1).label("one"), maintain_column_froms=True)
        if cap < NO_CAP:  # with a limit, the rows are first copied
            ones = ones.limit(cap)
        return select(func.count()).select_from(ones.subquery("few"))

    name = None if shape.key is None else (table, "count", cap, by_holders, shape.key)
    question = access.CachedStatement(name, statement, partial(guarded, table, query))
    return int(access.answer(session, question, shape.open_values)[0][0] or 0)


def _count_of_entries(
    table: RecordColumns, session: Any, person: access.Person, query: ListQuery, cap: int
) -> int | None:
    """The number of entries of a timeline up to the cap; None if they are counted as other records are."""
    shape = access.shape_of(query.conditions)
    rules = shape.opened(query.conditions)
    if not tables_in(rules, access.outer_nodes) <= {table.name}:
        return None
    name = ("count", cap, shape.key) if shape.key is not None else None
    asked = access.PageQuery(rules, cap, name=name, open_values=shape.open_values)
    entries = access.newest_entries(session, person, asked)
    return None if entries is None else cap if entries.rest is not None else len(entries.ids)


def guarded(table: RecordColumns, query: ListQuery | None = None) -> frozenset[str]:
    """The tables of the statement, so that it need not be searched for them."""
    named = {table.name, *(joined.__tablename__ for joined, _on in table.joins)}
    return frozenset(named | (tables_in((*query.conditions, *query.order)) if query else set()))
