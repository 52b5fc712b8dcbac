"""Reads figures of leads, tickets and tasks from their daily sums.

Rows that have changed since are taken out of the sums as they were counted, and added as they are. Each function
returns None for what the sums can't answer, so that the rows themselves are counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, func, literal, select, union_all
from sqlalchemy.orm import Session

from app.domain.analytics.figures import FIGURES, CountScope
from app.domain.analytics.record_rollup_fill import Sums, add, read, rows_query, shares_of, stored_shares
from app.domain.analytics.record_rollups import (
    RECORDS,
    SHARES,
    SUMS,
    Cube,
    RecordRollupState,
    RecordSum,
    Share,
    rules_of,
    share_by,
)
from app.domain.periods import Period
from app.domain.persistence.recount_marks import KINDS, RowMark
from app.domain.telephony.call_rollups import number_of

#: With more changed rows than this, the rows themselves are counted.
MOST_MARKED = 1000
#: The point of days before the period.
_BEFORE = -1
#: (point, key) -> sums.
_Grid = dict[tuple[int, str], list[int]]


@dataclass
class RecordCoverage:
    """The kinds of rows whose sums can be used, and how those of changed rows differ."""

    #: Kind -> the number of the change of its sums up to which `changed` is right.
    turns: dict[int, int]
    #: What changed rows add to the sums, beyond what is counted of them.
    changed: Sums = field(default_factory=dict)
    #: Sums that were read, by cube, period and whether by point.
    _read: dict[tuple[int, Period, bool], _Grid] = field(default_factory=dict)

    def sums(self, session: Session, cube: Cube, period: Period, by_point: bool) -> _Grid | None:
        """The sums of a cube in the period and the one before it, or at each point of the period."""
        key = (cube.id, period, by_point)
        if key not in self._read:
            found = _sums(session, self, cube, period, by_point)
            if found is None:
                return None
            self._read[key] = found
        return self._read[key]


def coverage_of(session: Session, scope: CountScope, records: Iterable[Any]) -> RecordCoverage | None:
    """The usable sums of these records, of which the person has to see all rows; None = none."""
    kinds = {KINDS[record.__tablename__] for record in records}
    state, turns, marked = RecordRollupState.__table__.c, {}, {kind: list[int]() for kind in kinds}
    marks = select(RowMark.kind, RowMark.row_id).where(RowMark.kind.in_(kinds)).distinct().limit(MOST_MARKED + 1)
    known = select(-state.kind, state.turn, state.rules).where(
        state.kind.in_(kinds), state.zone == scope.period.zone.key, state.is_complete
    )
    some = marks.subquery()
    for kind, value, rules in session.execute(union_all(known, select(some.c.kind, some.c.row_id, literal("")))):
        if kind > 0:
            marked[kind].append(value)
        elif rules == rules_of(-kind):
            turns[-kind] = value
    if not turns or sum(map(len, marked.values())) > MOST_MARKED:
        return None
    theirs = {kind: keys for kind, keys in marked.items() if keys and kind in turns}
    return RecordCoverage(turns, _changes(session, scope, theirs))


def _changes(session: Session, scope: CountScope, marked: dict[int, list[int]]) -> Sums:
    """What marked rows add to the sums now, less what is counted of them."""
    found = Sums()
    for rows in stored_shares(session, marked).values():
        for shares in rows.values():
            add(found, read(shares), -1)
    for kind, keys in marked.items():
        record = RECORDS[kind]
        for row in session.execute(rows_query(record).where(record.id.in_(keys))):
            add(found, shares_of(record, row, scope.period.zone))
    return found


# --- sums


def _sums(session: Session, coverage: RecordCoverage, cube: Cube, period: Period, by_point: bool) -> _Grid | None:
    kind = KINDS[cube.record.__tablename__]
    table, start = RecordSum.__table__.c, number_of(period.first_day)
    first = start if by_point else number_of(period.previous().first_day)
    last = number_of(period.last_day)
    point = (table.day - start) // period.step if by_point else case((table.day >= start, 0), else_=_BEFORE)
    turn = select(RecordRollupState.turn).where(RecordRollupState.kind == kind).scalar_subquery()
    sums = [func.sum(table[name]) for name in SUMS[: len(cube.values)]]
    query = select(turn, point.label("point"), table.key, *sums)
    query = query.where(table.cube == cube.id, table.day.between(first, last))
    found: _Grid = {}
    for seen, at, key, *values in session.execute(query.group_by(point.label("point"), table.key)):
        if seen != coverage.turns.get(kind):
            coverage.turns.pop(kind, None)  # counted meanwhile, in a database without snapshots
            return None
        found[int(at), key] = [int(value) for value in values]
    for (of, day, key), values in coverage.changed.items():
        if of == cube.id and first <= day <= last:
            at = (day - start) // period.step if by_point else 0 if day >= start else _BEFORE
            before = found.setdefault((at, key), [0] * len(sums))
            found[at, key] = [a + b for a, b in zip(before, values, strict=False)]
    return found


def _selected(share: Share, grid: _Grid, scope: CountScope) -> Iterator[tuple[tuple[int, str], int]]:
    """(point and key, value) of a figure."""
    wanted: Collection[str] | None = share.meanings
    if share.meanings is not None and share.master:
        wanted = {str(key) for key in scope.status_ids(share.master, share.meanings)}
    place = list(share.cube.values).index(share.value)
    for key, sums in grid.items():
        if wanted is None or key[1] in wanted:
            yield key, sums[place]


def _usable(scope: CountScope, names: Iterable[str]) -> bool:
    """Whether the sums have these figures, for everybody together."""
    coverage = scope.counted
    return (
        coverage is not None
        and scope.people is None
        and scope.slot is None
        and not scope.leads
        and all(name in SHARES and _kind_of(SHARES[name]) in coverage.turns for name in names)
    )


def _kind_of(share: Share) -> int:
    return KINDS[share.cube.record.__tablename__]


# --- figures


def served(scope: CountScope, names: Iterable[str]) -> list[str]:
    """Those of these figures that the sums have."""
    return [name for name in names if _usable(scope, [name])]


def by_period(session: Session, names: list[str], scope: CountScope) -> dict[str, tuple[int, int]] | None:
    """Figure -> (in the period, in the previous one)."""
    found = {}
    for name in names:
        share = SHARES[name]
        grid = scope.counted.sums(session, share.cube, scope.period, by_point=False)
        if grid is None:
            return None
        totals = {0: 0, _BEFORE: 0}
        for (at, _key), value in _selected(share, grid, scope):
            totals[at] += value
        found[name] = (totals[0], totals[_BEFORE])
    return found


def count_by(session: Session, name: str, column: Any, scope: CountScope) -> list[tuple[Any, int]] | None:
    """[(value of the column, rows of the figure)], the most first."""
    if not _usable(scope, [name]) or FIGURES[name].value is not None:
        return None
    share = share_by(name, column.key)
    if share is None:
        return None
    grid = scope.counted.sums(session, share.cube, scope.period, by_point=False)
    if grid is None:
        return None
    counts: dict[str, int] = {}
    for (at, key), value in _selected(share, grid, scope):
        if at == 0:
            counts[key] = counts.get(key, 0) + value
    convert = column.type.python_type
    rows = [(convert(key) if key else None, count) for key, count in counts.items() if count]
    return sorted(rows, key=lambda row: (-row[1], row[0] is not None, row[0]))


def by_point(session: Session, names: list[str], scope: CountScope) -> dict[str, list[int]] | None:
    """Figure -> its value at each point of a period of several days."""
    if scope.period.days == 1 or not _usable(scope, names):
        return None
    found = {}
    for name in names:
        grid = scope.counted.sums(session, SHARES[name].cube, scope.period, by_point=True)
        if grid is None:
            return None
        found[name] = [0] * len(scope.period.points())
        for (at, _key), value in _selected(SHARES[name], grid, scope):
            found[name][at] += value
    return found
