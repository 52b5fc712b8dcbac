"""Searches by index: each part of an "either … or …" is looked up in its own index, and the ids are combined.

No index serves an OR over columns of two tables: the database would read all rows. Either few rows match a part, or so
many that it is common; then the newest matches are soon found by reading the list in its own order, which is left to
the caller. A look-up sees all rows, because its ids are shown to nobody: the statement that fetches the rows carries
the access rules. Whether a person may find a row by what its customer's record says is decided here, by the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Select, literal, null, or_, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BooleanClauseList

from app.access.compiled_statements import CachedStatement, answer, listed
from app.access.paging.fast_paging import has_few, reach_conditions
from app.access.paging.index_branches import alias_of
from app.access.paging.reach_branches import shared_by
from app.access.person import Person
from app.access.search.first_lookups import FirstLookup, is_sqlite, together
from app.access.search.index_ranges import IndexRange
from app.access.search.linked_rows import LinkedRows
from app.access.search.search_conditions import ALONE, WITH_CUSTOMER, IndexLookup
from app.access.search.search_plans import SearchPlan
from app.access.search.word_search import TitlePart, has_words, wanted_words, with_words
from app.access.system_session import acting
from app.models import Customer, Ticket
from app.ops.statements.sqlalchemy_internals import annotations_of

#: The ways in which a person holds rows, by record.
_WAYS = "ways of holding rows"


def parts_of(rule: Any) -> list[Any]:
    """The alternatives of an "either … or …"; the rule itself if it is none."""
    is_or = isinstance(rule, BooleanClauseList) and rule.operator is operators.or_
    return [part for each in rule.clauses for part in parts_of(each)] if is_or else [rule]


def looked_up(session: Session, record: Any, rule: Any, maximum: int) -> Any:
    """An "either … or …" over a record and its customer, replaced by the ids of the rows; any other rule unchanged."""
    parts = parts_of(rule)
    lookup = IndexLookup(record, parts)
    if len(parts) < 2 or not lookup.can_be_looked_up:
        return rule
    look_up(session, [lookup], maximum)
    return lookup.rule()


def outer_nodes(rule: Any) -> Iterator[Any]:
    """The nodes of a condition, without those of sub-queries that themselves read other tables."""
    if ALONE not in annotations_of(rule):
        yield rule
        for child in rule.get_children():
            yield from outer_nodes(child)


def look_up(
    session: Session,
    lookups: Sequence[IndexLookup],
    maximum: int,
    enough: int | None = None,
    is_common: bool = False,
    linked: Sequence[LinkedRows] = (),
) -> None:
    """Fill in the ids of each look-up; None if a part alone has more than `maximum`. At most two statements.

    `enough`: how many of a person's customers with a common name suffice (the newest ones), for each way of holding
    one. `is_common`: whether all parts probably have more than `maximum`; who reaches only rows of a few people then
    has theirs searched at once, by one statement.
    """
    possible = [each for each in lookups if each.can_be_looked_up]
    for each in lookups:
        each.ids = set() if each in possible else None
    look = FirstLookup(maximum, enough)
    second = _SecondLookup(session, look, possible, _links(lookups, linked))
    if is_common and all(map(second.is_own_known, possible)):
        look.number(possible)
        look.are_common = True
    else:
        look.ask(session, possible)
    second.ask()


def look_up_planned(
    session: Session,
    plan: SearchPlan,
    forms: Callable[[str], str],
    enough: int | None = None,
    linked: Sequence[LinkedRows] = (),
) -> list[IndexLookup]:
    """The look-ups of a plan with their ids, as `look_up` finds them. `forms`: the forms of the text by name."""
    look = FirstLookup(plan.most, enough)
    values = {name: forms(name) for name in plan.names}
    look.ids = plan.ask(session, values)
    lookups = [each.begun(look, values) for each in plan.lookups]
    _SecondLookup(session, look, [each for each in lookups if each.parts], _links(lookups, linked)).ask()
    return lookups


#: The look-up of a record, that of the other record, and how the first is found by the second.
_Link = tuple[IndexLookup, IndexLookup, LinkedRows]


def _links(lookups: Sequence[IndexLookup], linked: Sequence[LinkedRows]) -> list[_Link]:
    by_record = {each.record: each for each in lookups}
    return [
        (by_record[each.record], by_record[each.other], each)
        for each in linked
        if each.record in by_record and each.other in by_record
    ]


# --- the second: rows of the customers found, titles by their words, and common names among one's own rows


class _SecondLookup:
    """Branches that each find rows for one look-up, and some of them customers for another."""

    def __init__(
        self, session: Session, look: FirstLookup, lookups: list[IndexLookup], links: Sequence[_Link] = ()
    ) -> None:
        self.session, self.look, self.lookups, self.links = session, look, lookups, links
        self.person = acting(session)
        #: Builders of the branches, called only if the statement isn't compiled yet.
        self.branches: list[Callable[[], Select[Any]]] = []
        #: For each branch: the look-ups that its id and its other id belong to.
        self.answers: list[tuple[IndexLookup | None, IndexLookup | None]] = []
        #: The key of the statement and its values; None if it has no key.
        self._key: list[Any] | None = []
        self._open_values: dict[str, Any] = {}
        #: (record, numbers of the parts, number of the way) -> branch that reads the customers of one's own rows.
        self._shared: dict[tuple[Any, tuple[int, ...], int], int] = {}
        #: The customers found for each record, and the branches of which some rows suffice.
        self._customers: dict[Any, set[int]] = {}
        self._some_suffice: set[int] = set()

    def ask(self) -> None:
        """Execute the statement and add the rows to the look-ups."""
        for each in self.lookups:
            self._prepare(each)
        for lookup, other, linked in self.links:
            if lookup.ids is not None and other.ids is not None:
                self._by_other(lookup, other, linked)
        if not self.branches:
            return
        found: list[list[tuple[int, int | None]]] = [[] for _ in self.branches]
        key = None if self._key is None else ("second look", self.look.most, self.look.enough, tuple(self._key))
        question = CachedStatement(
            key,
            lambda: together(self.session, [make() for make in self.branches]),
            frozenset({Customer.__tablename__}),
        )
        for n, row_id, other in answer(self.session, question, self._open_values):
            found[n].append((row_id, other))
        for place, rows in enumerate(found):
            self._take(place, rows)

    def _take(self, place: int, rows: list[tuple[int, int | None]]) -> None:
        """Add the rows of a branch to its look-ups."""
        for lookup, ids in zip(self.answers[place], zip(*rows, strict=True) if rows else ((), ()), strict=True):
            if lookup is None or lookup.ids is None:
                continue
            some_suffice = place in self._some_suffice or (self.look.enough and lookup.record is Customer)
            if len(rows) > self.look.most and not some_suffice:
                lookup.ids, lookup.some = None, {*ids}
            else:
                lookup.ids = lookup.ids.union(ids)

    def _prepare(self, lookup: IndexLookup) -> None:
        known = self.look.found_all(lookup.parts)
        common = [part for part in lookup.parts if known[id(part)] is None]
        lookup.is_many = any(self._is_own_column(lookup, part) for part in common)
        if common and (not self.is_own_known(lookup) or any(isinstance(part, TitlePart) for part in common)):
            lookup.ids = None
            return
        lookup.ids = set().union(*[known[id(part)] or set() for part in lookup.own])
        customers: set[int] = set().union(*[known[id(part)] or set() for part in lookup.of_customer])
        if customers:
            self._customers[lookup.record] = customers
            self._of_customers(lookup, customers)
        for part in lookup.own:
            if isinstance(part, TitlePart) and not part.is_rare:
                self._by_title(lookup, part)
        self._among_own(lookup, common)

    @staticmethod
    def _is_own_column(lookup: IndexLookup, part: Any) -> bool:
        return not isinstance(part, TitlePart) and lookup.is_own(part)

    def is_own_known(self, lookup: IndexLookup) -> bool:
        """Whether the person reaches few people's rows, and their customers with them."""
        if self.person is None or not has_few(self.person, lookup.record):
            return False
        return not lookup.of_customer or has_few(self.person, Customer)

    def _ways(self, record: Any) -> list[Any]:
        """The ways in which the person holds rows; none without the right to read them."""
        return [] if self.person is None else _ways_of(self.person, record)

    def _add(self, make: Callable[[], Select[Any]], lookup: IndexLookup) -> None:
        """Add a branch; `make` builds a SELECT of an id."""
        n = len(self.branches)

        def branch() -> Select[Any]:
            query = make()
            columns = [literal(n).label("n"), *query.selected_columns, null().label("other")]
            return query.with_only_columns(*columns, maintain_column_froms=True).limit(self.look.most + 1)

        self.branches.append(branch)
        self.answers.append((lookup, None))

    def _of_customers(self, lookup: IndexLookup, customers: set[int]) -> None:
        """Rows of these customers, if the person sees the customer: this names the mapped class, so the session adds
        the rule.
        """
        row, _adapter = alias_of(lookup.record)
        ids = listed(sorted(customers), f"customer_{len(self.branches)}")
        self._open_values |= {each.key: each.value for each in ids}
        if self._key is not None:
            self._key.append((lookup.record, len(ids)))

        def make() -> Select[Any]:
            joined = select(row.id.label("id")).join(Customer, Customer.id == row.customer_id)
            return joined.where(row.customer_id.in_(ids))

        self._add(make, lookup)

    def _by_other(self, lookup: IndexLookup, other: IndexLookup, linked: LinkedRows) -> None:
        """Rows that are found by the rows of another record, or by these rows' customers."""
        found = self._customers.get(other.record)
        rows = listed(sorted(other.ids), "linked_row") if other.ids else []
        customers = listed(sorted(found), "linked_customer") if found else []
        for make in linked.branches(rows, customers):
            self._some_suffice.add(len(self.branches))
            self._add(make, lookup)
        self._open_values |= {each.key: each.value for each in (*rows, *customers)} | dict(linked.open_values)
        if self._key is not None:
            self._key.append((linked.record, linked.key, len(rows), len(customers)))

    def _by_title(self, lookup: IndexLookup, part: TitlePart) -> None:
        row, adapter = alias_of(lookup.record)
        is_of_sqlite, n = is_sqlite(self.session), len(self.branches)
        names, is_indexed = (f"words_{n}", f"title_{n}"), has_words(part, is_of_sqlite)
        words = wanted_words(part.text, is_of_sqlite) if is_indexed else ""
        if is_indexed and not words:
            return
        self._open_values |= part.open_values(names[1]) | ({names[0]: words} if is_indexed else {})
        if self._key is not None:
            self._key.append((lookup.record, part.form))
        self._add(lambda: with_words(row, adapter, part, names, is_of_sqlite), lookup)

    def _among_own(self, lookup: IndexLookup, common: list[Any]) -> None:
        """Find common parts among the rows that the person reaches, for each way of reaching them.

        The ways follow from the person's rights, with which the statement is kept.
        """
        own = [part for part in common if lookup.is_own(part)]
        for part in own:
            rule = self._opened(lookup.record, [part])
            for way in self._ways(lookup.record):
                self._add(partial(_held_rows, lookup.record, way, rule), lookup)
        self._customers_of_own(lookup.record, [part for part in common if not lookup.is_own(part)], lookup, None)
        if lookup.record is Customer:
            for source in WITH_CUSTOMER:
                self._customers_of_own(source, own, None, lookup)

    def _customers_of_own(
        self, source: Any, parts: list[Any], rows: IndexLookup | None, customers: IndexLookup | None
    ) -> None:
        """The person's leads or tickets whose customer matches one of these parts, and these customers.

        They start from the person's rows, read once for all parts: a common name has many customers, but each few.
        """
        most = self.look.enough * len(parts) if self.look.enough else self.look.most + 1
        for place, way in enumerate(self._ways(source) if parts else ()):
            key = (source, tuple(self.look.place(part) for part in parts), place)
            if key not in self._shared:
                self._shared[key] = n = len(self.branches)
                rule = self._opened((source, place), parts)
                self.branches.append(partial(_held_customers, (source, way), rule, n, most))
                self.answers.append((None, None))
            old = self.answers[self._shared[key]]
            self.answers[self._shared[key]] = (rows or old[0], customers or old[1])

    def _opened(self, about: Any, parts: list[Any]) -> Callable[[], Any]:
        """Returns the parts as one expression, its values as parameters if possible, for all branches that are added
        until the next call; `about` tells them apart.
        """
        if not all(isinstance(part, IndexRange) for part in parts):
            self._key = None
            return lambda: or_(*[part.condition if isinstance(part, IndexRange) else part for part in parts])
        names = [f"own_{len(self.branches)}_{n}" for n in range(len(parts))]
        for part, name in zip(parts, names, strict=True):
            self._open_values |= part.open_values(name)
        if self._key is not None:
            self._key.append((about, tuple((part.form, len(part.values)) for part in parts)))
        return lambda: or_(*[part.opened(name) for part, name in zip(parts, names, strict=True)])


