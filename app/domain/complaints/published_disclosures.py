"""Published disclosures of complaints: publishing freezes a month, and corrections are new versions with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import JSON, Date, ForeignKey, Integer, String, UniqueConstraint, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.audit_log import audit
from app.domain.base import Conflict, RuleBroken, Stamp, UtcDateTime, translatable
from app.domain.complaints import (
    disclosure_checks,
    disclosure_counts,
    disclosure_figures,
    disclosure_periods,
    exchange_return,
)
from app.domain.complaints.disclosure_figures import LAYOUTS, Disclosure
from app.domain.complaints.disclosure_periods import Span
from app.domain.complaints.exchange_return import ExchangeReturn

#: Characters of a reason.
MAX_REASON = 500
#: How often a month is counted when complaints are changed meanwhile.
_COUNTS = 5


class ComplaintDisclosure(Model):  # type: ignore[misc]
    """One published version of one month; it never changes."""

    __tablename__ = "complaint_disclosure"
    __table_args__ = (UniqueConstraint("month", "version_number", name="uq_complaint_disclosure"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: The first day of the month.
    month: Mapped[date] = mapped_column(Date, nullable=False)
    #: 1, 2, 3 … of the month.
    version_number: Mapped[int] = mapped_column(Integer, nullable=False)
    #: One of LAYOUTS.
    layout: Mapped[str] = mapped_column(String(8), nullable=False)
    #: See `disclosure_figures.as_json`.
    figures: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False)
    #: See `exchange_return.as_json`.
    exchange_return: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False)
    #: Why the month was corrected; null for the first version. Not shown to the public.
    reason: Mapped[str | None] = mapped_column(String(MAX_REASON))
    #: UTC.
    published_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    published_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))

    @property
    def span(self) -> Span:
        """The month."""
        return disclosure_periods.month_of(self.month)

    @property
    def disclosure(self) -> Disclosure:
        """The figures as of the publication."""
        return disclosure_figures.from_json(self.figures)


@dataclass(frozen=True)
class Publication:
    """What somebody publishes: the figures that they saw, in a layout."""

    disclosure: Disclosure
    exchange_return: ExchangeReturn
    layout: str
    #: The newest version of the month when they saw it; 0 = none.
    base: int
    reason: str = ""


def versions_of(session: Session, month: Span) -> list[ComplaintDisclosure]:
    """The versions of a month, the newest first."""
    rule = ComplaintDisclosure.month == month.first
    query = select(ComplaintDisclosure).where(rule).order_by(ComplaintDisclosure.version_number.desc())
    return list(session.scalars(query))


def newest_versions(session: Session, first: date, limit: int) -> list[ComplaintDisclosure]:
    """The newest version of each month from this day on; at most so many, the newest months first."""
    newest = (
        select(ComplaintDisclosure.month, func.max(ComplaintDisclosure.version_number).label("newest"))
        .where(ComplaintDisclosure.month >= first)
        .group_by(ComplaintDisclosure.month)
        .order_by(ComplaintDisclosure.month.desc())
        .limit(limit)
        .subquery()
    )
    is_newest = (ComplaintDisclosure.month == newest.c.month) & (ComplaintDisclosure.version_number == newest.c.newest)
    query = select(ComplaintDisclosure).join(newest, is_newest).order_by(ComplaintDisclosure.month.desc())
    return list(session.scalars(query))


def count(session: Session, month: Span) -> tuple[Disclosure, ExchangeReturn]:
    """The figures of a month and its return as they are now, over all complaints that the session sees.

    Each statement counts as of its own moment, so a complaint that is changed between them is in one and not in the
    other: then both are counted again, a few times.
    """
    for _turn in range(_COUNTS):
        found = disclosure_counts.disclosure_of(session, month), exchange_return.return_of(session, month)
        if exchange_return.agrees(found[1], found[0]):
            break
    return found


def publish(session: Session, what: Publication, stamp: Stamp, today: date) -> ComplaintDisclosure:
    """Store the figures as the next version of their month, with an audit entry. Raises RuleBroken, Conflict.

    Two people who publish at once get the same version number, of which the database refuses one.
    """
    month = what.disclosure.month
    versions = versions_of(session, month)
    _refuse(what, versions, today)
    if disclosure_checks.broken_identities(what.disclosure) or disclosure_checks.impossible_dates(session):
        raise RuleBroken("The figures don't add up. Correct the complaints that are named under Checks first.")
    if not exchange_return.agrees(what.exchange_return, what.disclosure):
        raise Conflict("Complaints were changed while they were counted. Please publish again.")
    reason = _reason(what.reason) if versions else None
    row = ComplaintDisclosure(
        month=month.first,
        version_number=what.base + 1,
        layout=what.layout,
        figures=disclosure_figures.as_json(what.disclosure),
        exchange_return=exchange_return.as_json(what.exchange_return),
        reason=reason,
        published_on=stamp.now,
        published_by_id=stamp.by,
    )
    _insert(session, row)
    about = f"complaints {disclosure_periods.month_name(month)}"
    audit.write(session, "disclosure", stamp.by, stamp.now, about, version=row.version_number, reason=reason)
    return row


def _insert(session: Session, row: ComplaintDisclosure) -> None:
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        raise _published_meanwhile() from None


def _published_meanwhile() -> Conflict:
    return Conflict("Somebody has published this month meanwhile. Review the new version first.")


def _refuse(what: Publication, versions: Sequence[ComplaintDisclosure], today: date) -> None:
    month = what.disclosure.month
    if what.layout not in LAYOUTS:
        raise RuleBroken("Please choose one of the layouts.", "layout")
    if not disclosure_periods.is_month_over(month, today):
        raise RuleBroken("This month isn't over yet. It can be published from the first day of the next month.")
    if what.base != (versions[0].version_number if versions else 0):
        raise _published_meanwhile()
    if versions and _is_same(what, versions[0]):
        text = "Nothing has changed since version %(number)s, so there is nothing to correct."
        raise RuleBroken(translatable(text, number=versions[0].version_number))


def _is_same(what: Publication, newest: ComplaintDisclosure) -> bool:
    stored = disclosure_figures.from_json(newest.figures), exchange_return.from_json(newest.exchange_return)
    shown = disclosure_figures.from_json(disclosure_figures.as_json(what.disclosure)), what.exchange_return
    return stored == shown and what.layout == newest.layout


def _reason(text: str) -> str:
    text = text.strip()
    if not text:
        raise RuleBroken("Please say why this month is corrected.", "reason")
    if len(text) > MAX_REASON:
        raise RuleBroken(translatable("Please say it in at most %(most)s characters.", most=MAX_REASON), "reason")
    return text
