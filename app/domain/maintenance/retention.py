"""Retention: finds old rows along their primary key, deletes them in chunks, and records what was deleted.

No index on times is needed. Rows are created in the order of their keys, so the end of the old ones is found by binary
search; for tables in which other rows stay, it records how far the table was scanned. A night reads only what has
become old since the last one, however large the table is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, select, true, update
from sqlalchemy.orm import Session

from app.domain import legal_holds
from app.domain.audit_log import audit
from app.domain.base import RuleBroken, Stamp, translatable
from app.domain.legal_holds import HeldIds
from app.domain.maintenance.retention_kinds import BY_NAME, KINDS, MAX_DAYS, RetentionKind, RetentionTable
from app.domain.maintenance.retention_runs import RetentionRule, RetentionRun

#: Keys whose rows one statement scans.
_WINDOW = 100_000
_RULES, _RUNS = RetentionRule.__table__, RetentionRun.__table__
_BULK = {"synchronize_session": False}


class ExpiredRow(NamedTuple):
    """One row that is too old: kind, index of its table, key."""

    kind: str
    place: int
    key: Any


@dataclass
class ExpiredRows:
    """Rows that are too old."""

    rows: list[ExpiredRow] = field(default_factory=list)
    #: Kind -> the last key that is old enough, for kinds whose other rows stay.
    ends: dict[str, int] = field(default_factory=dict)


# --- settings


def days_of(session: Session) -> dict[str, int]:
    """Kind -> days that its rows are kept. A setting below the minimum of a newer version is raised to it."""
    stored = {name: days for name, days in session.execute(select(_RULES.c.kind, _RULES.c.days))}  # noqa: C416
    return {kind.name: max(kind.least, stored.get(kind.name) or kind.days) for kind in KINDS}


def set_days(session: Session, wanted: Mapping[str, int], stamp: Stamp) -> list[str]:
    """Set the days of these kinds, with an audit entry. Returns the kinds that changed. Raises RuleBroken."""
    before = days_of(session)
    errors = {name: [_refusal(BY_NAME[name], days)] for name, days in wanted.items() if _refusal(BY_NAME[name], days)}
    if errors:
        raise RuleBroken("Not saved yet. Please check these fields:", errors=errors)
    changed = [name for name, days in wanted.items() if days != before[name]]
    for name in changed:
        _change_rule(session, name, {"days": wanted[name], "changed_on": stamp.now})
    if changed:
        values = {name: [before[name], wanted[name]] for name in changed}
        audit.write(session, "retention", stamp.by, stamp.now, "settings", days=values)
    return changed


def _refusal(kind: RetentionKind, days: int) -> str:
    if days > MAX_DAYS:
        return translatable("Please enter at most %(most)s days.", most=MAX_DAYS)
    if days < kind.least:
        return translatable("Please keep these for at least %(least)s days. %(why)s", least=kind.least, why=kind.why)
    return ""


def _change_rule(session: Session, name: str, values: dict[str, Any]) -> None:
    done: Any = session.execute(update(_RULES).where(_RULES.c.kind == name).values(**values))
    exists = done.rowcount or session.execute(select(_RULES.c.kind).where(_RULES.c.kind == name)).first()
    if not exists:
        session.execute(_RULES.insert().values(kind=name, **{"reached": 0} | values))


# --- finding


def find(session: Session, now: datetime, limit: int) -> ExpiredRows:
    """Rows that are too old and under no legal hold, at most `limit`."""
    found, days, reached = ExpiredRows(), days_of(session), _reached(session)
    held = legal_holds.ids_on_hold(session, now)
    for kind in _open_kinds(held):
        before = now - timedelta(days=days[kind.name])
        for place, store in enumerate(kind.stores):
            end = _last_old_key(session, store, store.as_stored(before)) if store.in_order else None
            # Rows under a hold now are checked again when they are released.
            if kind.remembers and end is not None and not held:
                found.ends[kind.name] = end
            after = reached.get(kind.name, 0) if kind.remembers else None
            span = _Span(store, store.as_stored(before), after, end, held)
            for key in span.keys(session, limit - len(found.rows)):
                found.rows.append(ExpiredRow(kind.name, place, key))
        if len(found.rows) >= limit:
            break
    return found


def count(session: Session, now: datetime, with_held: bool = False) -> dict[str, int]:
    """Kind -> number of rows too old now, without (or with) those under a legal hold; nothing is deleted."""
    days, reached = days_of(session), _reached(session)
    held = HeldIds() if with_held else legal_holds.ids_on_hold(session, now)
    counts: dict[str, int] = dict.fromkeys(BY_NAME, 0)
    for kind in _open_kinds(held):
        before = now - timedelta(days=days[kind.name])
        spans = (
            _Span(
                store,
                store.as_stored(before),
                reached.get(kind.name, 0) if kind.remembers else None,
                _last_old_key(session, store, store.as_stored(before)) if store.in_order else None,
                held,
            )
            for store in kind.stores
        )
        counts[kind.name] = sum(span.count(session) for span in spans)
    return counts


def _open_kinds(held: HeldIds) -> list[RetentionKind]:
    """The kinds whose rows can be deleted: a kind that covers everybody in sequence is kept while any hold exists."""
    return [kind for kind in KINDS if not (held and kind.is_one_whole)]


def oldest(session: Session) -> dict[str, datetime]:
    """Kind -> when its oldest row was created, for kinds that delete tables in order, rows that stay left out."""
    moments = {}
    for kind in KINDS:
        store = kind.stores[0]
        if kind.remembers or not store.in_order:
            continue
        query = select(store.table.c[store.time]).order_by(store.table.c[store.key]).limit(1)
        first = session.execute(query if store.only is None else query.where(store.only)).scalar()
        if isinstance(first, datetime):
            moments[kind.name] = first
    return moments


def _reached(session: Session) -> dict[str, int]:
    return {name: key for name, key in session.execute(select(_RULES.c.kind, _RULES.c.reached))}  # noqa: C416


def _last_old_key(session: Session, store: RetentionTable, before: Any) -> int | None:
    """The last key of the old rows, by binary search, since larger keys are newer; None if no row is old."""
    key, time = store.table.c[store.key], store.table.c[store.time]
    first, last = session.execute(select(func.min(key), func.max(key))).one()
    if first is None:
        return None
    low, high = first - 1, last
    while low < high:
        middle = (low + high + 1) // 2
        row = session.execute(select(key, time).where(key >= middle).order_by(key).limit(1)).first()
        if row is not None and row[1] < before:
            low = row[0]
        else:
            high = middle - 1
    return low if low >= first else None


@dataclass(frozen=True)
class _Span:
    """A part of a table: the old rows of the kind between two keys."""

    store: RetentionTable
    before: Any
    #: None = from the first row on.
    after: int | None
    #: None = to the last row; for tables in order: there is no old row.
    end: int | None
    #: Everything under a legal hold, which stays.
    held: HeldIds

    def keys(self, session: Session, limit: int) -> list[Any]:
        """Their keys, in order."""
        key = self.store.table.c[self.store.key]
        found: list[Any] = []
        for part in self._parts(session):
            if len(found) >= limit:
                break
            query = (
                select(key)
                .where(part, _is_old(self.store, self.before, self.held))
                .order_by(key)
                .limit(limit - len(found))
            )
            found += session.execute(query).scalars()
        return found

    def count(self, session: Session) -> int:
        """How many there are."""
        rows = select(func.count()).select_from(self.store.table)
        return sum(
            session.execute(rows.where(part, _is_old(self.store, self.before, self.held))).scalar() or 0
            for part in self._parts(session)
        )

    def _parts(self, session: Session) -> Iterator[ColumnElement[bool]]:
        """Conditions that split the span into windows of keys."""
        key = self.store.table.c[self.store.key]
        if not self.store.in_order:
            yield true()
            return
        if self.end is None:
            return
        low = self.after if self.after is not None else (session.execute(select(func.min(key))).scalar() or 1) - 1
        while low < self.end:
            high = min(low + _WINDOW, self.end)
            yield and_(key > low, key <= high)
            low = high


def _is_old(store: RetentionTable, before: Any, held: HeldIds) -> ColumnElement[bool]:
    """The condition for rows to delete: old, of the kind, and not held."""
    parts = (store.table.c[store.time] < before, store.only, held.spares(store.table))
    return and_(*(part for part in parts if part is not None))


# --- deleting


def forget(session: Session, rows: Sequence[ExpiredRow], now: datetime) -> int:
    """Delete these rows if they still are too old, and count them in the run. Returns how many were deleted."""
    days, total, held = days_of(session), 0, legal_holds.ids_on_hold(session, now)
    for (name, place), group in groupby(rows, key=lambda row: row[:2]):
        kind, keys = BY_NAME[name], [row.key for row in group]
        before = now - timedelta(days=days[name])
        store = kind.stores[place]
        chosen = store.table.c[store.key].in_(keys)
        if kind not in _open_kinds(held):
            deleted = 0
        elif kind.delete is not None:
            deleted = kind.delete(session, _not_held(session, store, keys, held), before)
        else:
            step = delete(store.table).where(chosen, _is_old(store, store.as_stored(before), held))
            deleted = session.execute(step).rowcount  # type: ignore[attr-defined]
        _count_in_run(session, name, (deleted, days[name]), now)
        total += deleted
    return total


def _not_held(session: Session, store: RetentionTable, keys: list[Any], held: HeldIds) -> list[Any]:
    spared, key = held.spares(store.table), store.table.c[store.key]
    if spared is None:
        return keys
    return list(session.execute(select(key).where(key.in_(keys), spared).order_by(key)).scalars())


def _count_in_run(session: Session, name: str, counted: tuple[int, int], now: datetime) -> None:
    deleted, days = counted
    if not deleted:
        return
    own = _RUNS.c.open_key == name
    step = update(_RUNS).where(own).values(deleted=_RUNS.c.deleted + deleted, ended_on=now)
    if not session.execute(step).rowcount:  # type: ignore[attr-defined]
        values = {"kind": name, "open_key": name, "began_on": now, "ended_on": now, "days": days, "deleted": deleted}
        session.execute(_RUNS.insert().values(**values))


def close(session: Session, ends: Mapping[str, int], now: datetime) -> int:
    """End the run: record how far tables were scanned, and audit what was deleted. Returns how many rows."""
    for name, end in ends.items():
        if end > _reached(session).get(name, 0):
            _change_rule(session, name, {"reached": end})
    open_runs = select(_RUNS.c.kind, _RUNS.c.deleted).where(_RUNS.c.open_key.is_not(None))
    counts: dict[str, int] = {name: rows for name, rows in session.execute(open_runs.with_for_update())}  # noqa: C416
    if not counts:
        return 0
    session.execute(update(_RUNS).where(_RUNS.c.open_key.in_(list(counts))).values(open_key=None, ended_on=now))
    audit.write(session, "retention", None, now, "deleted", rows=counts)
    return sum(counts.values())


def recent(session: Session, maximum: int) -> Iterable[RetentionRun]:
    """The last runs that deleted something, newest first."""
    return session.scalars(select(RetentionRun).order_by(RetentionRun.id.desc()).limit(maximum)).all()


def deleted_in_all(session: Session) -> dict[str, int]:
    """Kind -> number of rows deleted by all recorded runs."""
    query = select(_RUNS.c.kind, func.sum(_RUNS.c.deleted)).group_by(_RUNS.c.kind)
    return {name: int(number) for name, number in session.execute(query)}
