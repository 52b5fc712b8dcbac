"""Legal holds: nothing of a customer, lead or ticket under a hold is deleted in any way.

A hold on a customer covers their leads and tickets; a hold on any of these covers its tasks, calls, messages, notes,
files and the rest of its timeline. It ends on its last day, or when somebody releases it; several may apply at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    and_,
    bindparam,
    exists,
    false,
    inspect,
    or_,
    select,
)
from sqlalchemy.orm import LoaderCallableStatus, Mapped, RelationshipDirection, Session, mapped_column

from app.domain.audit_log import audit
from app.domain.base import RECORD_COLUMNS, Conflict, RuleBroken, Stamp, UtcDateTime, translatable
from app.domain.persistence import system_statements
from app.domain.persistence.session_context import session_context
from app.ops.statements import sqlalchemy_internals as internals

#: Characters of a reason.
MAX_REASON = 500
#: Tables whose records can be put under a hold -> the column that refers to them.
HELD_COLUMNS = {name: RECORD_COLUMNS[name] for name in ("customer", "leads", "ticket")}
#: Tables whose rows can't be deleted if they belong to a record under a hold.
GUARDED = (*HELD_COLUMNS, "task", "call_log", "message", "attachment", "activity")

#: Tables whose rows are held with the call to which they belong.
_OF_CALLS = ("call_recording",)


def is_guarded(record: type) -> bool:
    """Whether a hold can cover rows of this class."""
    return getattr(record, "__tablename__", "") in GUARDED


class LegalHold(Model):  # type: ignore[misc]
    """One hold on one record."""

    __tablename__ = "legal_hold"
    __table_args__ = (Index("ix_legal_hold_released", "released_on"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: One of the three is set. A record is deleted only after its holds have ended, and they with it; the audit keeps
    #: them.
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"), index=True)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"), index=True)
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), index=True)
    #: Why, in words.
    reason: Mapped[str] = mapped_column(String(MAX_REASON), nullable=False)
    #: The last day, in the office's zone; null = until it is released.
    until: Mapped[date | None] = mapped_column(Date)
    placed_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    placed_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    released_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    released_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    released_why: Mapped[str | None] = mapped_column(String(MAX_REASON))


_HOLD: Any = LegalHold.__table__


def is_in_force(row: Any, today: date) -> bool:
    """Whether a hold is in force on this day of the office."""
    return row.released_on is None and (row.until is None or row.until >= today)


# --- placing and releasing


@dataclass(frozen=True)
class HoldInput:
    """What somebody enters for a new hold."""

    reason: str
    #: Its last day; None = until it is released.
    until: date | None
    #: The day on which it is entered, which the last one can't precede.
    today: date


def place(session: Session, record: Any, entered: HoldInput, stamp: Stamp) -> LegalHold:
    """Put a customer, lead or ticket under a hold, with an audit entry. Raises RuleBroken."""
    text, until = _reason(entered.reason, "reason"), entered.until
    if until is not None and until < entered.today:
        raise RuleBroken("Please choose a last day that is not over, or leave it empty.", "until")
    hold = LegalHold(reason=text, until=until, placed_on=stamp.now, placed_by_id=stamp.by)
    setattr(hold, HELD_COLUMNS[record.__tablename__], record.id)
    session.add(hold)
    session.flush()
    about = f"{record.__tablename__} {record.number}"
    last_day = until.isoformat() if until else None
    audit.write(session, "legal hold", stamp.by, stamp.now, about=about, hold=hold.id, what="placed", until=last_day)
    return hold


def release(session: Session, hold: LegalHold, reason: str, stamp: Stamp, number: str) -> None:
    """End a hold, with an audit entry; `number`: of the record. Raises RuleBroken, Conflict if it has ended already."""
    text = _reason(reason, "reason")
    if hold.released_on is not None:
        raise Conflict("Somebody has released this hold already.")
    hold.released_on, hold.released_by_id, hold.released_why = stamp.now, stamp.by, text
    session.flush()
    audit.write(session, "legal hold", stamp.by, stamp.now, about=number, hold=hold.id, what="released")


def _reason(text: str, name: str) -> str:
    text = text.strip()
    if not text:
        raise RuleBroken("Please say why, so that others can understand it years later.", name)
    if len(text) > MAX_REASON:
        raise RuleBroken(translatable("Please say it in at most %(most)s characters.", most=MAX_REASON), name)
    return text


def copy_since(session: Session, record: Any, others: Iterable[int], since: datetime) -> None:
    """Put records of the same table under the holds that a record got after this time, while they were merged with
    it.
    """
    column = HELD_COLUMNS.get(record.__tablename__)
    if column is None:
        return
    mine = (_HOLD.c[column] == record.id, _HOLD.c.placed_on > since, _HOLD.c.released_on.is_(None))
    for row in session.execute(select(_HOLD).where(*mine)).mappings().all():
        same = {name: value for name, value in row.items() if name not in ("id", column)}
        session.add_all(LegalHold(**same, **{column: key}) for key in others)
    session.flush()


# --- what is under a hold


@dataclass(frozen=True)
class HeldIds:
    """Ids of everything under a hold, by the column that refers to it."""

    ids: dict[str, frozenset[int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.ids.values())

    def covers(self, row: Any) -> bool:
        """Whether a row is one of these records, or belongs to one."""
        own = RECORD_COLUMNS.get(str(row.__tablename__))
        if own is not None and row.id in self.ids.get(own, ()):
            return True
        return any(getattr(row, column, None) in ids for column, ids in self.ids.items())

    def spares(self, table: Table) -> ColumnElement[bool] | None:
        """SQL: rows of this table that are under no hold; None if no row of it can be under one."""
        parts = [
            or_(table.c[column].is_(None), table.c[column].not_in(sorted(ids)))
            for column, ids in self.ids.items()
            if ids and column in table.c
        ]
        if table.name in _OF_CALLS and self:
            calls = table.metadata.tables["call_log"]
            is_held = or_(*(calls.c[column].in_(sorted(ids)) for column, ids in self.ids.items() if column in calls.c))
            parts.append(~exists().where(calls.c.id == table.c.call_id, is_held))
        return and_(*parts) if parts else None


def ids_on_hold(session: Session, now: datetime) -> HeldIds:
    """Everything under a hold now. One statement if there is no hold, up to four otherwise."""
    return _with_what_belongs(session, session.execute(_in_force(), _today(now)).all())


@lru_cache
def _in_force() -> Any:
    """SELECT of the holds that are in force on the day `today`."""
    columns = [_HOLD.c[name] for name in HELD_COLUMNS.values()]
    today = bindparam("today", type_=_HOLD.c.until.type)
    return select(*columns).where(_HOLD.c.released_on.is_(None), or_(_HOLD.c.until.is_(None), _HOLD.c.until >= today))


def _today(now: datetime) -> dict[str, Any]:
    """The domain doesn't know the office's time zone, so a last day counts until it is over in every time zone."""
    return {"today": (now - timedelta(hours=12)).date()}


def _with_what_belongs(session: Session, rows: Sequence[Any]) -> HeldIds:
    """The records of these holds, and the leads, tickets and tasks that belong to them."""
    if not rows:
        return HeldIds()
    found = {name: {row[n] for row in rows if row[n] is not None} for n, name in enumerate(HELD_COLUMNS.values())}
    for name, column in (("leads", "lead_id"), ("ticket", "ticket_id")):
        found[column] |= _ids_of(session, name, {"customer_id": found["customer_id"]})
    found["task_id"] = _ids_of(session, "task", {key: found[key] for key in ("lead_id", "ticket_id")})
    return HeldIds({column: frozenset(ids) for column, ids in found.items()})


def is_held(session: Session, name: str, key: int, now: datetime) -> bool:
    """Whether a row of the table `name` (customers, leads, tickets or tasks) is under a hold; see `ids_on_hold`.

    The session acts for the system.
    """
    found = _with_what_belongs(session, system_statements.rows(session, _in_force(), _today(now)))
    return key in found.ids.get(RECORD_COLUMNS.get(name, ""), frozenset())


def _ids_of(session: Session, name: str, parents: dict[str, set[int]]) -> set[int]:
    """The ids of the rows of a table that belong to these parents."""
    table = Model.metadata.tables[name]
    rules = [table.c[column].in_(sorted(ids)) for column, ids in parents.items() if ids]
    return {*session.execute(select(table.c.id).where(or_(*rules))).scalars()} if rules else set()


def refuse_deletions(session: Session, rows: Iterable[Any], now: datetime) -> None:
    """Raise RuleBroken if one of these rows, about to be deleted, is under a hold or belongs to a record that is."""
    guarded = [row for row in rows if is_guarded(type(row))]
    if not guarded or session_context(session).is_merging:
        return
    found = ids_on_hold(session, now)
    if found and any(found.covers(row) or _has_held_part(session, row, found) for row in guarded):
        raise _deletion_refused()


def refuse_moves(session: Session, rows: Iterable[Any], now: datetime) -> None:
    """Raise RuleBroken if one of these rows, about to be changed, would leave a hold, and could then be deleted."""
    guarded = [row for row in rows if is_guarded(type(row))]
    left = [each for row in guarded for each in _left(session, row)]
    if not left or session_context(session).is_merging:
        return
    found = ids_on_hold(session, now).ids
    if any(old in found.get(column, ()) and new not in found.get(column, ()) for column, old, new in left):
        raise _move_refused()


def refuse_bulk(session: Session, statement: Any, parameters: Any, now: datetime) -> None:
    """Raise RuleBroken if an UPDATE or DELETE without objects would move rows out of a hold, or delete them.

    `parameters`: as passed to the session: None, a dictionary, or one for each row.
    """
    table: Any = getattr(statement, "table", None)
    if getattr(table, "name", "") not in GUARDED or session_context(session).is_merging:
        return
    found: dict[str, frozenset[int]] | None = None
    for given in parameters if isinstance(parameters, list | tuple) else [parameters or {}]:
        moved = _columns_moved(statement, given) if statement.is_update else None
        if moved is not None and not moved:
            continue
        found = ids_on_hold(session, now).ids if found is None else found
        rules = _rules_of_deletion(table, found) if moved is None else _rules_of_move(table, moved, found)
        touched = select(table.c.id).where(*_rows_of(statement, given), or_(false(), *rules)).limit(1)
        if rules and session.connection().execute(touched, given).first() is not None:
            raise _deletion_refused() if moved is None else _move_refused()


def _rows_of(statement: Any, given: Mapping[str, Any]) -> list[Any]:
    """The conditions of a statement; an UPDATE by primary key has the id of each row."""
    conditions = [*internals.conditions_of(statement)]
    return conditions or ([statement.table.c.id == given["id"]] if "id" in given else [])


def _columns_moved(statement: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Column that refers to a record -> the id that an UPDATE sets; None for null, or if it is unknown."""
    values = {str(getattr(column, "key", column)): value for column, value in internals.values_of(statement).items()}
    moved = {**given, **values}
    return {name: _written(moved[name], given) for name in RECORD_COLUMNS.values() if name in moved}


