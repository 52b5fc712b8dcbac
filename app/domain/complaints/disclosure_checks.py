"""Checks of a disclosure: whether its figures add up, and whether they are still those that were published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.complaints.complaint import Complaint, has_reversed_dates, is_counted
from app.domain.complaints.disclosure_figures import Disclosure, Movement
from app.domain.complaints.disclosure_periods import Span

#: Complaints with impossible dates that are named.
MOST_NAMED = 20
#: The figures of a published month that are compared.
COMPARED = ("carried", "received", "resolved", "pending")


@dataclass(frozen=True)
class BrokenIdentity:
    """Figures of a span that don't add up: carried + received − resolved is not pending."""

    span: Span
    #: None = all sources.
    source: str | None
    movement: Movement


@dataclass(frozen=True)
class BrokenCarry:
    """Complaints that were pending at the end of a span, and not carried into the next one, or the reverse."""

    earlier: Span
    later: Span
    source: str | None
    pending: int
    carried: int


@dataclass(frozen=True)
class LaterChange:
    """A figure that was published, and is counted otherwise now."""

    month: Span
    version_number: int
    source: str | None
    #: One of COMPARED.
    figure: str
    published: int
    counted: int


def _series(disclosure: Disclosure) -> Iterator[tuple[str | None, Mapping[Span, Movement]]]:
    """The movements that must add up, span by span: of all sources by month and by year, and of each source by month.

    A published disclosure has no months by source: for it, each source has the month alone.
    """
    yield None, {**disclosure.months, disclosure.month: disclosure.total}
    yield None, disclosure.years
    for source, movement in disclosure.sources.items():
        yield source, {**disclosure.months_by_source.get(source, {}), disclosure.month: movement}


def broken_identities(disclosure: Disclosure) -> list[BrokenIdentity]:
    """Where carried + received − resolved is not pending: for every month and year, each source and all of them."""
    return [
        BrokenIdentity(span, source, movement)
        for source, movements in _series(disclosure)
        for span, movement in movements.items()
        if movement.excess
    ]


def broken_carries(disclosure: Disclosure) -> list[BrokenCarry]:
    """Where what was pending at the end of a month or year is not what was carried into the next one."""
    return [
        BrokenCarry(earlier, later, source, movements[earlier].pending, movements[later].carried)
        for source, movements in _series(disclosure)
        for earlier, later in pairwise(movements)
        if earlier.after == later.first and movements[earlier].pending != movements[later].carried
    ]


def later_changes(disclosure: Disclosure, published: Iterable[tuple[int, Disclosure]]) -> list[LaterChange]:
    """What is counted otherwise now than it was published. `published`: (version number, disclosure) of months.

    Months that the trend of `disclosure` doesn't reach are not compared.
    """
    changes = []
    for version_number, old in sorted(published, key=lambda pair: pair[1].month):
        for source, before in (*old.sources.items(), (None, old.total)):
            now = _counted(disclosure, old.month, source)
            changes += [
                LaterChange(old.month, version_number, source, name, getattr(before, name), getattr(now, name))
                for name in COMPARED
                if now is not None and getattr(before, name) != getattr(now, name)
            ]
    return changes


def _counted(disclosure: Disclosure, month: Span, source: str | None) -> Movement | None:
    if source is None:
        return disclosure.months.get(month)
    if month not in disclosure.months:
        return None
    return disclosure.months_by_source.get(source, {}).get(month, Movement())


def impossible_dates(session: Session) -> list[str]:
    """Numbers of complaints that were disposed of before they were received, which no figures can add up with."""
    query = (
        select(Complaint.number)
        .where(is_counted(), has_reversed_dates())
        .order_by(Complaint.id.desc())
        .limit(MOST_NAMED)
    )
    return list(session.scalars(query))
