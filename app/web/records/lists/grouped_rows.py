"""A list in groups, by status or person: the first rows and the count of each, by two statements in all.

Used by boards and grouped lists. Each group is a range of an index, so that its cost doesn't depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Integer, Select, bindparam, func, literal, not_, null, select, union_all

from app import access
from app.access.paging.grouped_paging import Way
from app.extensions import db
from app.web.core.fields.filter_operators import is_empty
from app.web.core.queries import capped_counts
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.record_columns import tables_in
from app.web.core.queries.record_pages import empty_last, sort_of
from app.web.core.queries.record_table import COUNT_CAP, RecordTable
from app.web.core.viewer import Viewer
from app.web.records.lists.list_groups import NOBODY, ListGroup, groups_of

# --- the statements


@dataclass(frozen=True)
class _GroupStatements:
    """The query shared by the groups; its conditions have parameters in place of values."""

    table: RecordTable
    #: The field by which the rows are grouped, and its column.
    name: str
    column: Any
    rules: list[Any]
    order: list[Any]
    open_values: dict[str, Any]
    key: Hashable
    tables: frozenset[str]

    @classmethod
    def of(cls, table: RecordTable, query: ListQuery, name: str) -> _GroupStatements:
        shape = access.shape_of([*query.conditions, *query.order])
        opened, cut = shape.opened([*query.conditions, *query.order]), len(query.conditions)
        named = {table.name, *(joined.__tablename__ for joined, _on in table.joins)}
        tables = frozenset(named | tables_in((*query.conditions, *query.order)))
        column = table.by_name[name].columns[0]
        return cls(table, name, column, opened[:cut], opened[cut:], shape.open_values, shape.key, tables)

    def where(self, group: ListGroup) -> Any:
        return self.column.is_(None) if group.value == NOBODY else self.column == literal(group.value)

    def ids(self, group: ListGroup) -> Select[Any]:
        query = ListQuery([*self.rules, self.where(group)], self.order, 0)
        return self.table.ids(query)

    def ask(self, session: Any, what: Hashable, groups: Sequence[ListGroup], make: Any) -> list[tuple[Any, ...]]:
        values = tuple(group.value for group in groups)
        key = None if self.key is None else (self.table, "groups", what, self.column.key, values, self.key)
        return access.answer(session, access.CachedStatement(key, make, self.tables), self.open_values)


@dataclass(frozen=True)
class GroupedList:
    """A list in groups: of which screen, by which field, which rows and which of their fields."""

    screen: Any
    #: The field by which its rows are grouped.
    name: str
    query: ListQuery
    #: The fields that are read of each row.
    names: tuple[str, ...]

    def load(self, viewer: Viewer) -> list[ListGroup]:
        """The groups with their counts and first rows; for people, only groups with rows."""
        groups = groups_of(self.screen, self.name, viewer)
        replace(self, query=replace(self.query, page=0)).load_rows(groups)
        if self.name != "status":
            groups = [group for group in groups if group.count]
        self.screen.record_table.prepare([row for group in groups for row in group.rows], self.names, viewer)
        return groups

    def load_rows(self, groups: list[ListGroup]) -> None:
        """Fill in the number of rows of each group, up to the cap, and its first rows in list order.

        `query.size` rows each, starting at `query.offset`; one statement for counts and ids, one for the rows.
        """
        if not groups:
            return
        table, session = self.screen.record_table, db.session()
        pages = _Pages(_GroupStatements.of(table, self.query, self.name), self.query, access.acting(session))
        if pages.looks_at_newest():
            replace(pages, way="newest").load_ids(groups)
            _complete(pages, groups)
        else:
            pages.load_ids(groups)
        if pages.counts_own_only():
            _add_others(groups, self.query)
        rows = _rows(table, session, [key for group in groups for key in group.ids], self.names)
        for group in groups:
            group.rows = [rows[key] for key in group.ids if key in rows]


@dataclass(frozen=True)
class _Pages:
    """The page of each group: the statements, for whom, and how tickets are found that several people hold."""

    statements: _GroupStatements
    query: ListQuery
    person: access.Person | None
    way: Way = "all"

    def load_ids(self, groups: list[ListGroup]) -> None:
        """Fill in the number of rows of each group and the ids of its page."""
        counts, apart = _Counts.of(self, groups), self._apart_query()
        is_apart = apart is not None
        by_holders = (self._counts_by_holders, self.finds_by_holders())
        what = (
            self.query.size,
            self.query.offset,
            counts.wanted,
            self.counts_own_only(),
            *by_holders,
            self.way,
            is_apart,
        )
        shared, counted = dict[int, int](), dict[int, int]()
        make = partial(self._counts_and_ids, groups, counts.wanted, is_apart)
        is_asked = counts.wanted or not is_apart
        found_rows = self.statements.ask(db.session(), what, groups, make) if is_asked else []
        for place, found, _at, count in sorted(found_rows, key=lambda row: (row[0], row[2])):
            if place >= 0:
                groups[place].ids.append(found)
                shared[place] = count
            else:
                counted[-1 - place] = found
        for place, count in counted.items():
            counts.take(place, count + shared.get(place, 0))
        if apart is not None:
            self._load_apart([group for group in groups if group.count], apart)

    def _apart_query(self) -> access.PageQuery | None:
        """The query of all groups, if the page of each is found by a statement of its own."""
        statements, query, record = self.statements, self.query, self.statements.table.record
        sort = sort_of(query.order, record)
        if self.person is None or sort is None or query.offset >= access.DEEP_OFFSET or not self._is_own():
            return None
        asked = access.PageQuery(statements.rules, query.size, query.offset, *sort, open_values=statements.open_values)
        return asked if access.is_found_apart(self.person, record, asked) else None

    def _load_apart(self, groups: list[ListGroup], asked: access.PageQuery) -> None:
        """Fill in the ids of each of these groups."""
        statements, person = self.statements, self.person
        if person is None:
            return
        for group in groups:
            shape = (statements.name, group.value, asked.size, asked.offset, statements.key)
            name = None if statements.key is None else ("group", *shape)
            wanted = replace(asked, conditions=[*statements.rules, statements.where(group)], name=name)
            found = access.page_by_person(db.session(), person, statements.table.record, wanted)
            group.ids = found if isinstance(found, list) else []

    def looks_at_newest(self) -> bool:
        """Whether shared tickets are looked for among the newest ones first."""
        wanted = self._shared_query()
        if self.person is None or wanted is None:
            return False
        return access.holds_many_tickets(db.session(), self.person, wanted)

    def counts_own_only(self) -> bool:
        """Whether only rows that people in reach hold themselves are counted, as in a list of who holds very many."""
        record = self.statements.table.record
        if self.person is None or not self._is_own():
            return False
        wanted = access.PageQuery([*self.statements.rules, self.statements.column.is_(None)], COUNT_CAP + 1)
        is_by_path = access.is_counted_by_path(self.person, record, wanted)
        return is_by_path and access.holds_many(db.session(), self.person, record)

    @property
    def _counts_by_holders(self) -> bool:
        return access.counts_by_holders(db.session(), self.statements.table.record)

    def finds_by_holders(self) -> bool:
        """Whether the tasks of a board are found by who holds them or their lead or ticket."""
        statements, column = self.statements, empty_last(self.statements.table, self.query)
        if self.person is None or column is None or statements.name != "status" or not self._is_own():
            return False
        return access.finds_by_holders(db.session(), self.person, statements.table.record, column)

    def _is_own(self) -> bool:
        """Whether the fast forms of the access rules can be used: the groups use only the record's own columns."""
        named = tables_in((*self.query.conditions, *self.query.order, self.statements.column), access.outer_nodes)
        return self.person is not None and named <= {self.statements.table.name}

    def _shared_query(self) -> access.PageQuery | None:
        """The query of a page of tickets that several people may hold; None if it has no fast form."""
        record = self.statements.table.record
        sort = sort_of(self.query.order, record)
        if self.person is None or sort is None or not self._is_own():
            return None
        wanted = access.PageQuery(self.statements.rules, self.query.size, self.query.offset, *sort)
        return wanted if access.is_shared(self.person, record, wanted) else None

    def _counts_and_ids(self, groups: list[ListGroup], counted: Sequence[int], is_apart: bool) -> Any:
        """(index of the group, id, index in it if pages are not in order, number of rows that aren't counted below).

        (-1 - index, count, 0, 0) of each counted group.
        """
        together = self._pages_together(groups)
        parts = [] if together is None else [together]
        for place, group in enumerate(groups if together is None and not is_apart else ()):
            page = self._page_of(group).subquery()
            parts.append(
                select(literal(place).label("place"), page.c.id, literal(0).label("at"), literal(0).label("shared"))
            )
        count = partial(access.count_by_person, with_shared=together is None, is_own_only=self.counts_own_only())
        for place in counted:
            number = self._count_of(groups[place], count)
            parts.append(select(literal(-1 - place), number, literal(0), literal(0)))
        return union_all(*parts)

    def _pages_together(self, groups: Sequence[ListGroup]) -> Any:
        """The pages of all groups in one SELECT, for records that several people hold; None for others."""
        wanted = self._shared_query()
        if self.person is None or wanted is None:
            return None
        conditions = [self.statements.where(group) for group in groups]
        return access.pages_of_groups(self.person, conditions, wanted, self.way)

    def _page_of(self, group: ListGroup) -> Any:
        statements, query, record = self.statements, self.query, self.statements.table.record
        sort = sort_of(query.order, record)
        if self.person is not None and sort is not None and self._is_own():
            wanted = access.PageQuery([*statements.rules, statements.where(group)], query.size, query.offset, *sort)
            found = access.page_of_union(self.person, record, wanted)
            if found is not None:
                return found
        column = empty_last(statements.table, query)
        if column is not None:
            return self._page_by_value(group, column)
        return statements.ids(group).order_by(*statements.order).limit(query.size).offset(query.offset)

    def _page_by_value(self, group: ListGroup, column: Any) -> Any:
        """A page whose rows without a value come last; both kinds are read in the order of an index, up to the page."""
        statements, query, parts = self.statements, self.query, []
        index = access.index_of(statements.table.record, statements.column.key, column.key)
        for place, rule in enumerate((not_(is_empty(column)), is_empty(column))):
            if self.person is not None and self.finds_by_holders():
                parts.append(self._first_by_holders(group, self.person, column, place))
                continue
            if held := self._first_of_holder(group, column, rule):
                ways = [each.subquery() for each in held]
                parts += [select(way.c.id, way.c.key.label("value"), literal(place).label("place")) for way in ways]
                continue
            part = statements.ids(group).add_columns(column.label("value"), literal(place).label("place")).where(rule)
            if index is not None:  # MariaDB would rather read all due times, in order, for a status that few have
                part = part.with_hint(statements.table.record, f"FORCE INDEX ({index})", "mysql")
            first = part.order_by(*statements.order[1 + place :]).limit(query.offset + query.size).subquery()
            parts.append(select(first))
        found = union_all(*parts).subquery()
        page = select(found.c.id).order_by(found.c.place, found.c.value, found.c.id)
        return page.limit(query.size).offset(query.offset)

    def _first_of_holder(self, group: ListGroup, column: Any, rule: Any) -> list[Select[Any]]:
        """(id, key) of the first rows of a group by people, where an index has them by the values of a condition."""
        if self.person is None or self.statements.name == "status" or not self._is_own():
            return []
        query, held_by = self.query, (self.statements.column.key, group.value)
        wanted = access.PageQuery([*self.statements.rules, rule], query.size, query.offset, column, descending=False)
        return access.first_of_holder(self.person, self.statements.table.record, wanted, held_by)

    def _first_by_holders(self, group: ListGroup, person: access.Person, column: Any, place: int) -> Select[Any]:
        """(id, value, place) of the first tasks with a due time, or, at place 1, of those without one."""
        rule, query = (not_(is_empty(column)), is_empty(column))[place], self.query
        rules = [*self.statements.rules, self.statements.where(group), rule]
        key = None if place else column
        wanted = access.PageQuery(rules, query.size, query.offset, key, descending=False)
        first = access.first_by_holders(db.session(), person, wanted).subquery()
        return select(first.c.id, null() if place else first.c.key.label("value"), literal(place).label("place"))

    def _count_of(self, group: ListGroup, count: Callable[..., Select[Any] | None]) -> Any:
        """`count`: `access.count_by_person` with what it is to count."""
        statements = self.statements
        if self.person is not None and self._is_own():
            rules = [*statements.rules, statements.where(group)]
            wanted = access.PageQuery(rules, COUNT_CAP + 1, by_holders=self._counts_by_holders)
            found = count(self.person, statements.table.record, wanted)
            if found is not None:
                return found.scalar_subquery()
        few = statements.ids(group).with_only_columns(literal(1).label("one"), maintain_column_froms=True)
        return select(func.count()).select_from(few.limit(COUNT_CAP + 1).subquery()).scalar_subquery()