def _ways_of(person: Person, record: Any) -> list[Any]:
    """`reach_conditions`, which are kept with the person's rights: to build them costs more than to send them."""
    kept: dict[Any, list[Any]] | None = person.derived.get(_WAYS)
    if kept is None:
        kept = {}
        person.derived.keep(_WAYS, kept)
    if record not in kept:
        kept[record] = reach_conditions(person, record)
    return kept[record]


def _held_rows(record: Any, way: Any, rule: Callable[[], Any]) -> Select[Any]:
    """The ids of the rows that somebody holds in this way and that match."""
    row, adapter = alias_of(record)
    return select(row.id.label("id")).where(way, adapter.traverse(rule()))


def _held_customers(holding: tuple[Any, Any], rule: Callable[[], Any], n: int, most: int) -> Select[Any]:
    """(n, id, customer's id) of the rows of this record that somebody holds in this way and whose customer matches."""
    source, way = holding
    held, (customer, adapter) = alias_of(source)[0], alias_of(Customer)
    columns = [literal(n).label("n"), held.id.label("id"), held.customer_id.label("other")]
    shared = shared_by(way)
    query = select(*columns).prefix_with("STRAIGHT_JOIN", dialect="mysql")
    if shared is None:
        query = query.select_from(held).where(way)
    else:
        query = query.select_from(shared).join(held, held.id == shared.c.ticket_id)
    query = query.join(customer, customer.id == held.customer_id)
    holder = str(getattr(getattr(way, "left", None), "name", "")).removesuffix("_id")
    index = f"ix_{source.__tablename__}_{holder}_customer"
    if any(each.name == index for each in source.__table__.indexes):
        query = query.with_hint(held, f"FORCE INDEX ({index})", "mysql")
    opens = [held.opens_customer.is_(True)] if source is Ticket else []
    found = query.where(held.customer_id > 0, *opens, adapter.traverse(rule())).order_by(held.customer_id.desc())
    return found.limit(most)
