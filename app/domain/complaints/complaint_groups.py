"""Complaints grouped by source and by the months of receipt and disposal, and the figures that follow from them.

Every span of a disclosure begins and ends with a month, so all of its figures follow from the groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from app.domain.complaints import disclosure_periods
from app.domain.complaints.disclosure_figures import Disclosure, Movement, total_of
from app.domain.complaints.disclosure_periods import Span


@dataclass(frozen=True)
class ComplaintGroup:
    """Complaints of one source that were received in one month, and disposed of in one month or not yet."""

    source: str
    is_impersonation: bool
    #: The first day of the month of receipt.
    received: date
    #: The first day of the month of disposal; None = not disposed of yet.
    disposed: date | None
    count: int
    #: Those that are more than three months old at the end of the disclosed month, if they are pending then.
    old: int
    #: Days from receipt to disposal, the sum.
    days: int

    def is_open(self, day: date) -> bool:
        """Whether they are pending when this day begins, the first one of a month."""
        return self.received < day and (self.disposed is None or self.disposed >= day)


def build(groups: Sequence[ComplaintGroup], month: Span, sources: Iterable[str]) -> Disclosure:
    """The figures of a month from its groups. `sources`: those that are always shown, in their order."""
    own = [each for each in groups if not each.is_impersonation]
    trend = disclosure_periods.trend_months(month)
    # A source that the product no longer has comes last.
    shown = dict.fromkeys((*sources, *sorted({each.source for each in own})))
    by_source = {source: _movements([each for each in own if each.source == source], trend) for source in shown}
    fakes = sum(each.count for each in groups if each.is_impersonation and each.received == month.first)
    return Disclosure(
        month,
        {source: movements[month] for source, movements in by_source.items()},
        {span: total_of(movements[span] for movements in by_source.values()) for span in trend},
        _movements(own, disclosure_periods.financial_years(month)),
        fakes,
        by_source,
    )


def _movements(groups: Sequence[ComplaintGroup], spans: Sequence[Span]) -> Mapping[Span, Movement]:
    end = max(span.after for span in spans)
    return {span: _movement(groups, span, has_old=span.after == end) for span in spans}


def _movement(groups: Sequence[ComplaintGroup], span: Span, has_old: bool) -> Movement:
    resolved = [each for each in groups if span.covers(each.disposed)]
    pending = [each for each in groups if each.is_open(span.after)]
    return Movement(
        carried=sum(each.count for each in groups if each.is_open(span.first)),
        received=sum(each.count for each in groups if span.covers(each.received)),
        resolved=sum(each.count for each in resolved),
        pending=sum(each.count for each in pending),
        old=sum(each.old for each in pending) if has_old else 0,
        days=sum(each.days for each in resolved),
    )
