"""A list in groups, by status or person: the first rows and the count of each, by two statements in all.

Used by boards and grouped lists. Each group is a range of an index, so that its cost doesn't depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Integer, Select, bindparam, func, literal, not_, select, union_all

from app import access
from app.access.grouped_paging import Way
from app.domain.base import RuleBroken
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.web.core.fields.filter_operators import is_empty
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.default_labels import shown_label
from app.web.core.queries import capped_counts
from app.web.core.queries.record_pages import empty_last, sort_of, tables_in
from app.web.core.queries.record_table import COUNT_CAP, ListQuery, RecordTable
from app.web.core.viewer import Viewer

#: Cards of a column that are loaded at once, more than a window shows; initial rows of a group; the most people as
#: groups, the current person first.
CARDS, ROWS, MAX_PEOPLE = 8, 10, 60
#: A value that isn't an id: the group of rows without one.
NOBODY = 0


@dataclass
class ListGroup:
    """One group: its value, its label, and its number of rows."""

    value: Any
    label: str
    color: str = "gray"
    person: dict[str, Any] | None = None
    count: int = 0
    is_capped: bool = False
    ids: list[int] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)

    @property
    def count_text(self) -> str:
        """The number of rows as text: “1,000+” if there are at least so many."""
        return grouped(self.count) + ("+" if self.is_capped else "")


def total_text(groups: list[ListGroup]) -> str:
    """The number of records in all groups: “1,234+” if counting stopped in one of them."""
    total = sum(group.count for group in groups)
    return grouped(total) + ("+" if any(group.is_capped for group in groups) else "")


def columns_of(screen: Any) -> dict[str, Any]:
    """The columns by which the list can be grouped, with their labels."""
    named = screen.record_table.by_name
    names = [name for name in ("status", "assignee") if name in named and len(named[name].columns)]
    return {name: named[name].label for name in names if name != "status" or has_statuses(screen)}


def has_statuses(screen: Any) -> bool:
    """Whether the rows have one of few statuses: from a picklist, or fixed ones."""
    status = screen.record_table.by_name.get("status")
    return bool(screen.status_picklist) or (status is not None and status.kind == "choice" and bool(status.options))


def groups_of(screen: Any, name: str, viewer: Viewer) -> list[ListGroup]:
    """The groups by this column, including empty ones. Raises RuleBroken for a column that can't be grouped by."""
    if name not in columns_of(screen):
        raise RuleBroken(_("This list can't be grouped by “%(name)s”.", name=name[:60]), "group")
    if name == "status":
        return _statuses(screen, viewer)
    return _people(screen, viewer)


def _statuses(screen: Any, viewer: Viewer) -> list[ListGroup]:
    if screen.status_picklist:
        cards, offered = viewer.lookups.cards[screen.status_picklist], viewer.lookups.offered[screen.status_picklist]
        return [ListGroup(key, shown_label(cards[key]["label"]), cards[key].get("color") or "gray") for key in offered]
    status = screen.record_table.by_name["status"]
    words, colors = status.words, status.colors
    return [
        ListGroup(each, str(words.get(each) or shown_label(each)), colors.get(each, "gray")) for each in status.options
    ]


def people_left_out(screen: Any, name: str, viewer: Viewer) -> int:
    """How many colleagues a list grouped by people leaves out."""
    return max(0, len(_within(screen, viewer)) - MAX_PEOPLE) if name != "status" else 0


def _within(screen: Any, viewer: Viewer) -> list[int]:
    """The active colleagues in the person's reach, the person first."""
    reach, people = viewer.person.reach(screen.module), viewer.lookups.people
    within = [key for key in people if (reach is None or key in reach) and key in viewer.lookups.active]
    return sorted(within, key=lambda key: (key != viewer.person.id, people[key]["full_name"].casefold()))


def _people(screen: Any, viewer: Viewer) -> list[ListGroup]:
    """The colleagues in the person's reach, and nobody."""
    people, within = viewer.lookups.people, _within(screen, viewer)
    made = [ListGroup(key, people[key]["full_name"], person=person_card(people[key])) for key in within[:MAX_PEOPLE]]
    return [*made, ListGroup(NOBODY, _("No one"))]


# --- the statements


