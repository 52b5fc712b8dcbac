"""What a search looks for in one record, and the condition for the rows that it has found."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Table, literal, or_, select, true
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList
from sqlalchemy.sql.visitors import iterate

from app.access.compiled_statements import listed, padded
from app.access.index_ranges import IndexRange
from app.access.word_search import TitlePart
from app.lib.cached_property import cached_property
from app.models import Customer, Lead, Ticket
from app.ops.statements.sqlalchemy_internals import annotate, annotations_of

#: Records that show their customer's name and numbers, and are found by them.
WITH_CUSTOMER = (Lead, Ticket)
#: Annotation of a condition that itself reads other tables, for each row, by their primary keys. As a part of a search
#: its value is the table of the rows.
ALONE = "reads_by_itself"
#: Up to this number, ids are parameters of a statement; more of them are part of its text.
_MOST_LISTED = 64
#: The same for a rule that is kept, and not made each time.
_MOST_KEPT = 512


@dataclass(frozen=True)
class KeptRule:
    """A condition as part of a statement that is compiled once for all values."""

    key: Hashable
    #: The values of its parameters.
    open_values: dict[str, Any]
    make: Callable[[], ColumnElement[bool]]
    #: The tables in it, besides the record's own.
    tables: frozenset[str]


@dataclass
class IndexLookup:
    """One record and the alternatives, each on columns of its own table or of its customer's."""

    record: Any
    parts: list[Any]
    #: The ids of the rows found; None while they are too many.
    ids: set[int] | None = field(default_factory=set)
    #: Whether one part on the record's own table alone has more rows than were looked up.
    is_many: bool = False

    @cached_property
    def _tables(self) -> dict[int, str]:
        """id of a part -> the table that it is on."""
        return {id(part): _table_of(part) for part in self.parts}

    def is_own(self, part: Any) -> bool:
        """Whether the part is on the record's own table."""
        return bool(self._tables[id(part)] == self.record.__tablename__)

    def owner_of(self, part: Any) -> Any:
        """The record on whose table the part is."""
        return self.record if self.is_own(part) else Customer

    @cached_property
    def own(self) -> list[Any]:
        """The parts on the record's own table."""
        return [part for part in self.parts if self.is_own(part)]

    @cached_property
    def of_customer(self) -> list[Any]:
        """The parts on the table of its customer."""
        return [part for part in self.parts if not self.is_own(part)]

    @property
    def can_be_looked_up(self) -> bool:
        """Whether each part is on one table, and that the record's or its customer's, and read from an index."""
        if any(ALONE in annotations_of(part) for part in self.parts):
            return False
        known = {self.record.__tablename__}
        if self.record in WITH_CUSTOMER:
            known.add(Customer.__tablename__)
        return all(table in known for table in self._tables.values())

    def rule(self) -> ColumnElement[bool]:
        """The rows that were found; if they are too many, the parts themselves."""
        if self.ids is not None:
            ids = sorted(self.ids)
            found: ColumnElement[bool] = self.record.id == -1
            return self.record.id.in_(listed(ids) if len(ids) <= _MOST_LISTED else ids) if ids else found
        return self._either(_expression)

    def kept_rule(self) -> KeptRule | None:
        """The condition with its values as parameters, so that its statement is compiled once.

        None if nothing or very much was found, or if some part has values that cannot be parameters.
        """
        if self.ids is not None:
            return self._kept_ids() if 0 < len(self.ids) <= _MOST_KEPT else None
        if not all(isinstance(part, TitlePart | IndexRange) for part in self.parts):
            return None
        names = {id(part): f"part_{n}" for n, part in enumerate(self.parts)}
        open_values = {name: value for part in self.parts for name, value in part.open_values(names[id(part)]).items()}
        make = partial(self._either, lambda part: part.opened(names[id(part)]))
        key = tuple((self.is_own(part), part.form, len(part.values)) for part in self.parts)
        return KeptRule(("either", key), open_values, make, frozenset(self._tables.values()))

    def _kept_ids(self) -> KeptRule:
        ids = sorted(self.ids or ())
        open_values = {f"row_{place}": key for place, key in enumerate(padded(ids))}
        return KeptRule(
            ("ids", len(open_values)), open_values, lambda: self.record.id.in_(listed(ids, "row")), frozenset()
        )

    def _either(self, expression: Callable[[Any], Any]) -> ColumnElement[bool]:
        """The parts as one condition."""
        # IS TRUE keeps the optimizer from collecting all matches of each part: they are many, and read newest first.
        own = [expression(part) for part in self.own]
        return or_(*own, *self._through_customer(expression)).self_group().is_(true())

    def _through_customer(self, expression: Callable[[Any], Any]) -> Iterator[Any]:
        """The parts on the customer's table as one condition on the row; the session adds the rule for customers."""
        if self.of_customer:
            same, parts = Customer.id == self.record.customer_id, [expression(part) for part in self.of_customer]
            one = select(literal(1)).where(same, or_(*parts)).correlate_except(Customer)
            yield annotate(one.scalar_subquery() == 1, {ALONE: True})  # EXISTS would be materialized first


def _expression(part: Any) -> Any:
    if isinstance(part, TitlePart):
        return part.contains
    return part.condition if isinstance(part, IndexRange) else part


def _table_of(part: Any) -> str:
    """The one table whose columns a part names; an empty text for several."""
    if isinstance(part, IndexRange):
        return part.table
    if isinstance(part, TitlePart):
        return str(part.column.table.name)
    if ALONE in annotations_of(part):
        return str(annotations_of(part)[ALONE])
    if isinstance(part, BinaryExpression) and isinstance(part.right, BindParameter) and _is_column(part.left):
        return str(part.left.table.name)
    if isinstance(part, BooleanClauseList):
        found = {_table_of(each) for each in part.clauses}
        return found.pop() if len(found) == 1 else ""
    nodes: list[Any] = [node for node in iterate(part) if _is_column(node)]
    names = {str(node.table.name) for node in nodes}
    return names.pop() if len(names) == 1 else ""


def _is_column(node: Any) -> bool:
    return isinstance(getattr(node, "table", None), Table)
