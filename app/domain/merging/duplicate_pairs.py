"""Pairs of records that look like the same person: the reasons, a score, and people's decisions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from flask_appbuilder import Model
from sqlalchemy import Date, ForeignKey, Index, Integer, String, UniqueConstraint, delete, or_, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Stamp, UtcDateTime

#: Reason -> (its bit, points). The score of a pair is the sum of its reasons' points, at most 100.
REASONS = {
    "mobile": (1, 80),
    "pan": (2, 95),
    "email": (4, 60),
    "birth": (8, 50),
    "aadhaar": (16, 95),
}


class DuplicatePair(Model):  # type: ignore[misc]
    """Two leads, or two customers."""

    __tablename__ = "duplicate_pair"
    __table_args__ = (
        UniqueConstraint("kind", "first_id", "second_id", name="uq_duplicate_pair"),
        Index("ix_duplicate_pair_second", "kind", "second_id"),
        Index("ix_duplicate_pair_score", "kind", "dismissed_on", "score", "id"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: The table: leads or customer.
    kind: Mapped[str] = mapped_column(String(16), nullable=False)
    #: The older record, and the newer one.
    first_id: Mapped[int] = mapped_column(Integer, nullable=False)
    second_id: Mapped[int] = mapped_column(Integer, nullable=False)
    #: Bits of REASONS.
    reasons: Mapped[int] = mapped_column(Integer, nullable=False)
    #: 1 to 100.
    score: Mapped[int] = mapped_column(Integer, nullable=False)
    found_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: When somebody decided that these are two people; the pair is then hidden.
    dismissed_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    dismissed_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))


class DuplicateScan(Model):  # type: ignore[misc]
    """How far the records of a table have been scanned."""

    __tablename__ = "duplicate_scan"
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    #: The last record of the first pass over all of them; when that pass ended.
    position: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: The date of birth of that record. Records without one are scanned before the others.
    birth_position: Mapped[date | None] = mapped_column(Date)
    finished_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Until when changes were scanned, and for that time the last record.
    seen_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seen_id: Mapped[int] = mapped_column(Integer, nullable=False, default=0)


def bits_of(reasons: Iterable[str]) -> int:
    """The bits of these reasons."""
    return sum({REASONS[name][0] for name in reasons})


def reasons_of(bits: int) -> list[str]:
    """The reasons of these bits, the strongest first."""
    named = sorted(REASONS, key=lambda name: -REASONS[name][1])
    return [name for name in named if REASONS[name][0] & bits]


def score_of(bits: int) -> int:
    """How likely the pair is one person: 1 to 100."""
    return min(100, sum(REASONS[name][1] for name in reasons_of(bits)))


def dismiss(session: Session, keys: list[int], stamp: Stamp) -> None:
    """Record that these pairs are no duplicates."""
    step = update(DuplicatePair).where(DuplicatePair.id.in_(keys), DuplicatePair.dismissed_on.is_(None))
    values = {"dismissed_on": stamp.now, "dismissed_by_id": stamp.by}
    session.execute(step.values(**values), execution_options={"synchronize_session": False})


def reopen(session: Session, keys: list[int]) -> None:
    """Show pairs on the list again."""
    step = update(DuplicatePair).where(DuplicatePair.id.in_(keys)).values(dismissed_on=None, dismissed_by_id=None)
    session.execute(step, execution_options={"synchronize_session": False})


def forget(session: Session, kind: str, ids: list[int]) -> None:
    """Delete the pairs of deleted records."""
    own = or_(DuplicatePair.first_id.in_(ids), DuplicatePair.second_id.in_(ids))
    session.execute(
        delete(DuplicatePair).where(DuplicatePair.kind == kind, own), execution_options={"synchronize_session": False}
    )
