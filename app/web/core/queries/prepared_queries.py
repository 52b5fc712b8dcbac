"""Frequent statements of pages, built once and compiled once per person.

See app/access/compiled_statements.py.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Integer, Select, Subquery, bindparam, select, union
from sqlalchemy.orm import Session

from app import access
from app.access.compiled_statements import listed, padded


def ids_of_any(ids: Select[Any], alternatives: Sequence[Any], rules: Sequence[Any], limit: int) -> Subquery:
    """A subquery of the ids that match one of the alternatives and all rules: at most `limit` of each alternative.

    `ids`: a SELECT of a column `id`.
    """
    parts = [ids.where(each, *rules).limit(limit).subquery() for each in alternatives]
    return union(*[select(part.c.id) for part in parts]).subquery()


@dataclass(frozen=True, eq=False)
class PreparedQuery:
    """A SELECT that is kept for the life of the process; the access rules are added for each person."""

    query: Select[Any]
    #: All its tables, whose access rules apply.
    tables: frozenset[str]
    #: The type of its rows.
    row: Any

    @classmethod
    def of(cls, query: Any, *records: Any) -> PreparedQuery:
        """Prepare a query. `records`: those whose tables it contains."""
        tables = frozenset(each.__tablename__ for each in records)
        return cls(query, tables, namedtuple("Row", query.selected_columns.keys()))

    def ask(self, session: Session, fixed: dict[str, Any], open_values: dict[str, Any]) -> list[Any]:
        """The rows. Lists and limits are `fixed`: another value makes another statement."""
        make = partial(self.query.params, **fixed)
        question = access.CachedStatement((self, repr(sorted(fixed.items()))), make, self.tables)
        return [self.row(*values) for values in access.answer(session, question, open_values)]

    def where(self, session: Session, rules: Sequence[Any], parent: str | None = None) -> list[Any]:
        """The rows that match these conditions, whose values may differ each time.

        `parent`: "lead" or "ticket", if by these conditions they all belong to one that the person sees.
        """
        shape = access.shape_of(rules)
        key = None if shape.key is None else (self, shape.key, parent)
        question = access.CachedStatement(
            key, lambda: self.query.where(*shape.opened(list(rules))), self.tables, parent
        )
        return [self.row(*values) for values in access.answer(session, question, shape.open_values)]

    def of_one(self, session: Session, column: Any, key: int, parent: str | None = None) -> list[Any]:
        """The rows with this id in a column. `parent`: as for `where`."""
        question = access.CachedStatement(
            (self, "of one", column.key, parent),
            lambda: self.query.where(column == bindparam("of_one", type_=Integer)),
            self.tables,
            parent,
        )
        return [self.row(*values) for values in access.answer(session, question, {"of_one": key})]

    def of_ids(self, session: Session, record: Any, ids: Sequence[int]) -> list[Any]:
        """The rows of this record with these ids, of which there is at least one."""
        wanted = padded(ids)
        make = partial(self._with_ids, record, wanted)
        question = access.CachedStatement((self, "of ids", len(wanted)), make, self.tables)
        open_values = {f"wanted_id_{place}": each for place, each in enumerate(wanted)}
        return [self.row(*values) for values in access.answer(session, question, open_values)]

    def _with_ids(self, record: Any, ids: Sequence[int]) -> Any:
        found = self.query.where(record.id.in_(listed(ids, "wanted_id")))
        return found.with_hint(record, "FORCE INDEX (PRIMARY)", "mysql")  # the rules name many other indexes

    def newest_of_any(
        self, session: Session, key: Any, alternatives: Sequence[Any], rules: Sequence[Any], limit: int
    ) -> list[Any]:
        """The newest rows by `key`, an id, that match one of the alternatives, and all rules.

        Each alternative is looked up by its own index, as an OR would read all rows of each. The query has the order,
        and this limit.
        """
        shape = access.shape_of([*alternatives, *rules])

        def make() -> Any:
            opened = shape.opened([*alternatives, *rules])
            first, rest = opened[: len(alternatives)], opened[len(alternatives) :]
            ids = ids_of_any(select(key).order_by(key.desc()), first, rest, limit)
            return self.query.join(ids, ids.c.id == key)

        name = None if shape.key is None else (self, "newest of any", len(alternatives), shape.key)
        question = access.CachedStatement(name, make, self.tables)
        return [self.row(*values) for values in access.answer(session, question, shape.open_values)]

    def by_id(self, session: Session, record: Any, ids: Sequence[int], parent: tuple[str, int] | None) -> list[Any]:
        """The rows of this record with these ids, which the statement selects.

        `parent`: (kind, id) of a lead or ticket that the person sees and that most of the rows belong to; a second
        statement reads the others.
        """
        if parent is None:
            return self.where(session, [record.id.in_(listed(ids))])
        kind, key = parent
        found = self._by_id_of_one(session, record, ids, kind, key)
        missing = sorted({*ids} - {row.id for row in found})
        return [*found, *self.by_id(session, record, missing, None)] if missing else found

    def _by_id_of_one(self, session: Session, record: Any, ids: Sequence[int], kind: str, key: int) -> list[Any]:
        """The rows with these ids that belong to a lead or ticket."""
        wanted = padded(ids)

        def make() -> Any:
            belongs = getattr(record, f"{kind}_id") == bindparam("of_one", type_=Integer)
            return self.query.where(record.id.in_(listed(wanted, "wanted_id")), belongs)

        question = access.CachedStatement((self, "by id", len(wanted), kind), make, self.tables, kind)
        open_values = {f"wanted_id_{place}": each for place, each in enumerate(wanted)} | {"of_one": key}
        return [self.row(*values) for values in access.answer(session, question, open_values)]
