"""Conditions of which access rules are made: rows within reach, and rows of an EXISTS."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, false, literal_column, or_, select, true
from sqlalchemy.orm import aliased

#: What the rows of an EXISTS belong to -> record -> its alias there.
_aliases: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()
_aliases_lock = threading.Lock()


def inside(outer: Any, record: Any) -> Any:
    """The alias of a record in an EXISTS about rows of `outer`, a record or an alias; the same for all people.

    An alias copies every column, 50 kB: with aliases of their own, one person's rules took 19 MB. An EXISTS inside
    another one has other aliases, so that the two can't be confused. Threads that ask at the same time get the same
    alias: two of them in one statement would multiply their rows.
    """
    with _aliases_lock:
        made = _aliases.setdefault(outer, {})
        if record not in made:
            alias = aliased(record)
            # SQLAlchemy fills the index of an alias's columns at the first use, without a lock of its own.
            alias.id.__clause_element__()
            made[record] = alias
        return made[record]


def of_people(column: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    """Rows whose user in this column is within reach; None reaches everybody."""
    if reach is None:
        return true()
    return column.in_(sorted(reach)) if reach else false()


def reaches(record: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    """Rows assigned to or owned by someone within reach."""
    if reach is None or not reach:
        return of_people(record.owner_id, reach)
    return or_(of_people(record.assignee_id, reach), of_people(record.owner_id, reach))


def is_there(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is the one row, named by its id, that meets the conditions.

    For an EXISTS, MariaDB first collects all rows of the person, thousands of leads for a page of eight tasks; this it
    looks up by the id.
    """
    return select(literal_column("1")).where(*conditions).scalar_subquery().is_not(None)