def _written(value: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(value, BindParameter):
        return given.get(value.key, value.value)
    return value if isinstance(value, int) else None


def _rules_of_move(table: Any, moved: dict[str, Any], found: dict[str, frozenset[int]]) -> list[Any]:
    return [
        table.c[column].in_(sorted(found[column]))
        for column, new in moved.items()
        if found.get(column) and new not in found[column]
    ]


def _rules_of_deletion(table: Any, found: dict[str, frozenset[int]]) -> list[Any]:
    own = RECORD_COLUMNS.get(table.name)
    rules = [table.c[column].in_(sorted(ids)) for column, ids in found.items() if ids and column in table.c]
    return rules + ([table.c.id.in_(sorted(found[own]))] if own and found.get(own) else [])


def _left(session: Session, row: Any) -> list[tuple[str, int, int | None]]:
    """(column, id, new id or None) of the records that the row will no longer belong to."""
    state, before, found = inspect(row), internals.set_attributes(row), []
    for column, new in _new_parents(row).items():
        old = before.get(column, state.dict.get(column, LoaderCallableStatus.NO_VALUE))
        if old is LoaderCallableStatus.NO_VALUE:  # it was set without having been read
            own = row.__table__
            old = session.connection().execute(select(own.c[column]).where(own.c.id == state.identity[0])).scalar()
        if old is not None and old != new:
            found.append((column, old, new))
    return found


def _new_parents(row: Any) -> dict[str, int | None]:
    """Column that refers to a record -> its new id, if it or the related object was set."""
    state: Any = inspect(row)
    names, given = RECORD_COLUMNS.values(), internals.set_attributes(row)
    made = {column: getattr(row, column) for column in names if column in given}
    for name in [each for each in given if each in state.mapper.relationships]:
        relation, related = state.mapper.relationships[name], state.dict.get(name)
        if relation.direction is RelationshipDirection.MANYTOONE:
            columns = [own.key for own, _other in relation.local_remote_pairs if own.key in names]
            made |= {column: getattr(related, "id", None) for column in columns}
    return made


def _deletion_refused() -> RuleBroken:
    return RuleBroken(
        "This is under a legal hold, so nothing of it can be deleted. Ask the compliance officer, who can see why "
        "and until when, and can release it."
    )


def _move_refused() -> RuleBroken:
    return RuleBroken(
        "This belongs to a record under a legal hold, so it can't be taken away from it. Ask the compliance "
        "officer, who can see why and until when, and can release it."
    )


def _has_held_part(session: Session, row: Any, found: HeldIds) -> bool:
    """Whether a customer has a lead or ticket with a hold of its own."""
    if row.__tablename__ != "customer":
        return False
    for name, column in (("leads", "lead_id"), ("ticket", "ticket_id")):
        if _ids_of(session, name, {"customer_id": {row.id}}) & found.ids.get(column, frozenset()):
            return True
    return False


@contextmanager
def moved_by_merge(session: Session) -> Iterator[None]:
    """Inside, merged records may be deleted: everything they had, including holds, has moved to the remaining
    record.
    """
    context = session_context(session)
    context.is_merging = True
    try:
        yield
    finally:
        context.is_merging = False
