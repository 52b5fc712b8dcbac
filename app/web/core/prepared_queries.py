"""Statements that a page asks again and again, built once and compiled once per person.

See app/access/compiled_statements.py.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session

from app import access


@dataclass(frozen=True, eq=False)
class PreparedQuery:
    """A SELECT that is kept for the life of the process; the access rules are added for each person."""

    query: Select[Any]
    #: Every table that it names, so that its access rules are known.
    tables: frozenset[str]
    #: The type of its rows.
    row: Any

    @classmethod
    def of(cls, query: Any, *records: Any) -> PreparedQuery:
        """`records`: those whose tables the statement names."""
        tables = frozenset(each.__tablename__ for each in records)
        return cls(query, tables, namedtuple("Row", query.selected_columns.keys()))

    def ask(self, session: Session, fixed: dict[str, Any], late: dict[str, Any]) -> list[Any]:
        """The rows. Parameters that are lists or limits are `fixed`: another value is another statement."""
        make = partial(self.query.params, **fixed)
        question = access.CachedStatement((self, repr(sorted(fixed.items()))), make, self.tables)
        return [self.row(*values) for values in access.answer(session, question, late)]

    def where(self, session: Session, rules: Sequence[Any]) -> list[Any]:
        """The rows for which these conditions hold; their values may differ each time."""
        shape = access.shape_of(rules)
        key = None if shape.key is None else (self, shape.key)
        question = access.CachedStatement(key, lambda: self.query.where(*shape.opened(list(rules))), self.tables)
        return [self.row(*values) for values in access.answer(session, question, shape.late)]
