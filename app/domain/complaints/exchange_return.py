"""The monthly return of complaints to the exchange: movement, ages, and the categories by source and outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from operator import add
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from app.domain.complaints.complaint import Complaint, is_counted
from app.domain.complaints.disclosure_counts import BY_DISPOSAL, DAY_SECONDS
from app.domain.complaints.disclosure_figures import Disclosure
from app.domain.complaints.disclosure_periods import Span
from app.domain.picklists import ComplaintCategory
from app.domain.sql_times import seconds_between

#: The last day of each age but the oldest: 0 to 7 days, 8 to 14, 15 to 21, 22 to 30, more than 30.
AGES = (7, 14, 21, 30)
_NO_AGES = (0,) * (len(AGES) + 1)


@dataclass(frozen=True)
class ReturnLine:
    """Complaints of one category and source in a month."""

    #: With the category above it: "Demat › Transmission".
    category: str
    source: str
    category_id: int | None = None
    opening: int = 0
    received: int = 0
    #: Outcome -> complaints that were disposed of so in the month.
    resolved: Mapping[str, int] = field(default_factory=dict)
    closing: int = 0


@dataclass(frozen=True)
class ExchangeReturn:
    """All figures of the return of a month."""

    #: Those without opening, received, resolved and closing ones are left out.
    lines: tuple[ReturnLine, ...] = ()
    #: Pending ones by the days since receipt on the last day; resolved ones by the days they took.
    pending_ages: tuple[int, ...] = _NO_AGES
    resolved_ages: tuple[int, ...] = _NO_AGES

    @property
    def opening(self) -> int:
        """Pending when the month began."""
        return sum(line.opening for line in self.lines)

    @property
    def received(self) -> int:
        """Received in the month."""
        return sum(line.received for line in self.lines)

    @property
    def resolved(self) -> int:
        """Disposed of in the month."""
        return sum(sum(line.resolved.values()) for line in self.lines)

    @property
    def closing(self) -> int:
        """Pending on the last day."""
        return sum(line.closing for line in self.lines)


def return_of(session: Session, month: Span) -> ExchangeReturn:
    """The return of a month as it is now, over all complaints that the session sees. Two statements."""
    rows = session.execute(_query(month)).all()
    names = _category_names(session)
    lines: dict[tuple[str, str, int], ReturnLine] = {}
    for row in rows:
        key = (names.get(row.category_id, ""), row.source, row.category_id)
        lines[key] = _with(lines.get(key, ReturnLine(*key)), row)
    listed = [lines[key] for key in sorted(lines)]
    ages = range(len(_NO_AGES))
    return ExchangeReturn(
        tuple(line for line in listed if line.opening or line.received or line.resolved or line.closing),
        tuple(sum(int(row._mapping[f"pending_{n}"]) for row in rows) for n in ages),
        tuple(sum(int(row._mapping[f"resolved_{n}"]) for row in rows) for n in ages),
    )


def agrees(found: ExchangeReturn, disclosure: Disclosure) -> bool:
    """Whether both were counted over the same complaints: they move alike in each source."""
    sums: dict[str, tuple[int, ...]] = {}
    for line in found.lines:
        moved = (line.opening, line.received, sum(line.resolved.values()), line.closing)
        sums[line.source] = tuple(map(add, sums.get(line.source, (0,) * 4), moved))
    disclosed = {source: movement.numbers()[:4] for source, movement in disclosure.sources.items()}
    return sums == {source: numbers for source, numbers in disclosed.items() if any(numbers)}


def _query(month: Span) -> Any:
    received, disposed = Complaint.received_on, Complaint.disposed_on
    was_open = and_(received < month.first, or_(disposed.is_(None), disposed >= month.first))
    is_open = or_(disposed.is_(None), disposed >= month.after)
    is_resolved = and_(disposed >= month.first, disposed < month.after)
    taken = seconds_between(received, disposed) / DAY_SECONDS
    pending = seconds_between(received, month.last) / DAY_SECONDS
    sums = {
        "opening": was_open,
        "received": received >= month.first,
        "resolved": is_resolved,
        "closing": is_open,
        **{f"pending_{n}": and_(is_open, each) for n, each in enumerate(_ages(pending))},
        **{f"resolved_{n}": and_(is_resolved, each) for n, each in enumerate(_ages(taken))},
    }
    keys = (Complaint.category_id, Complaint.source, Complaint.outcome)
    return (
        select(*keys, *[func.sum(case((condition, 1), else_=0)).label(name) for name, condition in sums.items()])
        .where(is_counted(), Complaint.is_impersonation.is_(False))
        .where(received < month.after, or_(disposed.is_(None), disposed >= month.first))
        .with_hint(Complaint, BY_DISPOSAL, "mysql")
        .group_by(*keys)
    )


def _ages(days: Any) -> list[ColumnElement[bool]]:
    """A condition for each age."""
    lower = (None, *AGES)
    return [
        and_(*[days <= last] if last is not None else [], *[days > first] if first is not None else [])
        for first, last in zip(lower, (*AGES, None), strict=True)
    ]


def _with(line: ReturnLine, row: Any) -> ReturnLine:
    """The line with the complaints of one outcome."""
    resolved = dict(line.resolved)
    if row.resolved:
        resolved[row.outcome or ""] = int(row.resolved)
    return ReturnLine(
        line.category,
        line.source,
        line.category_id,
        line.opening + int(row.opening),
        line.received + int(row.received),
        resolved,
        line.closing + int(row.closing),
    )


def _category_names(session: Session) -> dict[int, str]:
    query = select(ComplaintCategory.id, ComplaintCategory.label, ComplaintCategory.parent_id)
    rows = {row.id: row for row in session.execute(query)}
    return {
        key: f"{rows[row.parent_id].label} › {row.label}" if row.parent_id in rows else row.label
        for key, row in rows.items()
    }


def as_json(found: ExchangeReturn) -> dict[str, Any]:
    """The return as it is stored when the month is published."""
    return {
        "lines": [asdict(line) for line in found.lines],
        "pending_ages": found.pending_ages,
        "resolved_ages": found.resolved_ages,
    }


def from_json(stored: Mapping[str, Any]) -> ExchangeReturn:
    """The return of a published month."""
    return ExchangeReturn(
        tuple(ReturnLine(**line) for line in stored["lines"]),
        tuple(stored["pending_ages"]),
        tuple(stored["resolved_ages"]),
    )
