"""The SLA clock of a lead or ticket: when answers are owed, when the clock stands still, what was late."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.base import Moment


class Clocked:
    """A record with promises: a first answer and a solution within so much office time."""

    #: Until when the first answer is owed, UTC; null once given, or without a policy.
    reply_due_on: Mapped[datetime | None] = mapped_column(Moment)
    replied_on: Mapped[datetime | None] = mapped_column(Moment)
    #: Until when the record is to be solved (ticket) or to have ended (lead), UTC; null at the end or without a policy.
    resolve_due_on: Mapped[datetime | None] = mapped_column(Moment)
    #: When the clock began to run, UTC; a reopened record begins anew.
    sla_started_on: Mapped[datetime | None] = mapped_column(Moment)
    #: Since when the clock stands still (the customer has to do something), UTC; null = it runs.
    paused_on: Mapped[datetime | None] = mapped_column(Moment)
    #: Seconds of office time for which it stood still before.
    paused_seconds: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: When the minute job must look at this record next, UTC; null = never.
    sla_on: Mapped[datetime | None] = mapped_column(Moment)
    #: When the first answer, or the solution, was found to be late, UTC; kept for reports.
    reply_late_on: Mapped[datetime | None] = mapped_column(Moment)
    resolve_late_on: Mapped[datetime | None] = mapped_column(Moment)
