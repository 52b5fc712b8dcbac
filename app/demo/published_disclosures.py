"""The disclosures of complaints that were published: of the last two months whose day of publication has come."""

from __future__ import annotations

from datetime import UTC, datetime, time

from app.demo.builder import ZONE, DemoBuilder
from app.domain.base import Stamp
from app.domain.complaints import disclosure_counts, disclosure_periods, exchange_return, published_disclosures
from app.domain.complaints.disclosure_periods import Span
from app.domain.complaints.published_disclosures import Publication

#: Published months, and the day of the next month on which each was published.
MONTHS, DAY = 2, 5
_LAYOUT = "2025"


def publish_disclosures(builder: DemoBuilder) -> int:
    """Publish them, the earlier one first, once the complaints are stored. Returns their number."""
    months: list[Span] = []
    today = builder.now.astimezone(ZONE).date()
    month = disclosure_periods.previous(disclosure_periods.month_of(today))
    while len(months) < MONTHS:
        if disclosure_periods.due_day(month, DAY) < today:
            months.append(month)
        month = disclosure_periods.previous(month)
    for each in reversed(months):
        _publish(builder, each)
    return len(months)


def _publish(builder: DemoBuilder, month: Span) -> None:
    officer = (builder.staff.get("Compliance") or builder.staff["Support Manager"])[0]
    day = disclosure_periods.due_day(month, DAY)
    at = datetime.combine(day, time(11), tzinfo=ZONE).astimezone(UTC)
    counted = disclosure_counts.disclosure_of(builder.session, month)
    found = exchange_return.return_of(builder.session, month)
    published_disclosures.publish(builder.session, Publication(counted, found, _LAYOUT, 0), Stamp(officer, at), day)
