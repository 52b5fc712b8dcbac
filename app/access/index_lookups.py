"""Searches as look-ups: each part of an "either … or …" is asked of its own index, and the ids are put together.

No index serves an OR over columns of two tables: the database would read all rows. A part is answered by a few rows, or
by so many that it is common: then the newest rows are soon found by reading the list in its own order, and the caller
does that. A look-up sees all rows, because its ids are shown to nobody: the statement that fetches the rows carries the
access rules. Whether a person may know a row by what is written on its customer is decided here, by the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, exists, inspect, literal, or_, select, union_all
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BooleanClauseList
from sqlalchemy.sql.util import ClauseAdapter
from sqlalchemy.sql.visitors import iterate

from app.access.system_session import as_system
from app.access.title_words import TitlePart, by_words, is_probed_common, probe
from app.models import Customer, Lead, Ticket

#: Records that show their customer's name and numbers, and are found by them.
_WITH_CUSTOMER = (Lead, Ticket)
#: Annotation of a condition that reads other tables by itself, for each row, by their primary keys.
ALONE = "reads_by_itself"


@dataclass
class Asked:
    """One record and the parts of which any may be true, each on columns of its own table or of its customer's."""

    record: Any
    parts: list[Any]
    #: The ids of the rows found; None while they are too many.
    ids: set[int] | None = field(default_factory=set)

    @property
    def own(self) -> list[Any]:
        """The parts on the record's own table."""
        return [part for part in self.parts if _table_of(part) == self.record.__tablename__]

    @property
    def of_customer(self) -> list[Any]:
        """The parts on the table of its customer."""
        return [part for part in self.parts if _table_of(part) != self.record.__tablename__]

    @property
    def can_be_looked_up(self) -> bool:
        """Whether each part is on one table, and that the record's or its customer's."""
        known = {self.record.__tablename__}
        if self.record in _WITH_CUSTOMER:
            known.add(Customer.__tablename__)
        return all(_table_of(part) in known for part in self.parts)

    def rule(self) -> ColumnElement[bool]:
        """The rows that were found; if they are too many, the parts themselves."""
        if self.ids is not None:
            found: ColumnElement[bool] = self.record.id.in_(sorted(self.ids)) if self.ids else self.record.id == -1
            return found
        return or_(*_plain(self.own), *self._through_customer())

    def _through_customer(self) -> Iterator[Any]:
        """The parts on the customer's table as one condition on the row: the session adds who may see customers."""
        if self.of_customer:
            same = Customer.id == self.record.customer_id
            found = exists().where(same, or_(*_plain(self.of_customer))).correlate_except(Customer)
            yield found._annotate({ALONE: True})


def _plain(parts: Iterable[Any]) -> list[Any]:
    return [part.contains if isinstance(part, TitlePart) else part for part in parts]


def parts_of(rule: Any) -> list[Any]:
    """The parts of an "either … or …"; the rule itself if it is none."""
    is_or = isinstance(rule, BooleanClauseList) and rule.operator is operators.or_
    return [part for each in rule.clauses for part in parts_of(each)] if is_or else [rule]


def looked_up(session: Session, record: Any, rule: Any, most: int) -> Any:
    """An "either … or …" over a record and its customer as the ids of the rows; any other rule as it is."""
    parts = parts_of(rule)
    asked = Asked(record, parts)
    if len(parts) < 2 or not asked.can_be_looked_up:
        return rule
    look_up(session, [asked], most)
    return asked.rule()


def outer_nodes(rule: Any) -> Iterator[Any]:
    """The nodes of a condition, without those of sub-queries that read other tables by themselves."""
    if ALONE not in getattr(rule, "_annotations", ()):
        yield rule
        for child in rule.get_children():
            yield from outer_nodes(child)


def look_up(session: Session, asked: Sequence[Asked], most: int) -> None:
    """Fill in the ids of each question; None where a part alone has more than `most`. At most two statements."""
    possible = [each for each in asked if each.can_be_looked_up]
    for each in asked:
        each.ids = set() if each in possible else None
    found = _first_look(session, possible, most)
    branches = list(_second_branches(session, possible, found, most))
    if branches:
        for place, key in session.execute(union_all(*branches)):
            _add(possible[place], key, most)


# --- the first statement: what each index says


