"""Complaints: tickets about which an investor, SEBI, an exchange or a depository may ask for a report."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Computed,
    Date,
    ForeignKey,
    Index,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    and_,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.domain.base import Code, Record, Versioned
from app.domain.picklists import ComplaintCategory
from app.domain.tickets import Ticket

#: From whom a complaint came.
SOURCES = ("Investor", "SEBI SCORES", "Stock exchange", "Depository", "Other")
#: How a complaint can end; none while it is pending.
OUTCOMES = ("Resolved", "Partly resolved", "Not resolved", "Does not pertain to us", "Withdrawn")
#: Review stages, which only go forward.
REVIEW_STAGES = ("None", "First review", "Second review", "Online dispute resolution")
EXCHANGES = ("NSE", "BSE", "MCX", "NCDEX", "NSDL", "CDSL")
SEGMENTS = ("Cash", "Futures and options", "Currency", "Commodity", "Debt", "Mutual funds", "Demat")
#: How an entry reached the broker.
WAYS = ("Portal", "E-mail", "Telephone", "Letter", "Visit", "Message", "Other")


class Complaint(Record, Versioned):
    """One grievance in the register; what was said and done about it is on its ticket.

    All dates are days of the office. A complaint that was joined to another one (`joined_to_id`) is not counted:
    `is_counted` is the condition for figures.
    """

    __tablename__ = "complaint"
    __label_columns__ = ("number",)
    __table_args__ = (
        UniqueConstraint("source", "reference", name="uq_complaint_reference"),
        Index("ix_complaint_pending", "outcome", "report_due_on"),
        Index("ix_complaint_received", "received_on", "source"),
        Index("ix_complaint_disposed", "disposed_on", "source"),
        Index("ix_complaint_officer", "officer_id", "outcome"),
        Index("ix_complaint_words", "title", mysql_prefix="FULLTEXT"),
    )
    number: Mapped[str] = mapped_column(Code(32), nullable=False, unique=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("ticket.id"), nullable=False, unique=True)
    #: What the investor complains of, in one line.
    title: Mapped[str] = mapped_column(String(200), nullable=False)
    #: One of SOURCES.
    source: Mapped[str] = mapped_column(String(24), nullable=False, default="Investor")
    #: The number that the source gave it.
    reference: Mapped[str | None] = mapped_column(Code(60))
    #: The day on which the source received it, when all clocks start.
    received_on: Mapped[date] = mapped_column(Date, nullable=False)
    #: The day of what the investor complains of.
    cause_on: Mapped[date | None] = mapped_column(Date)
    category_id: Mapped[int] = mapped_column(ForeignKey("complaint_category.id"), nullable=False, index=True)
    #: Rupees.
    amount_in_dispute: Mapped[Decimal | None] = mapped_column(Numeric(14, 2))
    exchange: Mapped[str | None] = mapped_column(String(24))
    segment: Mapped[str | None] = mapped_column(String(24))
    #: The officer who is responsible for it.
    officer_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: Whether it is about somebody who pretended to be the broker; these are counted apart.
    is_impersonation: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)

    acknowledge_due_on: Mapped[date] = mapped_column(Date, nullable=False)
    acknowledged_on: Mapped[date | None] = mapped_column(Date)

    # The action taken report: facts, findings, what was done, the amount paid, evidence, its officer.
    report_facts: Mapped[str | None] = mapped_column(Text)
    report_findings: Mapped[str | None] = mapped_column(Text)
    report_actions: Mapped[str | None] = mapped_column(Text)
    #: Rupees.
    report_amount: Mapped[Decimal | None] = mapped_column(Numeric(14, 2))
    report_evidence: Mapped[str | None] = mapped_column(Text)
    report_officer_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    report_due_on: Mapped[date] = mapped_column(Date, nullable=False)
    report_filed_on: Mapped[date | None] = mapped_column(Date)

    #: One of OUTCOMES; none while it is pending.
    outcome: Mapped[str | None] = mapped_column(String(32))
    disposed_on: Mapped[date | None] = mapped_column(Date)

    #: One of REVIEW_STAGES; each stage with the day on which it began and the day by which it ends.
    review_stage: Mapped[str] = mapped_column(String(32), nullable=False, default="None")
    first_review_on: Mapped[date | None] = mapped_column(Date)
    first_review_due_on: Mapped[date | None] = mapped_column(Date)
    second_review_on: Mapped[date | None] = mapped_column(Date)
    second_review_due_on: Mapped[date | None] = mapped_column(Date)
    dispute_on: Mapped[date | None] = mapped_column(Date)
    dispute_due_on: Mapped[date | None] = mapped_column(Date)

    #: The complaint about the same grievance to which it was joined.
    joined_to_id: Mapped[int | None] = mapped_column(ForeignKey("complaint.id"), index=True)

    ticket: Mapped[Ticket] = relationship()
    category: Mapped[ComplaintCategory] = relationship()
    joined_to: Mapped[Complaint | None] = relationship(remote_side="Complaint.id")

    def __str__(self) -> str:
        return self.number


_table: Any = Complaint.__table__
_table.append_column(Column("has_reversed_dates", Boolean, Computed("disposed_on < received_on", persisted=False)))
Index("ix_complaint_reversed", _table.c.has_reversed_dates)


class ComplaintEntry(Record):
    """One way in which the grievance of a complaint came: each complaint has its own entry, and those joined to it."""

    __tablename__ = "complaint_entry"
    __table_args__ = (UniqueConstraint("source", "reference", name="uq_complaint_entry_reference"),)
    #: The complaint that it counts for now.
    complaint_id: Mapped[int] = mapped_column(ForeignKey("complaint.id"), nullable=False, index=True)
    #: The complaint that was registered with it; none for an entry added by hand.
    origin_id: Mapped[int | None] = mapped_column(ForeignKey("complaint.id"), unique=True)
    source: Mapped[str] = mapped_column(String(24), nullable=False)
    reference: Mapped[str | None] = mapped_column(Code(60))
    received_on: Mapped[date] = mapped_column(Date, nullable=False)
    #: One of WAYS.
    way: Mapped[str] = mapped_column(String(24), nullable=False, default="Other")
    remark: Mapped[str | None] = mapped_column(String(500))


def is_counted(complaint: Any = Complaint) -> ColumnElement[bool]:
    """SQL: complaints of the register that were not joined to another one."""
    counted: ColumnElement[bool] = complaint.joined_to_id.is_(None)
    return counted


def has_reversed_dates() -> ColumnElement[bool]:
    """SQL: complaints that were disposed of before they were received; found by an index."""
    reversed_dates: ColumnElement[bool] = _table.c.has_reversed_dates == true()
    return reversed_dates


def is_pending(complaint: Any = Complaint) -> ColumnElement[bool]:
    """SQL: counted complaints without an outcome."""
    return and_(is_counted(complaint), complaint.outcome.is_(None))
