"""The first tasks of each day, each way in which a person reaches tasks read in the order of an index.

A statement has a range of an index for each day, way and status: hundreds. So a way is written once and repeated as
text. As in `holder_pages`, this only finds ids: the statement that reads the rows carries the access rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Integer, Select, TextClause, bindparam, column, select, text
from sqlalchemy.orm import Session
from sqlalchemy.sql.visitors import iterate

from app.access.paging import holder_pages
from app.access.paging.fast_paging import finds_by_holders
from app.access.paging.index_branches import PageQuery, alias_of, first_rows, index_of, newest, one_holder
from app.access.person import Person
from app.access.row_rules import reads_all
from app.access.system_session import as_system
from app.lib.batches import batched
from app.models import Task

#: A day: when it begins, and when the next one does.
Span = tuple[datetime, datetime]
#: The most SELECTs of a statement; SQLite allows 500.
_AT_ONCE = 450
_FROM, _UNTIL = "day_from", "day_until"
#: What each SELECT reads.
_COLUMNS = (column("id", Task.__table__.c.id.type), column("key", Task.__table__.c.due_on.type))


def first_of_days(
    session: Session, person: Person, conditions: list[Any], spans: Sequence[Span], most: int
) -> dict[int, datetime] | None:
    """Id -> due time of the first so many tasks of each day, or more; None if no index has them.

    Not all of them need be visible. A day of fewer than `most` is complete.
    """
    branches = [*_branches(session, person, PageQuery(conditions, most, key=Task.__table__.c.due_on, descending=False))]
    if not branches or any(_is_expanding(branch.rows) for branch in branches):
        return None
    found: dict[int, datetime] = {}
    with as_system(session):
        for parts in batched(_parts_of_days(session, branches, spans), _AT_ONCE):
            query = _statement(parts).columns(*_COLUMNS)
            found |= {row.id: row.key for row in session.execute(query)}
    return found


@dataclass(frozen=True)
class _Branch:
    """A way and status: the first tasks of a day, and the one that is due first or last of some days."""

    rows: Select[Any]
    first: Select[Any]
    last: Select[Any]


def _parts_of_days(session: Session, branches: Sequence[_Branch], spans: Sequence[Span]) -> list[_Part]:
    """A SELECT for each branch and day; of very many, only from the first to the last day on which it has a task."""
    whole, written = (spans[0][0], spans[-1][1]), dict[int, _Written]()
    ends = dict.fromkeys(range(len(branches)), whole)
    if len(branches) * len(spans) > _AT_ONCE:
        ends = _ends(session, branches, whole)
    for number in ends:
        written[number] = _Written(branches[number].rows, f"way{number}", session)
    return [
        _Part(written[number], day, span)
        for day, span in enumerate(spans)
        for number, (first, last) in ends.items()
        if span[0] <= last and first < span[1]
    ]


def _ends(session: Session, branches: Sequence[_Branch], whole: Span) -> dict[int, Span]:
    """Place of a branch -> when its first and last tasks of these days are due, of those that have any."""
    looks = [
        _Part(_Written(one, f"end{number}_{place}", session), 0, whole, number)
        for number, branch in enumerate(branches)
        for place, one in enumerate((branch.first, branch.last))
    ]
    due: dict[int, list[datetime]] = {}
    for row in session.execute(_statement(looks).columns(column("way", Integer), *_COLUMNS)):
        due.setdefault(row.way, []).append(row.key)
    return {number: (min(some), max(some)) for number, some in due.items()}


class _Written:
    """A SELECT as text, whose parameters begin with a name of its own but for the times of the day."""

    def __init__(self, select_rows: Select[Any], name: str, session: Session) -> None:
        named: Any = type(session.get_bind().dialect)
        compiled = select_rows.compile(dialect=named(paramstyle="named"))
        own = {given: each for each, given in compiled.bind_names.items() if given not in (_FROM, _UNTIL)}
        self.values = [
            bindparam(f"{name}_{given}", each.effective_value, type_=each.type) for given, each in own.items()
        ]
        self.text = re.sub(rf":(?!{_FROM}|{_UNTIL})(\w+)", rf":{name}_\1", str(compiled))
        self.is_in_brackets = named.name != "sqlite"


@dataclass(frozen=True)
class _Part:
    """A SELECT of one day, or of several, of a statement."""

    written: _Written
    day: int
    span: Span
    #: A number that stands before its columns.
    label: int | None = None

    @property
    def text(self) -> str:
        """The SELECT; MariaDB wants brackets around one with a LIMIT in a UNION, and SQLite refuses them."""
        own = re.sub(rf":({_FROM}|{_UNTIL})\b", rf":\1_{self.day}", self.written.text)
        if self.label is not None:
            return f"SELECT {self.label} AS way, part.* FROM ({own}) AS part"  # noqa: S608  # both are made here
        return f"({own})" if self.written.is_in_brackets else own


def _statement(parts: Sequence[_Part]) -> TextClause:
    """The rows of all parts, with their parameters."""
    due, days = Task.__table__.c.due_on.type, {part.day: part.span for part in parts}
    times = [
        bindparam(f"{name}_{day}", moment, type_=due)
        for day, span in days.items()
        for name, moment in zip((_FROM, _UNTIL), span, strict=True)
    ]
    written = dict.fromkeys(part.written for part in parts)
    query = text(" UNION ALL ".join(part.text for part in parts))
    return query.bindparams(*times, *[value for each in written for value in each.values])


def _is_expanding(branch: Select[Any]) -> bool:
    return any(isinstance(part, BindParameter) and part.expanding for part in iterate(branch))


def _branches(session: Session, person: Person, page_query: PageQuery) -> Iterator[_Branch]:
    """Each way and status."""
    row, _adapter = alias_of(Task)
    due = (
        row.due_on >= bindparam(_FROM, type_=Task.due_on.type),
        row.due_on < bindparam(_UNTIL, type_=Task.due_on.type),
    )
    read = newest if session.get_bind().dialect.name == "sqlite" else first_rows
    for branch, rules in _ways(session, person, page_query):
        for asked in holder_pages.by_status(page_query):
            one, last = replace(asked, size=1), replace(asked, size=1, descending=True)
            yield _Branch(*[read(branch.where(*rules, *due), Task, each) for each in (asked, one, last)])


def _ways(session: Session, person: Person, page_query: PageQuery) -> Iterator[tuple[Select[Any], tuple[Any, ...]]]:
    """(SELECT, rules) of each way in which the person reaches tasks with these conditions."""
    row, _adapter = alias_of(Task)
    holder = one_holder(Task, page_query.conditions)
    if reads_all(person, Task) or (holder and _value_of(holder, page_query) in (person.reach("Tasks") or ())):
        index = index_of(Task, *([holder] if holder else []), "status", "due_on")
        yield select(row.id).with_hint(row, f"FORCE INDEX ({index})", "mysql"), ()
    elif finds_by_holders(session, person, Task, page_query.key):
        yield from ((way.branch, way.rules) for way in holder_pages.ways(person))


def _value_of(column: str, page_query: PageQuery) -> Any:
    """The value that a column has by the conditions."""
    return next(
        each.right.effective_value
        for each in page_query.conditions
        if getattr(getattr(each, "left", None), "name", "") == column and isinstance(each.right, BindParameter)
    )
