"""Pages and counts of visible rows, in forms for which the database reads little more than is shown.

The access rules are ORs: a lead is visible to its assignee or its owner, a task also to whoever sees its lead. No index
serves an OR, so the database would read and sort thousands of rows for a page of twenty. Here each way in which a
person reaches a row is a query of its own with its own index, and the page is their union. The statement that fetches
the rows still carries the access rules: a mistake here can only hide rows, not show them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.sql.visitors import iterate

from app.access.compiled_statements import CachedStatement, answer_for
from app.access.paging import holder_pages, value_pages
from app.access.paging.index_branches import (
    PageQuery,
    alias_of,
    by_value,
    for_alias,
    index_in_order,
    names_ids,
    newest,
    one_value_index,
    ordered,
    page_of,
    page_of_all,
    value_index,
)
from app.access.paging.reach_branches import (
    HOLDERS,
    PARENTS,
    access_paths,
    branches_through_others,
    customers_in_order,
    own_branches,
    shared_by,
    sources,
)
from app.access.person import Person
from app.access.row_rules import MODULE_OF, has_own_rule, reads_all, visible_alias
from app.access.rule_conditions import of_people
from app.models import Customer, Lead, Task, Ticket
from app.ops.database.database_errors import number_of

#: Key of the answers of `has_few` among what is kept with a person's rights.
_FEW = "few"
#: With more people in reach than this, one scan of the newest rows beats a look-up for each of them.
MAX_BRANCHES = 8
#: Rows that the scan of the newest rows may examine before it stops; MariaDB only.
MAX_EXAMINED = 40_000
#: MariaDB's error if the limit was reached while sorting; elsewhere it only warns.
SORT_ABORTED = 1028
#: Seconds for which a person's list isn't scanned again after its scan was stopped.
SLOW_SECONDS = 600.0
#: From this offset on, a page is deep: the ids are selected on indexes before rows are fetched.
DEEP_OFFSET = 400
#: Stands for an unknown number of rows.
NOT_COUNTED = -1


def page_by_person(
    session: Session, person: Person, record: Any, page_query: PageQuery, is_own_only: bool = False
) -> Select[Any] | list[int] | None:
    """The ids of the page's rows: a SELECT of `id` to join, or a list of ids.

    None if the access rule has no such form: the person reaches all rows, none, or those of many people. `is_own_only`:
    `count_by_path` has found no rows that the person reaches through others.
    """
    if not _has_shape(person, record) or is_of_few(record, page_query):
        return None
    if not is_scanned(record):
        return page_of_union(person, record, page_query)
    if is_own_only:
        question = _question("own", record, page_query, partial(_page_of_own, person, record, page_query))
    elif holder_pages.can_page(session, record, page_query.key):
        question = _question("holders", record, page_query, partial(holder_pages.page, session, person, page_query))
    else:
        found = _scan(session, person, record, page_query)
        if found is not None:
            return found
        question = _question("union", record, page_query, partial(_page_of_all, person, record, page_query))
    return [row[0] for row in answer_for(session, person, question, page_query.open_values)[0]]


def is_scanned(record: Any) -> bool:
    """Whether the ids of a page are found by separate statements before its rows are read."""
    return record in HOLDERS and record not in (Lead, Ticket)


def page_of_union(person: Person, record: Any, page_query: PageQuery) -> Select[Any] | None:
    """The ids of the page as a SELECT to join; None if there is none or `page_by_person` finds them."""
    if reads_all(person, record):
        return page_of_all(record, page_query)
    if is_scanned(record) or not _has_shape(person, record) or is_of_few(record, page_query):
        return None
    branches = own_branches(person, record, _order_of(page_query))
    return page_of([newest(branch, record, page_query) for branch in branches], page_query)


def counts_by_holders(session: Session, record: Any) -> bool:
    """Whether a PageQuery of this record may count tasks of others `by_holders`."""
    return record is Task and holder_pages.are_settled(session)


def finds_by_holders(session: Session, person: Person, record: Any, key: Any) -> bool:
    """Whether `first_by_holders` can be used for a list in the order of this column."""
    return holder_pages.can_page(session, record, key) and _has_shape(person, record)


def _order_of(page_query: PageQuery) -> str:
    """The column whose order the rows have to be read in: that of a deep page of all rows; "" = MariaDB may choose."""
    if page_query.conditions or page_query.offset < DEEP_OFFSET:
        return ""
    return "id" if page_query.key is None else str(page_query.key.key)


def _question(path: str, record: Any, page_query: PageQuery, make: Any) -> CachedStatement:
    """The statement as one to cache; it contains the access rules."""
    return CachedStatement(None if page_query.name is None else (path, record, page_query.name), make)


def _page_of_all(person: Person, record: Any, page_query: PageQuery) -> Select[Any]:
    return page_of(_parts(person, record, page_query), page_query)


def _page_of_own(person: Person, record: Any, page_query: PageQuery) -> Select[Any]:
    """The page of the rows that people in reach hold themselves."""
    (holder,) = HOLDERS[record]
    parts = [
        part for path in access_paths(person, record) for part in by_value(record, page_query, path, held_by=holder)
    ]
    return page_of(parts or [newest(branch, record, page_query) for branch in own_branches(person, record)], page_query)


def count_by_person(
    person: Person, record: Any, page_query: PageQuery, with_shared: bool = True, is_own_only: bool = False
) -> Select[Any] | None:
    """How many rows match, up to `size`; None if the access rule has no such form.

    If the first branch alone reaches the cap, the database never reads the others. `with_shared`: also the tickets that
    people in reach hold only as one of several assignees. `is_own_only`: without rows that the person reaches only
    through others.
    """
    if not _has_shape(person, record) or is_of_few(record, page_query):
        return None
    is_enough, own, through = _counted(person, record, page_query, with_shared)
    capped = literal(page_query.size)
    total = own if through is None or is_own_only else own + through
    rare = value_pages.count_of_rare(person, page_query) if record is Customer else None
    known = [(is_enough, capped)] if rare is None else [rare, (is_enough, capped)]
    counted = select(case(*known, else_=total).label("n")).subquery("counted")
    return select(case((counted.c.n > capped, capped), else_=counted.c.n))


def is_counted_by_path(person: Person, record: Any, page_query: PageQuery) -> bool:
    """Whether `count_by_path` can count this record for the person, and `page_by_person` can use the result.

    Not for customers: most people reach most of theirs through leads.
    """
    if not is_scanned(record) or record is Customer:
        return False
    return _has_shape(person, record) and not is_of_few(record, page_query)


def count_by_path(
    person: Person, record: Any, page_query: PageQuery, least: int, others: int | None = None, few: bool = False
) -> Select[Any]:
    """(rows that people in reach hold, rows that the person reaches only through others), each up to `size` or more.

    The second is null if the first way alone reaches `size`, or if all own rows are fewer than `least`. Otherwise it is
    `others` if given: 0 for none, or NOT_COUNTED. `few`: the rows of the first way are probably fewer than `size`, so
    they are counted at once, instead of after a look whether they reach it, which reads them, too.
    """
    is_enough, own, through = _counted(person, record, page_query)
    number = own if few else case((is_enough, literal(page_query.size)), else_=own)
    counted = select(number.label("own")).subquery("counted")
    if others is not None or through is None:
        through = literal(others or 0)
    is_asked = and_(counted.c.own < page_query.size, counted.c.own >= least)
    return select(counted.c.own, case((is_asked, through), else_=null()).label("others"))


def _counted(person: Person, record: Any, page_query: PageQuery, with_shared: bool = True) -> tuple[Any, Any, Any]:
    """(whether the first way of holding rows reaches `size`, rows by all such ways, rows through others or None)."""
    plain = PageQuery(page_query.conditions, page_query.size, by_holders=page_query.by_holders)
    first, *others = _apart(person, record, plain, with_shared)
    is_enough = first.with_only_columns(literal(1)).limit(1).offset(page_query.size - 1).scalar_subquery().is_not(None)
    own: Any = first.with_only_columns(func.count()).scalar_subquery()
    for part in others:
        own += _number_of(select(*part.limit(page_query.size).subquery().c))
    through = next(_distinct_through_others(person, record, plain), None)
    return is_enough, own, None if through is None else _number_of(through)


def _number_of(rows: Select[Any]) -> Any:
    return select(func.count()).select_from(rows.subquery()).scalar_subquery()


def is_found_apart(person: Person, record: Any, page_query: PageQuery) -> bool:
    """Whether each group of a list is best found by `page_by_person`: customers, whom most people reach through others.

    No index has them by who reaches them so, and by a value.
    """
    return record is Customer and has_few(person, record) and not is_of_few(record, page_query)


def has_few(person: Person, record: Any) -> bool:
    """Whether the person reaches only rows of a few people: `reach_conditions` covers all that these hold."""
    found: bool | None = person.derived.get((_FEW, record))
    if found is None:
        found = _has_shape(person, record)
        person.derived.keep((_FEW, record), found)
    return found


def reach_conditions(person: Person, record: Any) -> list[ColumnElement[bool]]:
    """The ways in which people in reach hold a row, as conditions on `alias_of(record)`."""
    return access_paths(person, record)


def _distinct_through_others(person: Person, record: Any, plain: PageQuery) -> Iterator[Select[Any]]:
    """The rows that the person reaches only through others, each once; nothing if there are no such ways."""
    not_own = [not_(func.coalesce(path, false())) for path in access_paths(person, record)]
    if record is Customer:
        parts = [*customers_in_order(person, replace(plain, conditions=[*plain.conditions, *not_own]), sorts=False)]
    else:
        branches, rules = branches_through_others(person, record), not_own
        if plain.by_holders:  # nobody reads these rows under the rule, so that it is asked here
            branches = holder_pages.through_others(person)
            rules = [*not_own, visible_alias(person, record, alias_of(record)[0])]
        parts = [newest(branch.where(*rules), record, plain, sorts=False) for branch in branches]
    if parts:
        yield select(union_all(*parts).subquery().c.id).distinct().limit(plain.size)


def _apart(person: Person, record: Any, page_query: PageQuery, with_shared: bool) -> list[Select[Any]]:
    """The rows of each way that are in none of the earlier ways, so that they need no comparison."""
    row, _adapter = alias_of(record)
    paths = [path for path in access_paths(person, record) if with_shared or shared_by(path) is None]
    conditions, _key = for_alias(record, page_query)
    return [
        select(row.id).where(path, *[not_(func.coalesce(other, false())) for other in paths[:place]], *conditions)
        for place, path in enumerate(paths)
    ]


def _parts(person: Person, record: Any, page_query: PageQuery, sorts: bool = True) -> list[Select[Any]]:
    """The first rows of each way in which the person reaches rows."""
    own, others = own_branches(person, record), branches_through_others(person, record)
    if record is Customer and page_query.key is None:
        return [
            *[newest(branch, record, page_query, sorts) for branch in own],
            *customers_in_order(person, page_query, sorts),
        ]
    return [newest(branch, record, page_query, sorts) for branch in (*own, *others)]


def _has_shape(person: Person, record: Any) -> bool:
    """Whether the person reaches the rows of only a few people, here and in the records that make rows visible."""
    if record not in HOLDERS or not has_own_rule(record) or not person.reach(MODULE_OF[record]):
        return False
    return all(_is_few(person.reach(MODULE_OF[each])) for each in {record, *sources(person, record)})


def is_of_few(record: Any, page_query: PageQuery) -> bool:
    """Whether a condition names ids of the rows, as a search does, or of their lead, ticket or customer: few match."""
    if any(names_ids(record, condition) for condition in page_query.conditions):
        return True
    names = PARENTS.get(record, {})
    nodes = (node for condition in page_query.conditions for node in iterate(condition))
    return any(isinstance(node, Column) and node.name in names for node in nodes)


def _is_few(reach: frozenset[int] | None) -> bool:
    return reach is not None and len(reach) <= MAX_BRANCHES


# --- scanning


def _scan(session: Session, person: Person, record: Any, page_query: PageQuery) -> list[int] | None:
    """The ids of the page, found by reading rows in list order and checking the rule for each; None if it took too
    long.

    If a person sees every fortieth row, a page of twenty is found among 800 rows; if they see few, never.
    """
    if record is Customer and page_query.key is None and not person.may("Tickets", "read"):
        return None  # leads are read in index order; shared tickets have no such index
    name = (record, page_query.name)
    if page_query.name is not None and (person.slow_scans.get(name) or 0.0) > time.monotonic():
        return None
    if index_in_order(record, "id" if page_query.key is None else page_query.key.key) is None:
        return None
    page_query = _up_to_own(session, person, record, page_query)
    question = _question("scan", record, page_query, partial(_scanning, person, record, page_query))
    if (rows := _unless_too_many(session, person, question, page_query)) is not None:
        return [row[0] for row in rows]
    if page_query.name is not None:
        person.slow_scans.keep(name, time.monotonic() + SLOW_SECONDS)
    return None


def _up_to_own(session: Session, person: Person, record: Any, page_query: PageQuery) -> PageQuery:
    """The query, ended where the person's own rows fill the page; else each value is read to fill it alone."""
    (holder,) = HOLDERS[record]
    if value_index(record, page_query) is None or value_index(record, page_query, holder) is None:
        return page_query
    question = _question("own end", record, page_query, partial(_own_end, person, record, page_query))
    rows, _warnings = answer_for(session, person, question, page_query.open_values)
    if not rows:
        return page_query
    key = getattr(page_query.key, "expression", page_query.key)
    end = bindparam("own_end", None, type_=key.type)
    rule = key >= end if page_query.descending else key <= end
    name = None if page_query.name is None else (page_query.name, "own end")
    return replace(
        page_query,
        conditions=[*page_query.conditions, rule],
        name=name,
        open_values=page_query.open_values | {"own_end": rows[0][0]},
    )


