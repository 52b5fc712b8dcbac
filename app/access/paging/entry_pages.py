"""The newest timeline entries of everything that a person sees.

Entries repeat nobody who holds their lead, ticket or customer, so that no index has those of a person in order. The
newest entries of everybody are looked through first. If they don't fill the page, the others of who holds few records
are found by these. For who holds many, more entries are looked through, but no more than `CHUNK` times `CHUNKS`: the
page may then be short, and says where to go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Integer, Select, bindparam, func, select, union
from sqlalchemy.orm import Session

from app.access.compiled_statements import CachedStatement, answer_for
from app.access.paging.counting_limits import holds_many
from app.access.paging.fast_paging import has_few, is_of_few
from app.access.paging.index_branches import PageQuery, alias_of, for_alias, newest, one_value_index
from app.access.paging.reach_branches import branches_through_others, sources
from app.access.person import Person
from app.access.row_rules import RULES, activities, has_added_timelines
from app.models import Activity

#: So many of the newest entries are looked through by one statement, and so many statements are sent for a page.
CHUNK, CHUNKS = 10_000, 5
#: More than any person reaches.
_ALL = 10**9
_FIRST, _END = "first_looked_through", "end_looked_through"


@dataclass(frozen=True)
class FoundEntries:
    """The ids of a page, the newest first."""

    ids: list[int]
    #: Entries with smaller ids weren't looked through, though the page isn't full; None = all were that have to be.
    rest: int | None = None


def is_entry(record: Any) -> bool:
    """Whether `newest_entries` finds the ids of a page of this record."""
    return record is Activity


def newest_entries(
    session: Session, person: Person, page_query: PageQuery, before: int | None = None
) -> FoundEntries | None:
    """The page of entries with ids smaller than `before`; None if the access rule or conditions have a better way.

    That is for who sees everything or the records of many people, and for entries of one person, lead, ticket or
    customer.
    """
    if not _has_shape(person, page_query):
        return None
    is_many = holds_many(session, person, Activity)
    found = _looked_through(session, person, page_query, before, CHUNKS if is_many else 1)
    if is_many or found.rest is None:
        return found
    question = _question("reached", page_query, partial(_reached, person, page_query))
    return FoundEntries([row[0] for row in answer_for(session, person, question, page_query.open_values)[0]])


def _has_shape(person: Person, page_query: PageQuery) -> bool:
    if not sees_few_records(person):
        return False
    if page_query.key is not None or not page_query.descending or is_of_few(Activity, page_query):
        return False
    return one_value_index(Activity, page_query) is None


def sees_few_records(person: Person) -> bool:
    """Whether entries are visible by the product's own rule, through records of a few people."""
    if RULES[Activity] is not activities or has_added_timelines():
        return False
    reached = {*sources(person, Activity)}
    return bool(reached) and all(has_few(person, record) for record in reached)


def _looked_through(
    session: Session, person: Person, page_query: PageQuery, before: int | None, chunks: int
) -> FoundEntries:
    """The page, from the newest entries of everybody."""
    question, found = _question("looked through", page_query, partial(_chunk, person, page_query)), list[int]()
    end = _newest_id(session, person) + 1 if before is None else before
    for _ in range(chunks):
        first = end - CHUNK
        values = page_query.open_values | {_FIRST: first, _END: end}
        found += [row[0] for row in answer_for(session, person, question, values)[0]]
        if len(found) >= page_query.limit or first <= 1:
            return FoundEntries(found[page_query.offset : page_query.limit])
        end = first
    return FoundEntries(found[page_query.offset : page_query.limit], end)


def _newest_id(session: Session, person: Person) -> int:
    row, _adapter = alias_of(Activity)
    question = CachedStatement(("entries", "newest"), lambda: select(func.max(row.id)))
    return int(answer_for(session, person, question, {})[0][0][0] or 0)


def _chunk(person: Person, page_query: PageQuery) -> Select[Any]:
    row, _adapter = alias_of(Activity)
    first, end = (bindparam(name, 0, type_=Integer) for name in (_FIRST, _END))
    query = _visible(person, page_query, select(row.id)).where(row.id >= first, row.id < end)
    return query.limit(page_query.limit).with_hint(row, "FORCE INDEX (PRIMARY)", "mysql")


def _reached(person: Person, page_query: PageQuery) -> Select[Any]:
    """The page of the entries of all that the person reaches, whose ids are read from indexes."""
    row, _adapter = alias_of(Activity)
    every = PageQuery([], _ALL)
    ways = [newest(way, Activity, every, sorts=False) for way in branches_through_others(person, Activity)]
    ids = union(*ways).subquery("reached")
    begun = select(row.id).prefix_with("STRAIGHT_JOIN", dialect="mysql").select_from(ids).join(row, row.id == ids.c.id)
    return _visible(person, page_query, begun).limit(page_query.size).offset(page_query.offset)


def _visible(person: Person, page_query: PageQuery, begun: Select[Any]) -> Select[Any]:
    row, _adapter = alias_of(Activity)
    conditions, _key = for_alias(Activity, page_query)
    return begun.where(activities(person, row), *conditions).order_by(row.id.desc())


def _question(path: str, page_query: PageQuery, make: Any) -> CachedStatement:
    return CachedStatement(None if page_query.name is None else ("entries", path, page_query.name), make)
