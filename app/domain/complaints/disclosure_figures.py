"""The figures of the disclosure of complaints: what was carried forward, received, resolved and is pending."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import reduce
from operator import add
from typing import Any

from app.domain.complaints.disclosure_periods import Span

#: The layouts of the table of a month: of 2021 (Annexure B of the circular), and of 2025.
LAYOUTS = ("2021", "2025")
_HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True)
class Movement:
    """What happened to complaints in a span of days. Each number is counted on its own, so that it can be checked."""

    #: Received before the first day, and not disposed of before it.
    carried: int = 0
    received: int = 0
    #: Disposed of in the span, with whatever outcome.
    resolved: int = 0
    #: Received by the last day, and not disposed of by it.
    pending: int = 0
    #: Of the pending ones, those that are more than three months old on the last day.
    old: int = 0
    #: Days from receipt to disposal, the sum over the resolved ones.
    days: int = 0

    def __add__(self, other: Movement) -> Movement:
        """The sum of both: for the complaints of two sources in the same span."""
        return Movement(*(mine + theirs for mine, theirs in zip(self.numbers(), other.numbers(), strict=True)))

    def numbers(self) -> tuple[int, ...]:
        """The six numbers, in the order of the fields."""
        return self.carried, self.received, self.resolved, self.pending, self.old, self.days

    @property
    def excess(self) -> int:
        """By how many more complaints are pending than carried + received − resolved; 0 if the figures agree."""
        return self.pending - (self.carried + self.received - self.resolved)

    @property
    def average(self) -> Decimal | None:
        """Days that a resolved complaint took on average, to a hundredth; None if none was resolved."""
        if not self.resolved:
            return None
        return (Decimal(self.days) / self.resolved).quantize(_HUNDREDTH, ROUND_HALF_UP)


def total_of(movements: Iterable[Movement]) -> Movement:
    """The sum over sources. Its average is that of all complaints, not of the averages of the sources."""
    return reduce(add, movements, Movement())


def joined(spans: Iterable[Movement]) -> Movement:
    """The movement of consecutive spans, in order: carried into the first, pending at the end of the last."""
    listed = list(spans)
    if not listed:
        return Movement()
    whole = total_of(listed)
    return Movement(listed[0].carried, whole.received, whole.resolved, listed[-1].pending, listed[-1].old, whole.days)


@dataclass(frozen=True)
class Disclosure:
    """All figures that are disclosed for a month."""

    month: Span
    #: Source -> its movement in the month; all sources, in their order.
    sources: Mapping[str, Movement]
    #: The trend of months and of financial years, over all sources, in order.
    months: Mapping[Span, Movement]
    years: Mapping[Span, Movement]
    #: Complaints received in the month that concern an impersonator; they are in no other figure.
    impersonations: int = 0
    #: Source -> the months of the trend, which is not disclosed but checked.
    months_by_source: Mapping[str, Mapping[Span, Movement]] = field(default_factory=dict)

    @property
    def total(self) -> Movement:
        """Over all sources."""
        return total_of(self.sources.values())


def as_json(disclosure: Disclosure) -> dict[str, Any]:
    """The figures as they are stored when the month is published."""
    return {
        "month": _span_json(disclosure.month),
        "sources": [[source, movement.numbers()] for source, movement in disclosure.sources.items()],
        "months": [[_span_json(span), movement.numbers()] for span, movement in disclosure.months.items()],
        "years": [[_span_json(span), movement.numbers()] for span, movement in disclosure.years.items()],
        "impersonations": disclosure.impersonations,
    }


def from_json(stored: Mapping[str, Any]) -> Disclosure:
    """The figures of a published month."""
    return Disclosure(
        _span_of(stored["month"]),
        {source: Movement(*numbers) for source, numbers in stored["sources"]},
        {_span_of(span): Movement(*numbers) for span, numbers in stored["months"]},
        {_span_of(span): Movement(*numbers) for span, numbers in stored["years"]},
        stored["impersonations"],
    )


def _span_json(span: Span) -> list[str]:
    return [span.first.isoformat(), span.after.isoformat()]


def _span_of(stored: list[str]) -> Span:
    return Span(*map(date.fromisoformat, stored))
