"""The months and financial years of the disclosure of complaints, as days of the office."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, date, timedelta

#: A complaint counts as old when it is pending for more than this many months.
OLD_AFTER_MONTHS = 3
#: April, with which a financial year begins.
_APRIL = 4
#: Months of the trend of a month; complete financial years of the annual trend, to which the current one is added.
TREND_MONTHS, TREND_YEARS = 12, 5
#: Earlier and later months are typing errors.
_FIRST_YEAR, _LAST_YEAR = 1990, MAXYEAR - 1


@dataclass(frozen=True, order=True)
class Span:
    """Consecutive days: a month, or a financial year up to some month."""

    first: date
    #: The day after the last one.
    after: date

    @property
    def last(self) -> date:
        """The last day."""
        return self.after - timedelta(days=1)

    def covers(self, day: date | None) -> bool:
        """Whether the day is one of these."""
        return day is not None and self.first <= day < self.after


def month_of(day: date) -> Span:
    """The month of a day."""
    first = day.replace(day=1)
    return Span(first, first.replace(day=monthrange(day.year, day.month)[1]) + timedelta(days=1))


def previous(month: Span) -> Span:
    """The month before."""
    return month_of(month.first - timedelta(days=1))


def parse_month(text: str) -> Span:
    """The month of a text such as 2026-10. Raises ValueError."""
    if len(text) != len("2026-10"):
        raise ValueError(text)
    first = date.fromisoformat(f"{text}-01")
    if not _FIRST_YEAR <= first.year <= _LAST_YEAR:
        raise ValueError(text)
    return month_of(first)


def month_name(month: Span) -> str:
    """The month as 2026-10, which `parse_month` reads."""
    return f"{month.first:%Y-%m}"


def trend_months(month: Span) -> tuple[Span, ...]:
    """Twelve months up to this one, in order."""
    return tuple(reversed([each for each, _number in zip(_back(month), range(TREND_MONTHS), strict=False)]))


def _back(month: Span) -> Iterator[Span]:
    while True:
        yield month
        month = previous(month)


def financial_years(month: Span) -> tuple[Span, ...]:
    """Financial years, in order: the last complete ones, then the current one up to this month if it isn't complete."""
    start = month.first.year - (month.first.month < _APRIL)
    is_complete = month.after == date(start + 1, _APRIL, 1)
    years = range(start - TREND_YEARS + is_complete, start + 1)
    return tuple(Span(date(year, _APRIL, 1), min(date(year + 1, _APRIL, 1), month.after)) for year in years)


def is_month_over(month: Span, today: date) -> bool:
    """Whether the month has ended."""
    return month.after <= today


def not_old_from(month: Span) -> date:
    """The earliest day of receipt that is at most three months before the month's last day.

    What was received before it has been pending for more than three months. A day that the month lacks counts as its
    last: three months after 30 November is 28 February.
    """
    target = month
    for _number in range(OLD_AFTER_MONTHS):
        target = previous(target)
    days, own = (target.after - target.first).days, (month.after - month.first).days
    return target.first + timedelta(days=min(own - 1, days))


def due_day(month: Span, day_of_month: int) -> date:
    """The day of the next month on which the disclosure of this month is due; `day_of_month`: from 1 to 28."""
    return month.after.replace(day=day_of_month)
