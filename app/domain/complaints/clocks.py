"""The clocks of complaints: calendar days from the day of receipt, without pauses; all of them are settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from app.domain import business_settings
from app.domain.base import Stamp
from app.domain.working_time import office_schedule
from app.domain.working_time.office_hours import OfficeSchedule

#: Business settings: name of a clock -> days; the same -> the source of its value; role of the matrix -> user id.
CLOCKS, SOURCES, PEOPLE = "complaint_clocks", "complaint_sources", "complaint_people"
#: Name of a clock -> the source of its default, as stored until somebody changes it.
DEFAULT_SOURCES = {
    "acknowledge": "Own rule: one working day",
    "report": "SEBI/HO/OIAE/IGRD/CIR/P/2023/156, 20 Sep 2023: 21 calendar days (30 before 4 Dec 2023)",
    "review_request": "SEBI/HO/OIAE/IGRD/CIR/P/2023/156, 20 Sep 2023: 15 calendar days from the report",
    "first_review": "SEBI/HO/OIAE/IGRD/CIR/P/2023/156, 20 Sep 2023: 15 calendar days",
    "second_review": "SEBI/HO/OIAE/IGRD/CIR/P/2023/156, 20 Sep 2023: 15 calendar days",
    "dispute": "SEBI/HO/OIAE/OIAE_IAD-1/P/CIR/2023/131, 31 Jul 2023: conciliation in 21 calendar days",
    "desk": "Own rule, within the days of the report",
    "officer": "Own rule, within the days of the report",
    "director": "Own rule, within the days of the report",
    "warnings": "Own rule, within the days of the report",
    "review_warning": "Own rule: days before the last day of a review",
}
#: Roles of the escalation matrix, in the order in which warnings reach them.
MATRIX = ("care", "head", "compliance", "chief")
#: Internal steps, in order -> who hears that the step is overdue.
STEPS = {"desk": "compliance", "officer": "chief", "director": "chief"}
#: Days before its end from which a clock counts as urgent: on pages, in the list and in the daily notice.
SOON_DAYS = 7
#: A working day is looked for within so many days.
_MOST_DAYS = 400


@dataclass(frozen=True)
class ComplaintTerms:
    """The clocks and the matrix in force, and the day of the office."""

    today: date
    office: OfficeSchedule
    #: Name of a clock -> days; `warnings` -> several.
    days: Mapping[str, Any] = field(default_factory=lambda: DEFAULT_CLOCKS)
    #: Role of the matrix -> user id.
    people: Mapping[str, int] = field(default_factory=dict)

    def after(self, day: date, clock: str) -> date:
        """The day on which a clock that starts on `day` ends."""
        return day + timedelta(days=int(self.days[clock]))

    def acknowledge_by(self, received: date) -> date:
        """The last day for the acknowledgment: so many working days after the receipt."""
        day, left = received, int(self.days["acknowledge"])
        for _count in range(_MOST_DAYS):
            if left == 0:
                break
            day += timedelta(days=1)
            left -= is_working_day(self.office, day)
        return day

    def up_to(self, level: int) -> tuple[int, ...]:
        """The people of the matrix up to a level, from 0; several warnings reach more people."""
        return tuple(dict.fromkeys(self.people[role] for role in MATRIX[: level + 1] if role in self.people))

    def stamped(self, stamp: Stamp) -> ComplaintStamp:
        """The stamp of a change under these terms."""
        return ComplaintStamp(stamp.by, stamp.now, self)


@dataclass(frozen=True)
class ComplaintStamp(Stamp):
    """Who changes a complaint and when, and the terms that apply."""

    terms: ComplaintTerms


DEFAULT_CLOCKS: Mapping[str, Any] = business_settings.DEFINITIONS[CLOCKS][0]


def is_working_day(office: OfficeSchedule, day: date) -> bool:
    """Whether the office opens on this day; one that is always open works every day."""
    return office.is_always_open or bool(office.windows(day))


def load_terms(session: Session, now: datetime, zone: str) -> ComplaintTerms:
    """The terms as stored; `zone`: the office's."""
    office = office_schedule.load_office(session, zone)
    return terms_of(business_settings.values_of(session, CLOCKS, PEOPLE), office, now.astimezone(ZoneInfo(zone)).date())


def terms_of(settings: Mapping[str, Any], office: OfficeSchedule, today: date) -> ComplaintTerms:
    """The terms of these business settings; a clock that an older version stored without is as shipped."""
    people = {role: key for role, key in settings[PEOPLE].items() if key is not None}
    return ComplaintTerms(today, office, {**DEFAULT_CLOCKS, **settings[CLOCKS]}, people)