@dataclass(frozen=True)
class _GroupStatements:
    """The query shared by the groups; its conditions have parameters in place of values."""

    table: RecordTable
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
        return cls(table, column, opened[:cut], opened[cut:], shape.open_values, shape.key, tables)

    def where(self, group: ListGroup) -> Any:
        return self.column.is_(None) if group.value == NOBODY else self.column == literal(group.value)

    def ids(self, group: ListGroup) -> Select[Any]:
        query = ListQuery([*self.rules, self.where(group)], self.order, 0)
        return self.table.ids(query)

    def ask(self, session: Any, what: Hashable, groups: Sequence[ListGroup], make: Any) -> list[tuple[Any, ...]]:
        values = tuple(group.value for group in groups)
        key = None if self.key is None else (self.table, "groups", what, self.column.key, values, self.key)
        return access.answer(session, access.CachedStatement(key, make, self.tables), self.open_values)


def load_rows(screen: Any, name: str, query: ListQuery, groups: list[ListGroup], names: tuple[str, ...]) -> None:
    """Fill in the number of rows of each group, up to the cap, and its first rows in list order.

    `query.size` rows each, starting at `query.offset`; one statement for counts and ids, one for the rows.
    """
    if not groups:
        return
    statements, session = _GroupStatements.of(screen.record_table, query, name), db.session()
    person = access.acting(session)
    way: Way = "newest" if _looks_at_newest(statements, query, person) else "all"
    _load_ids(statements, name, query, groups, person, way)
    if way == "newest":
        _complete(statements, name, query, groups, person)
    if _counts_own_only(statements, query, person):
        _add_others(groups, query)
    rows = _rows(screen.record_table, session, [key for group in groups for key in group.ids], names)
    for group in groups:
        group.rows = [rows[key] for key in group.ids if key in rows]


def _load_ids(
    statements: _GroupStatements,
    name: str,
    query: ListQuery,
    groups: list[ListGroup],
    person: access.Person | None,
    way: Way,
) -> None:
    """Fill in the number of rows of each group and the ids of its page."""
    counts = _Counts.of(statements.table.record, name, query, groups, person)
    is_own_only = _counts_own_only(statements, query, person)
    what = (query.size, query.offset, counts.wanted, is_own_only, way)
    make = partial(_counts_and_ids, statements, query, groups, counts.wanted, person, is_own_only, way)
    shared, counted = dict[int, int](), dict[int, int]()
    found_rows = statements.ask(db.session(), what, groups, make)
    for place, found, _at, count in sorted(found_rows, key=lambda row: (row[0], row[2])):
        if place >= 0:
            groups[place].ids.append(found)
            shared[place] = count
        else:
            counted[-1 - place] = found
    for place, count in counted.items():
        counts.take(place, count + shared.get(place, 0))


def _complete(
    statements: _GroupStatements,
    name: str,
    query: ListQuery,
    groups: list[ListGroup],
    person: access.Person | None,
) -> None:
    """Look through all tickets for the groups whose page the newest ones don't fill; the others may have more."""
    rest = []
    for group in groups:
        if len(group.ids) < query.size:
            group.ids, group.count, group.is_capped = [], 0, False
            rest.append(group)
        else:
            group.count, group.is_capped = max(group.count, query.offset + query.size), True
    if rest:
        _load_ids(statements, name, query, rest, person, "rest")


def _looks_at_newest(statements: _GroupStatements, query: ListQuery, person: access.Person | None) -> bool:
    """Whether shared tickets are looked for among the newest ones first."""
    wanted = _shared_query(statements, query, person)
    return person is not None and wanted is not None and access.holds_many_tickets(db.session(), person, wanted)


def _shared_query(
    statements: _GroupStatements, query: ListQuery, person: access.Person | None
) -> access.PageQuery | None:
    """The query of a page of tickets that several people may hold; None if it has no fast form."""
    sort = sort_of(query.order, statements.table.record)
    if person is None or sort is None or not _is_own(statements, query, person):
        return None
    wanted = access.PageQuery(statements.rules, query.size, query.offset, *sort)
    return wanted if access.is_shared(person, statements.table.record, wanted) else None


def _counts_own_only(statements: _GroupStatements, query: ListQuery, person: access.Person | None) -> bool:
    """Whether only rows that people in reach hold themselves are counted, as in a list of who holds very many leads."""
    record = statements.table.record
    if person is None or not _is_own(statements, query, person):
        return False
    wanted = access.PageQuery([*statements.rules, statements.column.is_(None)], COUNT_CAP + 1)
    return access.is_counted_by_path(person, record, wanted) and access.holds_many(db.session(), person, record)


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
    def of(
        cls, record: Any, name: str, query: ListQuery, groups: list[ListGroup], person: access.Person | None
    ) -> _Counts:
        """Find the groups to count; the others get their cached result."""
        base = None if person is None else capped_counts.key_of(record, query.conditions)
        keys = [None if base is None else (base, name, group.value) for group in groups]
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


