"""Which days of the daily roll-ups of calls, and which quarters of today, can be used now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select, true
from sqlalchemy.orm import Session

from app.domain.analytics.figures import CountScope
from app.domain.periods import Period
from app.domain.telephony.call_rollups import (
    RollupMark,
    RollupState,
    counted_by,
    day_of,
    filled_quarters,
    number_of,
    quarter_of,
    start_of,
    start_of_quarter,
)

#: With more ranges of days than this to count from the calls, all days are; with more changed quarters, all of today.
MAX_STRETCHES = 20


@dataclass(frozen=True)
class RollupCoverage:
    """The days whose roll-ups currently agree with the calls, and whose calls are counted."""

    #: User ids; None = everybody's, including calls without a person.
    people: frozenset[int] | None
    filled_until: int
    #: Days that have changed since they were filled.
    marked: frozenset[int]
    #: The filled quarters of an hour of the day after `filled_until`, and those of them that have changed since.
    quarters: range = range(0)
    marked_quarters: frozenset[int] = frozenset()

    def is_clean(self, day: int) -> bool:
        """Whether the roll-up of this day is valid."""
        return day <= self.filled_until and day not in self.marked

    def stretches(self, period: Period) -> list[tuple[int, int]]:
        """[(first day, last day)] of the period to count from the calls."""
        found: list[tuple[int, int]] = []
        for day in range(number_of(period.first_day), number_of(period.last_day) + 1):
            if self.is_clean(day):
                continue
            if found and found[-1][1] == day - 1:
                found[-1] = (found[-1][0], day)
            else:
                found.append((day, day))
        return found

    @property
    def today(self) -> int:
        """The day of the quarters."""
        return self.filled_until + 1

    def has_quarters(self, period: Period) -> bool:
        """Whether quarters of an hour count for the period."""
        return bool(self.quarters) and number_of(period.first_day) <= self.today <= number_of(period.last_day)

    def unfilled(self, period: Period) -> list[tuple[datetime, datetime]]:
        """[(from, until)] of the period to count from the calls."""
        zone = period.zone
        found = [(start_of(first, zone), start_of(last + 1, zone)) for first, last in self.stretches(period)]
        if not self.has_quarters(period):
            return found
        today = (start_of_quarter(self.quarters.start), start_of_quarter(self.quarters.stop))
        changed = [(start_of_quarter(each), start_of_quarter(each + 1)) for each in sorted(self.marked_quarters)]
        apart = [part for start, end in found for part in ((start, min(end, today[0])), (max(start, today[1]), end))]
        return [(start, end) for start, end in apart if start < end] + changed


def coverage_of(session: Session, scope: CountScope, people: frozenset[int] | None) -> RollupCoverage | None:
    """The coverage of the roll-ups for the period and the one before, in one statement; None if they can't be used.

    `people`: as in RollupCoverage. Usable only if the person sees all calls of these people, or, for None, all calls.
    """
    return coverage_of_days(session, replace(scope.period, first_day=scope.period.previous().first_day), people)


def coverage_of_days(session: Session, period: Period, people: frozenset[int] | None = None) -> RollupCoverage | None:
    """`coverage_of` for a period alone."""
    state, mark = RollupState.__table__.c, RollupMark.__table__.c
    columns = (state.zone, state.filled_until, state.quarter_until, mark.moment)
    query = select(*columns).select_from(RollupState.__table__)
    rows = session.execute(query.outerjoin(RollupMark.__table__, true()).distinct()).all()
    zone = period.zone
    if not rows or rows[0].filled_until is None or rows[0].zone != counted_by(zone):
        return None
    moments = [row.moment for row in rows if row.moment is not None]
    quarters = filled_quarters(rows[0], zone)
    changed = frozenset(map(quarter_of, moments)) & frozenset(quarters)
    if len(changed) > MAX_STRETCHES:
        quarters, changed = range(0), frozenset()
    marked = frozenset(day_of(each, zone) for each in moments)
    found = RollupCoverage(people, rows[0].filled_until, marked, quarters, changed)
    return found if len(found.stretches(period)) <= MAX_STRETCHES else None
