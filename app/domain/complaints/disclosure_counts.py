"""Counts the complaints of a disclosure in one statement, so that all figures are as of one moment."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import case, extract, func, or_, select
from sqlalchemy.orm import Session

from app.domain.complaints import complaint_groups, disclosure_periods
from app.domain.complaints.complaint import SOURCES, Complaint, is_counted
from app.domain.complaints.complaint_groups import ComplaintGroup
from app.domain.complaints.disclosure_figures import Disclosure
from app.domain.complaints.disclosure_periods import Span
from app.domain.sql_times import seconds_between

DAY_SECONDS = 86_400
#: Complaints that were disposed of long ago are left out; MariaDB would read all that weren't joined.
BY_DISPOSAL = "FORCE INDEX (ix_complaint_disposed)"


def disclosure_of(session: Session, month: Span) -> Disclosure:
    """The figures of a month as they are now, over all complaints that the session sees. One statement."""
    return complaint_groups.build(groups_of(session, month), month, SOURCES)


def groups_of(session: Session, month: Span) -> list[ComplaintGroup]:
    """The complaints that concern the month or one of its trends."""
    start = disclosure_periods.financial_years(month)[0].first
    received, disposed = Complaint.received_on, Complaint.disposed_on
    keys = (
        *(Complaint.source, Complaint.is_impersonation),
        *(extract("year", received), extract("month", received)),
        *(extract("year", disposed), extract("month", disposed)),
    )
    old = func.sum(case((received < disclosure_periods.not_old_from(month), 1), else_=0))
    seconds = func.sum(seconds_between(received, disposed))
    query = (
        select(*keys, func.count(), old, seconds)
        .where(is_counted(), received < month.after, or_(disposed.is_(None), disposed >= start))
        .with_hint(Complaint, BY_DISPOSAL, "mysql")
        .group_by(*keys)
    )
    return [_group(*row) for row in session.execute(query)]


def _group(*row: Any) -> ComplaintGroup:
    source, is_impersonation, year, number, disposed_year, disposed_number, count, old, seconds = row
    disposed = date(disposed_year, disposed_number, 1) if disposed_year is not None else None
    days = int(seconds or 0) // DAY_SECONDS
    return ComplaintGroup(source, bool(is_impersonation), date(year, number, 1), disposed, count, int(old), days)
