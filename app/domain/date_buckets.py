"""Days, weeks, months and quarters of time columns in SQL, in a time zone; the same on both databases.

A bucket is a whole number: a day counts from 1 January 1970, a week from Monday 29 December 1969, a month is 202611, a
quarter 20264.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Integer, case, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from app.domain.sql_times import epoch_seconds

UNITS = ("day", "week", "month", "quarter")
_EPOCH, _DAY = date(1970, 1, 1), 86_400
#: Weeks begin on Monday; 1 January 1970 was a Thursday.
_THURSDAY = 3
#: Added before a division and subtracted afterwards, because SQL rounds towards zero, not down: there are dates before
#: 1970.
_SHIFT = 7 * 100_000
#: Clock changes before this year are ignored: there are no records from then.
_FIRST_YEAR = 2000


class year_and_month(FunctionElement[int]):
    """A number of days since 1970 as 202611."""

    type = Integer()
    inherit_cache = True


@compiles(year_and_month)
def _year_and_month(element: Any, compiler: Any, **kw: Any) -> str:
    # TO_DAYS('1970-01-01') is 719528.
    return f"EXTRACT(YEAR_MONTH FROM FROM_DAYS(719528 + {compiler.process(element.clauses, **kw)}))"


@compiles(year_and_month, "sqlite")
def _year_and_month_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    seconds = f"({compiler.process(element.clauses, **kw)}) * 86400"
    return f"CAST(strftime('%Y%m', {seconds}, 'unixepoch') AS INTEGER)"


def bucket(column: Any, unit: str, zone: ZoneInfo | None, now: datetime) -> Any:
    """SQL: the bucket of a UTC time column in the zone; without a zone, of a date as it is stored."""
    seconds: Any = epoch_seconds(column)
    if zone is not None:
        seconds = seconds + _offset(column, zone, now)
    days = (seconds + _SHIFT * _DAY) // _DAY - _SHIFT
    if unit == "day":
        return days
    if unit == "week":
        return (days + _THURSDAY + _SHIFT) // 7 - _SHIFT // 7
    month = year_and_month(days)
    return month if unit == "month" else month // 100 * 10 + (month % 100 + 2) // 3


def _offset(column: Any, zone: ZoneInfo, now: datetime) -> Any:
    """SQL: the offset of the zone from UTC in seconds."""
    changes = _changes(zone, now.year + 2)
    before = [(column < changes[place + 1][0], seconds) for place, (_from, seconds) in enumerate(changes[:-1])]
    return case(*before, else_=changes[-1][1]) if before else literal(changes[-1][1])


@lru_cache(maxsize=64)
def _changes(zone: ZoneInfo, last_year: int) -> list[tuple[datetime, int]]:
    """(time UTC, offset from UTC in seconds from then on); the first also applies before it."""
    moment = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    found = [(moment, _seconds(zone, moment))]
    while moment.year < last_year:
        later = moment + timedelta(days=1)
        if _seconds(zone, later) != found[-1][1]:
            while _seconds(zone, moment) == found[-1][1]:
                moment += timedelta(minutes=15)
            found.append((moment, _seconds(zone, moment)))
        moment = later
    return found


def _seconds(zone: ZoneInfo, moment: datetime) -> int:
    offset = moment.astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def days_of(unit: str, number: int) -> tuple[date, date]:
    """The first day of a bucket, and the first day after it."""
    if unit == "day":
        first = _EPOCH + timedelta(days=number)
        return first, first + timedelta(days=1)
    if unit == "week":
        first = _EPOCH + timedelta(days=7 * number - _THURSDAY)
        return first, first + timedelta(days=7)
    year, part = divmod(number, 100 if unit == "month" else 10)
    months = 1 if unit == "month" else 3
    first = date(year, (part - 1) * months + 1, 1)
    return first, (first.replace(day=28) + timedelta(days=31 * months - 27)).replace(day=1)