def _own_end(person: Person, record: Any, page_query: PageQuery) -> Select[Any]:
    """The key of the last row of the page if it had only the person's own rows, each held in one way."""
    (holder,) = HOLDERS[record]
    parts = [
        part for path in access_paths(person, record) for part in by_value(record, page_query, path, held_by=holder)
    ]
    key = union_all(*parts).subquery("own").c.key
    return select(key).order_by(*ordered([key], page_query.descending)).limit(1).offset(page_query.limit - 1)


def _unless_too_many(
    session: Session, person: Person, question: CachedStatement, page_query: PageQuery
) -> list[Any] | None:
    """The rows; None if more than the allowed number had to be examined."""
    try:
        rows, warnings = answer_for(session, person, question, page_query.open_values)
    except OperationalError as broken:
        if number_of(broken) != SORT_ABORTED:
            raise
        return None
    return None if warnings else rows


def _scanning(person: Person, record: Any, page_query: PageQuery) -> Select[Any]:
    row, _adapter = alias_of(record)
    begun = _rows_to_scan(person, record)
    parts = by_value(record, page_query, begun=begun)
    if parts:
        return page_of(parts, page_query).suffix_with(f"ROWS EXAMINED {MAX_EXAMINED}", dialect="mysql")
    conditions, key = for_alias(record, page_query)
    found = one_value_index(record, page_query)
    index = index_in_order(record, "id" if key is None else key.name) if found is None else found[1]
    order = ordered([row.id] if key is None else [key, row.id], page_query.descending)
    query = begun.where(*conditions).order_by(*order)
    query = query.limit(page_query.size).offset(page_query.offset).with_hint(row, f"FORCE INDEX ({index})", "mysql")
    return query.suffix_with(f"ROWS EXAMINED {MAX_EXAMINED}", dialect="mysql")


def _rows_to_scan(person: Person, record: Any) -> Select[Any]:
    """The rows that the person sees.

    If they see others' tasks only through leads, each is joined with its lead: a sub-query for each costs MariaDB a
    third more.
    """
    row, _adapter = alias_of(record)
    if record is not Task or [*sources(person, Task)] != [Lead]:
        return select(row.id).where(visible_alias(person, record, row))
    lead, _adapter = alias_of(Lead)
    own = of_people(row.assignee_id, person.reach("Tasks"))
    found = select(row.id).select_from(row)
    is_others = not_(func.coalesce(own, false()))  # else the leads of own tasks would be read, too
    found = found.outerjoin(lead, and_(lead.id == row.lead_id, is_others, visible_alias(person, Lead, lead)))
    return found.where(or_(own, lead.id.is_not(None))).with_hint(lead, "FORCE INDEX (PRIMARY)", "mysql")
