"""The rows of office hours and holidays, and the schedule that they make; its arithmetic is in `office_hours`."""

from __future__ import annotations

from datetime import date, time
from zoneinfo import ZoneInfo

from flask_appbuilder import Model
from sqlalchemy import Date, Integer, String, Time, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.working_time import office_hours


class OfficeRange(Model):  # type: ignore[misc]
    """One range of office hours on a weekday, local time."""

    __tablename__ = "office_range"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: Monday = 0.
    weekday: Mapped[int] = mapped_column(Integer, nullable=False)
    starts: Mapped[time] = mapped_column(Time, nullable=False)
    ends: Mapped[time] = mapped_column(Time, nullable=False)

    def __str__(self) -> str:
        return f"{self.starts:%H:%M}–{office_hours.end_text(self.ends)}"


class Holiday(Model):  # type: ignore[misc]
    """A day on which the office is closed, or open for part of the day."""

    __tablename__ = "holiday"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    day: Mapped[date] = mapped_column(Date, nullable=False, unique=True)
    label: Mapped[str] = mapped_column(String(140), nullable=False)
    #: Both null = closed all day; else the office is open only in this range.
    starts: Mapped[time | None] = mapped_column(Time)
    ends: Mapped[time | None] = mapped_column(Time)

    def __str__(self) -> str:
        return f"{self.day:%d %b %Y} {self.label}"


def load_office(session: Session, zone: str) -> office_hours.OfficeSchedule:
    """The office hours in this zone; without ranges the office is always open."""
    ranges = tuple(office_hours.OpeningRange(r.weekday, r.starts, r.ends) for r in session.scalars(select(OfficeRange)))
    days = list(session.scalars(select(Holiday)))
    half = {d.day: ((d.starts, d.ends),) for d in days if d.starts and d.ends}
    closed = frozenset(d.day for d in days if d.day not in half)
    return office_hours.OfficeSchedule(zone=ZoneInfo(zone), ranges=ranges, holidays=closed, half_days=half)
