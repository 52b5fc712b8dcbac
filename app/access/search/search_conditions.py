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
from app.access.search.index_ranges import IndexRange
from app.access.search.word_search import TitlePart
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
    #: Some of them, if they are too many and were searched by their words.
    some: set[int] = field(default_factory=set)
    #: Whether one part on the record's own table alone has more rows than were looked up.
    is_many: bool = False

    #: The parts on the record's own table, and those on the table of its customer.
    own: list[Any] = field(init=False)
    of_customer: list[Any] = field(init=False)
    #: Whether each part is on one table, and that the record's or its customer's, and read from an index.
    can_be_looked_up: bool = field(init=False)
    _own_parts: set[int] = field(init=False)
    _tables: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        if not self.parts:  # as of a search that is complete
            self.own, self.of_customer, self._own_parts, self._tables = [], [], set(), frozenset()
            self.can_be_looked_up = True
            return
        tables = [part.form.table if type(part) is IndexRange else _table_of(part) for part in self.parts]
        own = self.record.__tablename__
        self.own = [part for part, table in zip(self.parts, tables, strict=True) if table == own]
        self.of_customer = [part for part, table in zip(self.parts, tables, strict=True) if table != own]
        self._own_parts, self._tables = {id(part) for part in self.own}, frozenset(tables)
        known = {own, Customer.__tablename__} if self.record in WITH_CUSTOMER else {own}
        self.can_be_looked_up = self._tables <= known and not any(
            ALONE in annotations_of(part) for part in self.parts if type(part) is not IndexRange
        )

    @property
    def by_owner(self) -> tuple[tuple[Any, list[Any]], ...]:
        """(record, the parts on its table) for the record itself and its customer."""
        return (self.record, self.own), (Customer, self.of_customer)

    def is_own(self, part: Any) -> bool:
        """Whether the part is on the record's own table."""
        return id(part) in self._own_parts

    def rule(self) -> ColumnElement[bool]:
        """The rows that were found; if they are too many, the parts themselves."""
        if self.ids is not None:
            ids = sorted(self.ids)
            key: Any = self.record.id
            found: ColumnElement[bool] = key.in_(listed(ids) if len(ids) <= _MOST_LISTED else ids) if ids else key == -1
            return found
        return self._either(_expression)

    def kept_rule(self) -> KeptRule | None:
        """The condition with its values as parameters, so that its statement is compiled once.

        None if nothing or very much was found, or if some part has values that cannot be parameters. Rules of several
        records can be in one statement.
        """
        if self.ids is not None:
            return self._kept_ids() if 0 < len(self.ids) <= _MOST_KEPT else None
        if not all(isinstance(part, TitlePart | IndexRange) for part in self.parts):
            return None
        names = {id(part): f"{self.record.__tablename__}_part_{n}" for n, part in enumerate(self.parts)}
        open_values = {name: value for part in self.parts for name, value in part.open_values(names[id(part)]).items()}
        make = partial(self._either, lambda part: part.opened(names[id(part)]))
        key = tuple((self.is_own(part), part.form, len(part.values)) for part in self.parts)
        return KeptRule(("either", key), open_values, make, self._tables)

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
