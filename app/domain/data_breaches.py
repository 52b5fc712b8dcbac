"""Breaches of personal data: what happened, whose data it was, and who has to be told until when.

The hours are settings: CERT-In's directions of 28 Apr 2022 ask for 6, the DPDP Rules 2025 (rule 7) for 72 to the Data
Protection Board; the people concerned are told without delay.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import business_settings
from app.domain.base import Record, RuleBroken, UtcDateTime, Versioned

MODULE = "Data Breaches"
STATES = ("open", "closed")
#: Who has to be told until a deadline -> the setting of its hours.
DEADLINES = {"cert_in": "breach_cert_in_hours", "board": "breach_board_hours"}


class DataBreach(Record, Versioned):
    """One breach."""

    __tablename__ = "data_breach"
    __table_args__ = (Index("ix_data_breach_state", "state", "noticed_on"),)
    #: What happened, in a few words.
    title: Mapped[str] = mapped_column(String(200), nullable=False)
    details: Mapped[str | None] = mapped_column(Text)
    #: When it happened, if that is known, and when it was noticed, UTC; the hours count from then. `complete` sets the
    #: latter; that there is a default tells forms that people needn't.
    happened_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    noticed_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False, default=datetime.min)
    #: Which data: names and numbers, PAN, recordings …
    data_kinds: Mapped[str | None] = mapped_column(String(300))
    #: Whose data: numbers of records from the audit, or as typed; and how many people.
    people: Mapped[str | None] = mapped_column(Text)
    people_count: Mapped[int | None] = mapped_column(Integer)
    #: What was done against it, and what people can do themselves.
    measures: Mapped[str | None] = mapped_column(Text)
    cert_in_due_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    cert_in_told_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    board_due_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    board_told_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    people_told_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Where the reports and their receipts are.
    proof: Mapped[str | None] = mapped_column(String(190))
    #: One of STATES.
    state: Mapped[str] = mapped_column(String(16), nullable=False, default="open")

    def __str__(self) -> str:
        return self.title


def complete(session: Session, row: DataBreach, now: datetime) -> None:
    """Fill in the deadlines, before the row is stored. Raises RuleBroken."""
    row.state = row.state or "open"
    noticed: datetime | None = row.noticed_on
    row.noticed_on = now if noticed is None else noticed
    if row.noticed_on > now:
        raise RuleBroken("Please enter when it was noticed; it can't be in the future.", "noticed_on")
    if row.happened_on is not None and row.happened_on > row.noticed_on:
        raise RuleBroken("It can't have been noticed before it happened.", "happened_on")
    for name in (*DEADLINES, "people"):
        told = getattr(row, f"{name}_told_on")
        if told is not None and not row.noticed_on <= told <= now:
            raise RuleBroken("This has to be between the time when it was noticed and now.", f"{name}_told_on")
    for name, key in DEADLINES.items():
        setattr(row, f"{name}_due_on", row.noticed_on + timedelta(hours=int(business_settings.value_of(session, key))))
    if row.people_count is not None and row.people_count < 0:
        raise RuleBroken("Please enter how many people are concerned, 0 or more.", "people_count")
    if row.state == "closed":
        _refuse_unfinished(row)


def _refuse_unfinished(row: DataBreach) -> None:
    missing = [name for name in (*DEADLINES, "people") if getattr(row, f"{name}_told_on") is None]
    if missing:
        text = "Before the breach is closed, please enter when they were told."
        raise RuleBroken(text, errors={f"{name}_told_on": [text] for name in missing})