def _counts_and_ids(
    statements: _GroupStatements,
    query: ListQuery,
    groups: list[ListGroup],
    counted: Sequence[int],
    person: access.Person | None,
    is_own_only: bool,
    way: Way,
) -> Any:
    """(index of the group, id, index in the group if pages are not in order, number of rows that aren't counted below).

    (-1 - index, count, 0, 0) of each counted group.
    """
    together = _pages_together(statements, query, groups, person, way)
    parts = [] if together is None else [together]
    for place, group in enumerate(groups if together is None else ()):
        page = _page_of(statements, query, group, person).subquery()
        parts.append(
            select(literal(place).label("place"), page.c.id, literal(0).label("at"), literal(0).label("shared"))
        )
    count = partial(access.count_by_person, with_shared=together is None, is_own_only=is_own_only)
    for place in counted:
        number = _count_of(statements, query, groups[place], person, count)
        parts.append(select(literal(-1 - place), number, literal(0), literal(0)))
    return union_all(*parts)


def _pages_together(
    statements: _GroupStatements,
    query: ListQuery,
    groups: Sequence[ListGroup],
    person: access.Person | None,
    way: Way,
) -> Any:
    """The pages of all groups in one SELECT, for records that several people hold; None for others."""
    wanted = _shared_query(statements, query, person)
    if person is None or wanted is None:
        return None
    return access.pages_of_groups(person, [statements.where(group) for group in groups], wanted, way)


def _is_own(statements: _GroupStatements, query: ListQuery, person: access.Person | None) -> bool:
    """Whether the fast forms of the access rules can be used: the groups use only the record's own columns."""
    named = tables_in((*query.conditions, *query.order, statements.column), access.outer_nodes)
    return person is not None and named <= {statements.table.name}


def _page_of(statements: _GroupStatements, query: ListQuery, group: ListGroup, person: access.Person | None) -> Any:
    sort = sort_of(query.order, statements.table.record)
    if person is not None and sort is not None and _is_own(statements, query, person):
        wanted = access.PageQuery([*statements.rules, statements.where(group)], query.size, query.offset, *sort)
        found = access.page_of_union(person, statements.table.record, wanted)
        if found is not None:
            return found
    column = empty_last(statements.table, query)
    if column is not None:
        return _page_by_value(statements, query, group, column)
    return statements.ids(group).order_by(*statements.order).limit(query.size).offset(query.offset)


def _page_by_value(statements: _GroupStatements, query: ListQuery, group: ListGroup, column: Any) -> Any:
    """A page whose rows without a value come last; both kinds are read in the order of an index, up to the page."""
    parts = []
    record = statements.table.record
    index = access.index_of(record, statements.column.key, column.key)
    for place, rule in enumerate((not_(is_empty(column)), is_empty(column))):
        part = statements.ids(group).add_columns(column.label("value"), literal(place).label("place")).where(rule)
        if index is not None:  # MariaDB would rather read all due times, in order, for a status that few have
            part = part.with_hint(record, f"FORCE INDEX ({index})", "mysql")
        first = part.order_by(*statements.order[1 + place :]).limit(query.offset + query.size).subquery()
        parts.append(select(first))
    found = union_all(*parts).subquery()
    page = select(found.c.id).order_by(found.c.place, found.c.value, found.c.id)
    return page.limit(query.size).offset(query.offset)


def _count_of(
    statements: _GroupStatements,
    query: ListQuery,
    group: ListGroup,
    person: access.Person | None,
    count: Callable[..., Select[Any] | None],
) -> Any:
    """`count`: `access.count_by_person` with what it is to count."""
    if person is not None and _is_own(statements, query, person):
        wanted = access.PageQuery([*statements.rules, statements.where(group)], COUNT_CAP + 1)
        found = count(person, statements.table.record, wanted)
        if found is not None:
            return found.scalar_subquery()
    few = statements.ids(group).with_only_columns(literal(1).label("one"), maintain_column_froms=True)
    return select(func.count()).select_from(few.limit(COUNT_CAP + 1).subquery()).scalar_subquery()


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


def load(screen: Any, name: str, query: ListQuery, names: tuple[str, ...], viewer: Viewer) -> list[ListGroup]:
    """The groups of this list with their counts and first rows; for people, only groups with rows."""
    groups = groups_of(screen, name, viewer)
    load_rows(screen, name, replace(query, page=0), groups, names)
    if name != "status":
        groups = [group for group in groups if group.count]
    screen.record_table.prepare([row for group in groups for row in group.rows], names, viewer)
    return groups
