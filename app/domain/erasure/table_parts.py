"""How the rows of one table are found and erased: emptied, or deleted where a row says nothing without its content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    ColumnElement,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    false,
    func,
    not_,
    null,
    or_,
    select,
    true,
    type_coerce,
    union,
    update,
)
from sqlalchemy.orm import Session

from app.domain import address_hashes
from app.domain.base import RECORD_COLUMNS, Stamp
from app.domain.erasure.erasure_scope import Scope
from app.domain.erasure.erasures import MARKER_FORM


class Marker:
    """In place of a text that can't be empty: what stands there says by which request it was erased."""


MARKER = Marker()


class Stays(NamedTuple):
    """Rows that a duty keeps."""

    duty: str
    until: date | None
    rule: ColumnElement[bool]


@dataclass(frozen=True)
class TablePart:
    """The rows of one table that belong to a person."""

    #: What people call it; several tables may be of one kind.
    kind: str
    record: Any
    #: Column -> what it holds afterwards: None, a text, an empty list or object, or MARKER. None = the rows go.
    blanks: Mapping[str, Any] | None
    #: Column with a number or address, for rows that belong to no record.
    address: str | None = None
    #: (column, model): the rows belong to those of another table.
    owner: tuple[str, Any] | None = None
    #: When a row, or the one that it belongs to, was made; newer ones than the erasure stay.
    time: str | None = "created_on"
    #: Rows that are kept, besides those of kept tickets.
    stays: Callable[[Scope, Table], list[Stays]] = lambda _scope, _table: []
    #: Other columns that change, which don't say whether something is left.
    also: Mapping[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """The bare table: it is erased whoever asks, whatever they see."""
        return self.record.__table__  # type: ignore[no-any-return]

    @property
    def _owner(self) -> Table:
        return self.owner[1].__table__ if self.owner else self.table

    # --- finding

    def find(self, session: Session, scope: Scope, limit: int) -> list[int]:
        """Ids of rows that have to be erased, at most so many."""
        found: set[int] = set()
        for branch in self._branches(scope):
            if len(found) < limit:
                rules = (branch, self._is_left(scope), *self._is_free(scope))
                query = self._query(*rules).order_by(self.table.c.id).limit(limit - len(found))
                found |= set(session.execute(query).scalars())
        return sorted(found)

    def count(self, session: Session, scope: Scope) -> int:
        """How many rows have to be erased."""
        return self._counted(session, scope, and_(self._is_left(scope), *self._is_free(scope)))

    def count_kept(self, session: Session, scope: Scope) -> list[tuple[str, date | None, int]]:
        """(duty, until, rows) of what is kept."""
        made = [(each, and_(each.rule, self._is_left(scope))) for each in self._stays(scope)]
        return [(each.duty, each.until, self._counted(session, scope, rule)) for each, rule in made]

    def _query(self, *rules: Any) -> Any:
        query = select(self.table.c.id)
        if self.owner:
            query = query.join(self._owner, self._owner.c.id == self.table.c[self.owner[0]])
        return query.where(*rules)

    def _counted(self, session: Session, scope: Scope, rule: ColumnElement[bool]) -> int:
        parts = [self._query(branch, rule) for branch in self._branches(scope)]
        if not parts:
            return 0
        query = select(func.count()).select_from(union(*parts).subquery())
        return int(session.execute(query).scalar() or 0)

    def _branches(self, scope: Scope) -> list[ColumnElement[bool]]:
        """One condition per column, since no index serves an OR of them."""
        owner = self._owner
        own = RECORD_COLUMNS.get(owner.name)
        if own is not None:
            ids = {"customer_id": scope.customer, "lead_id": scope.leads, "ticket_id": scope.tickets}
            keys = ids.get(own, scope.tasks)
            return [owner.c.id.in_(keys)] if keys else []
        found = scope.branches(owner)
        if self.address and scope.addresses:
            alone = (owner.c[name].is_(None) for name in RECORD_COLUMNS.values() if name in owner.c)
            found.append(and_(owner.c[self.address].in_(scope.addresses), *alone))
        return found

    def _is_free(self, scope: Scope) -> Iterable[ColumnElement[bool]]:
        """Conditions: no duty keeps the row, and it is not newer than the erasure."""
        yield from (func.coalesce(each.rule, False).is_(False) for each in self._stays(scope))
        if scope.cutoff is not None and self.time is not None:
            own = self.table if self.time in self.table.c else self._owner
            is_older = own.c[self.time] <= scope.cutoff
            of_complaint = (
                self._owner.c.ticket_id.in_(sorted(scope.complaints)) if self._may_complain(scope) else false()
            )
            yield or_(is_older, of_complaint)

    def _may_complain(self, scope: Scope) -> bool:
        return bool(scope.complaints) and "ticket_id" in self._owner.c

    def _stays(self, scope: Scope) -> list[Stays]:
        owner, kept = self._owner, scope.kept_tickets
        found = self.stays(scope, owner)
        column = owner.c.id if owner.name == "ticket" else owner.c.get("ticket_id")
        if kept.ids and column is not None:
            found.append(Stays("complaint", kept.until, column.in_(sorted(kept.ids))))
        column = owner.c.id if owner.name == "task" else owner.c.get("task_id")
        if scope.kept_tasks and column is not None and owner.name != "task":
            found.append(Stays("complaint", kept.until, column.in_(sorted(scope.kept_tasks))))
        return found

    def _is_left(self, scope: Scope) -> ColumnElement[bool]:
        """Whether the row still holds something."""
        if self.blanks is None:
            return true()
        return or_(*(self._differs(name, blank, scope) for name, blank in self.blanks.items()))

    def _differs(self, name: str, blank: Any, scope: Scope) -> ColumnElement[bool]:
        column: Any = self.table.c[name]
        if isinstance(column.type, JSON):
            return and_(column.is_not(None), type_coerce(column, Text) != json.dumps(blank))
        if blank is None:
            return column.is_not(None)  # type: ignore[no-any-return]
        if blank is MARKER:  # that of an earlier request does, too
            return or_(column.is_(None), not_(column.regexp_match(MARKER_FORM)))
        return or_(column.is_(None), column != blank)

    # --- erasing

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Erase these rows."""
        chosen = self.table.c.id.in_(list(ids))
        if self.blanks is None:
            session.connection().execute(delete(self.table).where(chosen))
            return
        session.connection().execute(update(self.table).where(chosen).values(self.values(scope)))

    def values(self, scope: Scope) -> dict[str, Any]:
        """Column -> what it holds afterwards."""
        return {name: self._value(name, each, scope) for name, each in {**(self.blanks or {}), **self.also}.items()}

    def _value(self, name: str, blank: Any, scope: Scope) -> Any:
        if blank is MARKER:
            return scope.marker
        if blank is None and isinstance(self.table.c[name].type, JSON):
            return null()
        return blank


class ScannedPart(TablePart):
    """A small table whose JSON has to be read to see whether a row belongs to the person."""

    def find(self, session: Session, scope: Scope, limit: int) -> list[int]:
        """Ids of rows that have to be erased, at most so many."""
        return self.found(session, scope)[:limit]

    def found(self, session: Session, scope: Scope) -> list[int]:
        """Ids of all of them."""
        raise NotImplementedError

    def count(self, session: Session, scope: Scope) -> int:
        """How many rows have to be erased."""
        return len(self.found(session, scope))

    def count_kept(self, session: Session, scope: Scope) -> list[tuple[str, date | None, int]]:
        """No duty keeps any of it."""
        return []


def is_whole_id(column: Any) -> ColumnElement[bool]:
    """Whether a column has an id of a provider or telephone, in which a number may be, and not its hash."""
    return and_(column.is_not(None), not_(address_hashes.is_hash_sql(column)))


def hash_ids(session: Session, column: Any, ids: Sequence[int]) -> None:
    """Replace such ids by their hashes, by which they are known when they are sent again."""
    own = column.table.c.id
    query = select(own, column).where(own.in_(list(ids)), is_whole_id(column))
    changes = [
        {"key": key, "new": address_hashes.hashed_id(session, name)} for key, name in session.execute(query).all()
    ]
    if changes:
        step = update(column.table).where(own == bindparam("key")).values({column.name: bindparam("new")})
        session.connection().execute(step, changes)


def locked_rows(session: Session, record: Any, ids: Sequence[int]) -> list[Any]:
    """These rows as they are now, locked in the order of their ids."""
    query = select(record).where(record.id.in_(list(ids))).order_by(record.id).with_for_update()
    return list(session.scalars(query, execution_options={"populate_existing": True}).unique())


class RecordPart(TablePart):
    """Leads, tickets, tasks and the customer itself: as objects, so that versions rise and all that follows happens."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Erase these rows."""
        for row in locked_rows(session, self.record, ids):
            for name, value in self.values(scope).items():
                setattr(row, name, value)
            row.stamp(stamp)
        session.flush()
