"""The first tasks of each day, each way in which a person reaches tasks read in the order of an index.

A statement has a range of an index for each day, way and status: hundreds. So a way is written once and repeated as
text. As in `holder_pages`, this only finds ids: the statement that reads the rows carries the access rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, column, select, text
from sqlalchemy.orm import Session
from sqlalchemy.sql.visitors import iterate

from app.access.paging import holder_pages
from app.access.paging.fast_paging import finds_by_holders
from app.access.paging.index_branches import PageQuery, alias_of, first_rows, index_of, newest, one_holder
from app.access.person import Person
from app.access.row_rules import reads_all
from app.access.system_session import as_system
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
    if not branches or any(_is_expanding(branch) for branch in branches):
        return None
    written = [_Written(branch, number, session) for number, branch in enumerate(branches)]
    found: dict[int, datetime] = {}
    size = _AT_ONCE // len(written)
    with as_system(session):
        for start in range(0, len(spans), size):
            parts = [each.of_day(day, span) for day, span in enumerate(spans[start : start + size]) for each in written]
            values = [value for _text, some in parts for value in some]
            query = text(" UNION ALL ".join(part for part, _values in parts)).bindparams(*values)
            found |= {row.id: row.key for row in session.execute(query.columns(*_COLUMNS))}
    return found


class _Written:
    """A SELECT as text, whose parameters have names of its own."""

    def __init__(self, branch: Select[Any], number: int, session: Session) -> None:
        named: Any = type(session.get_bind().dialect)
        dialect = named(paramstyle="named")
        compiled = branch.compile(dialect=dialect)
        self._text = re.sub(r":(\w+)", rf":way{number}_\1", f"{compiled}")
        self._is_in_brackets = dialect.name != "sqlite"
        self._number, self._names = number, dict(compiled.bind_names)

    def of_day(self, day: int, span: Span) -> tuple[str, list[BindParameter[Any]]]:
        """The SELECT of one day, and its parameters."""
        prefix = f"way{self._number}_"
        times = dict(zip((_FROM, _UNTIL), span, strict=True))
        values = []
        for bind, given in self._names.items():
            name = f"{prefix}{given}" + (f"_{day}" if given in times else "")
            values.append(bindparam(name, times.get(given, bind.effective_value), type_=bind.type))
        written = re.sub(rf":({prefix}(?:{_FROM}|{_UNTIL}))\b", rf":\1_{day}", self._text)
        return f"({written})" if self._is_in_brackets else written, values


def _is_expanding(branch: Select[Any]) -> bool:
    return any(isinstance(part, BindParameter) and part.expanding for part in iterate(branch))


def _branches(session: Session, person: Person, page_query: PageQuery) -> Iterator[Select[Any]]:
    """The first rows of a day for each way and status."""
    row, _adapter = alias_of(Task)
    due = (
        row.due_on >= bindparam(_FROM, type_=Task.due_on.type),
        row.due_on < bindparam(_UNTIL, type_=Task.due_on.type),
    )
    read = newest if session.get_bind().dialect.name == "sqlite" else first_rows
    for branch, rules in _ways(session, person, page_query):
        for asked in holder_pages.by_status(page_query):
            yield read(branch.where(*rules, *due), Task, asked)


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