@dataclass
class _FirstLook:
    """Each part once, with its table; and how many rows and which it has."""

    parts: list[tuple[Any, Any]] = field(default_factory=list)
    ids: dict[int, set[int]] = field(default_factory=dict)

    def place(self, record: Any, part: Any) -> int:
        """The number of a part, which may be asked for several records."""
        for n, (known, other) in enumerate(self.parts):
            if known is record and (part is other or _is_same(part, other)):
                return n
        self.parts.append((record, part))
        return len(self.parts) - 1

    def of(self, record: Any, parts: list[Any], most: int) -> set[int] | None:
        """The rows with any of the parts; None if they are too many."""
        found: set[int] = set()
        for part in parts:
            ids = self.ids.get(self.place(record, part), set())
            if len(ids) > most or (isinstance(part, TitlePart) and is_probed_common(ids)):
                return None
            found |= ids if not isinstance(part, TitlePart) else set()
        return found


def _first_look(session: Session, asked: list[Asked], most: int) -> _FirstLook:
    look = _FirstLook()
    for each in asked:
        for part in each.own:
            look.place(each.record, part)
        for part in each.of_customer:
            look.place(Customer, part)
    branches = [_branch(n, record, part, most) for n, (record, part) in enumerate(look.parts)]
    if branches:
        with as_system(session):  # ids only, see above
            for n, key in session.execute(union_all(*branches)):
                look.ids.setdefault(n, set()).add(key)
    return look


def _branch(n: int, record: Any, part: Any, most: int) -> Select[Any]:
    row, adapter = _alias(record)
    if isinstance(part, TitlePart):
        few = probe(row, part)
    else:
        few = select(row.id.label("id")).where(adapter.traverse(part)).limit(most + 1)
    ids = few.subquery()
    return select(literal(n).label("n"), ids.c.id)


# --- the second: rows of the customers that were found, and titles by their words


def _second_branches(session: Session, asked: list[Asked], look: _FirstLook, most: int) -> Iterator[Select[Any]]:
    for place, each in enumerate(asked):
        own, customers = look.of(each.record, each.own, most), look.of(Customer, each.of_customer, most)
        if own is None or customers is None:
            each.ids = None
            continue
        each.ids = own
        if customers:
            yield _of_customers(place, each.record, customers, most)
        for part in each.own:
            if isinstance(part, TitlePart):
                yield from _by_title(session, place, each, part, most)


def _of_customers(place: int, record: Any, customers: set[int], most: int) -> Select[Any]:
    """Rows of these customers, if the person sees the customer: here stands the class, to which the session adds it."""
    row, _adapter = _alias(record)
    joined = select(row.id.label("id")).join(Customer, Customer.id == row.customer_id)
    ids = joined.where(row.customer_id.in_(sorted(customers))).limit(most + 1).subquery()
    return select(literal(place).label("n"), ids.c.id)


def _by_title(session: Session, place: int, asked: Asked, part: TitlePart, most: int) -> Iterator[Select[Any]]:
    row, adapter = _alias(asked.record)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    rule = part.contains if is_sqlite else by_words(part)
    if rule is None:
        asked.ids = None
        return
    ids = select(row.id.label("id")).where(adapter.traverse(rule)).limit(most + 1).subquery()
    yield select(literal(place).label("n"), ids.c.id)


def _add(asked: Asked, key: int, most: int) -> None:
    if asked.ids is not None:
        asked.ids.add(key)
        if len(asked.ids) > 4 * most:
            asked.ids = None


# --- helpers


def _table_of(part: Any) -> str:
    """The one table whose columns a part names; an empty text for several."""
    if isinstance(part, TitlePart):
        return str(part.column.table.name)
    names = {str(node.table.name) for node in iterate(part) if _is_column(node)}
    return names.pop() if len(names) == 1 else ""


def _is_column(node: Any) -> bool:
    return isinstance(getattr(node, "table", None), Table)


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, TitlePart) or isinstance(other, TitlePart):
        return False
    return bool(one.compare(other))


@lru_cache
def _alias(record: Any) -> tuple[Any, ClauseAdapter]:
    """An alias of the record, to which the session adds no access rule, and what translates conditions to it."""
    row = aliased(record)
    return row, ClauseAdapter(inspect(row).selectable)