def _complete(pages: _Pages, groups: list[ListGroup]) -> None:
    """Look through all tickets for the groups whose page the newest ones don't fill; the others may have more."""
    rest, query = [], pages.query
    for group in groups:
        if len(group.ids) < query.size:
            group.ids, group.count, group.is_capped = [], 0, False
            rest.append(group)
        else:
            group.count, group.is_capped = max(group.count, query.offset + query.size), True
    if rest:
        replace(pages, way="rest").load_ids(rest)


def _add_others(groups: Sequence[ListGroup], query: ListQuery) -> None:
    """Complete counts of own rows: a full page says that there are at least so many, any other how many there are."""
    for group in groups:
        shown = query.offset + len(group.ids)
        if len(group.ids) < query.size and (group.ids or not query.offset):
            group.count, group.is_capped = shown, False
        else:
            group.count, group.is_capped = max(group.count, shown), True


@dataclass(frozen=True)
class _Counts:
    """Which groups have to be counted: those above the cap a moment ago are assumed to be so still."""

    groups: list[ListGroup]
    #: Index of a group -> the cache key of its count; None = not cached.
    keys: Sequence[Hashable]
    #: Indexes of the groups to count.
    wanted: tuple[int, ...]
    person: access.Person | None

    @classmethod
    def of(cls, pages: _Pages, groups: list[ListGroup]) -> _Counts:
        """Find the groups to count; the others get their cached result."""
        record, person = pages.statements.table.record, pages.person
        base = None if person is None else capped_counts.key_of(record, pages.query.conditions)
        keys = [None if base is None else (base, pages.statements.name, group.value) for group in groups]
        wanted = []
        for place, (group, key) in enumerate(zip(groups, keys, strict=True)):
            if person is not None and capped_counts.is_capped(person, key):
                group.is_capped, group.count = True, COUNT_CAP
            else:
                wanted.append(place)
        return cls(groups, keys, tuple(wanted), person)

    def take(self, place: int, count: int) -> None:
        """Set the count of the group at this index, and cache it if it stopped at the cap."""
        group = self.groups[place]
        group.is_capped, group.count = count > COUNT_CAP, min(count, COUNT_CAP)
        if group.is_capped and self.person is not None:
            capped_counts.remember(self.person, self.keys[place])


def _rows(table: RecordTable, session: Any, ids: list[int], names: tuple[str, ...]) -> dict[int, Any]:
    """The rows of these ids under the access rules, by id."""
    if not ids:
        return {}
    open_values = {f"row_{place}": key for place, key in enumerate(access.padded(ids))}

    def make() -> Select[Any]:
        parameters = [bindparam(name, 0, type_=Integer) for name in open_values]
        return table.selection(names)[0].where(table.record.id.in_(parameters))

    tables = frozenset({table.name, *(joined.__tablename__ for joined, _on in table.joins)})
    question = access.CachedStatement((table, "rows of groups", names, len(open_values)), make, tables)
    return {row[0]: row for row in access.answer(session, question, open_values)}
