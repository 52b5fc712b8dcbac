"""Record numbers such as CRM-LEAD-2026-00001: never repeated, and with little waiting for each other (ADR 0007).

A number is taken by an UPDATE in the transaction that inserts the record, whose row lock makes others wait until the
commit. If several transactions of this process need one at once, one of them takes a block; when it commits, the rest
of the block is available to the process without the row and its lock.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, select, update
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, SessionTransaction

from app.domain.base import NUMBER_PREFIXES, NumberSeries
from app.domain.persistence.transaction_state import part_of
from app.ops.statements import fast_statements

#: Numbers that are taken at once while several transactions need one.
BLOCK = 8
#: (kind, year)
Series = tuple[str, int]


@dataclass
class _Shared:
    """The state of one series in this process."""

    #: Numbers that are committed as taken, and that no record has yet.
    spare: list[int] = field(default_factory=list)
    #: Transactions of this process in progress that have taken a number from the row.
    takers: int = 0
    #: Whether one of them takes a block.
    block_is_coming: bool = False


@dataclass
class AllottedNumbers:
    """The numbers of one series taken by one transaction."""

    shared: _Shared
    #: The rest of its block, shared when it commits.
    rest: list[int] = field(default_factory=list)
    #: Whether it counts among the takers, and whether it takes their block.
    is_taker: bool = False
    has_block: bool = False


class _TakenNumbers(dict[Series, AllottedNumbers]):
    """The record numbers taken by one transaction, by series."""


_lock = threading.Lock()
_shared: WeakKeyDictionary[Engine, dict[Series, _Shared]] = WeakKeyDictionary()


def forget_all() -> None:
    """Drop the numbers reserved by this process, after a fork or a restore of the database."""
    global _lock
    _lock = threading.Lock()
    _shared.clear()


os.register_at_fork(after_in_child=forget_all)


def next_number(session: Session, kind: str, year: int) -> str:
    """Issue the next number of a kind, e.g. CRM-LEAD-2026-00001, inside the caller's transaction."""
    if session.get_bind().dialect.name == "sqlite":
        reserved = part_of(session, _TakenNumbers).get((kind, year))
        last = reserved.rest.pop(0) if reserved and reserved.rest else _take(session, (kind, year), 1)
    else:
        last = _from_process(session, (kind, year)) or _from_row(session, (kind, year))
    return f"{NUMBER_PREFIXES[kind]}-{year}-{last:05d}"


def reserve(session: Session, kind: str, year: int, count: int) -> None:
    """Reserve `count` numbers for records that this transaction will insert."""
    if count < 2:
        return
    series = (kind, year)
    last = _take(session, series, count)
    with _lock:
        _taken(session, series).rest += range(last - count + 1, last + 1)


def _taken(session: Session, series: Series) -> AllottedNumbers:
    found = part_of(session, _TakenNumbers)
    if series not in found:
        held = _shared.setdefault(session.get_bind().engine, {})
        found[series] = AllottedNumbers(held.setdefault(series, _Shared()))
    return found[series]


def _from_process(session: Session, series: Series) -> int | None:
    """A number of the transaction's own block, or one available to the process; None if there is none."""
    with _lock:
        taken = _taken(session, series)
        if taken.rest:
            return taken.rest.pop(0)
        if not taken.shared.spare:
            return None
        # It is never returned: if a commit gets no answer, nobody knows whether a record has it.
        return taken.shared.spare.pop(0)


def _from_row(session: Session, series: Series) -> int:
    """A number from the row, whose lock is held until the end; a block if others of this process need one."""
    with _lock:
        taken = _taken(session, series)
        shared = taken.shared
        is_wanted = shared.takers > (1 if taken.is_taker else 0) and not shared.block_is_coming
        if is_wanted:
            taken.has_block = shared.block_is_coming = True
        if not taken.is_taker:
            taken.is_taker = True
            shared.takers += 1
    size = BLOCK if is_wanted else 1
    last = _take(session, series, size)
    with _lock:
        taken.rest += range(last - size + 2, last + 1)
    return last - size + 1


#: LAST_INSERT_ID(expr) returns the new value without a second statement.
_INCREMENT = "UPDATE number_series SET last = LAST_INSERT_ID(last + %(size)s) WHERE kind = %(kind)s AND year = %(year)s"


def _take(session: Session, series: Series, size: int) -> int:
    """Increase the series by `size`. Returns its new last number."""
    kind, year = series
    if session.get_bind().dialect.name == "sqlite":
        rule = (NumberSeries.kind == kind, NumberSeries.year == year)
        increment = update(NumberSeries).where(*rule).values(last=NumberSeries.last + size)
        last = session.execute(increment.returning(NumberSeries.last)).scalar()
    else:
        session.flush()
        sent = fast_statements.send(session, _INCREMENT, {"size": size, "kind": kind, "year": year})
        last = sent.last_id if sent.total else None
    if last is None:
        _create_series(session, kind, year)
        return _take(session, series, size)
    return int(last)


def _create_series(session: Session, kind: str, year: int) -> None:
    """Create the row of a new year; a concurrent request may have created it already."""
    if session.get_bind().dialect.name != "sqlite":
        # A refused INSERT would keep a shared lock, and concurrent requests would deadlock on the UPDATE.
        row = mysql.insert(NumberSeries).values(kind=kind, year=year, last=0)
        session.execute(row.on_duplicate_key_update(last=NumberSeries.last))
        return
    try:
        with session.begin_nested():
            session.add(NumberSeries(kind=kind, year=year, last=0))
    except IntegrityError:
        session.execute(select(NumberSeries.id).where(NumberSeries.kind == kind, NumberSeries.year == year))


def raise_to(session: Session, kind: str, year: int, last: int) -> int:
    """Skip all numbers of a series up to this one. Returns the last one that may have been given out before."""
    rule = (NumberSeries.kind == kind, NumberSeries.year == year)
    query = select(NumberSeries.last).where(*rule).with_for_update()
    before = session.execute(query).scalar()
    if before is None:
        _create_series(session, kind, year)
        before = session.execute(query).scalar() or 0
    if before < last:
        session.execute(update(NumberSeries).where(*rule).values(last=last), execution_options=_UNSYNCHRONIZED)
    return int(before)


_UNSYNCHRONIZED = {"synchronize_session": False}


# --- the end of a transaction: session hooks


def return_unused(session: Session) -> None:
    """Session hook, after a commit: make the rest of a block available to the process."""
    numbers = part_of(session, _TakenNumbers)
    if not numbers or session.in_nested_transaction():
        return
    with _lock:
        for taken in numbers.values():
            taken.shared.spare = sorted(taken.shared.spare + taken.rest)
            taken.rest = []


def discard_unused(session: Session, _transaction: SessionTransaction) -> None:
    """Session hook, after a rollback, also to a savepoint: discard a block that may have been undone."""
    for taken in part_of(session, _TakenNumbers).values():
        taken.rest = []


def end_transaction(session: Session, transaction: SessionTransaction) -> None:
    """Session hook: let others take the next block."""
    numbers = part_of(session, _TakenNumbers)
    if not numbers or transaction.parent is not None:
        return
    with _lock:
        for taken in numbers.values():
            taken.shared.takers -= taken.is_taker
            if taken.has_block:
                taken.shared.block_is_coming = False
        numbers.clear()
