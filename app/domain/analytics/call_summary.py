"""The monthly summary of calls: a table per month with a row per person, as the predecessor exported it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from app.domain.analytics.figures import FIGURES, CountScope
from app.domain.periods import Period
from app.domain.telephony.calls import CallLog

#: The columns after the name: number and duration of incoming, outgoing and all calls.
HEAD = (
    *("Caller Name", "Incoming Calls", "Call Duration", "Outgoing Calls", "Call Duration"),
    *("Total Calls", "Call Duration"),
)
#: What is summed per person; a call of unknown direction counts only in the total.
PARTS = ("Incoming", "Outgoing", "")


def months_of(period: Period) -> list[date]:
    """The first days of the months that the period touches, in order."""
    found = [period.first_day.replace(day=1)]
    while found[-1].replace(day=28) < period.last_day:
        year, month = divmod(found[-1].year * 12 + found[-1].month, 12)
        following = date(year, month + 1, 1)
        if following > period.last_day:
            break
        found.append(following)
    return found


#: User id (None = no person) -> part -> (calls, seconds).
People = dict[int | None, dict[str, tuple[int, int]]]
#: By month.
Summary = dict[date, People]


def summarize(session: Session, scope: CountScope, *conditions: ColumnElement[bool]) -> Summary:
    """The calls of the period by month of the zone, employee and direction, in one statement.

    `conditions`: further ones on calls.
    """
    months = months_of(scope.period)
    starts = [datetime.combine(each, time(0), tzinfo=scope.period.zone).astimezone(UTC) for each in months[1:]]
    ends: Any = [(CallLog.started_on < start, n) for n, start in enumerate(starts)]
    # Never a bare number: MariaDB reads GROUP BY 0 as a column.
    month = case(*(ends or [(CallLog.started_on.is_(None), 0)]), else_=len(starts)).label("month")
    query = select(month, CallLog.employee_id, CallLog.direction, func.count(), func.sum(CallLog.duration_seconds))
    rows = session.execute(
        query.where(FIGURES["calls"].rows(scope), *conditions).group_by(month, *query.selected_columns[1:3])
    )
    found: Summary = {}
    for number, employee, direction, count, seconds in rows:
        mine = found.setdefault(months[int(number)], {}).setdefault(employee, {})
        for part in (direction, ""):
            calls, length = mine.get(part, (0, 0))
            mine[part] = (calls + int(count), length + int(seconds or 0))
    return {each: found[each] for each in months if each in found}


Row = list[str | int]


def table(summary: Summary, names: Mapping[int, str], words: tuple[str, str]) -> Iterable[Row]:
    """The rows of the file: month, head, one row per person by name, total, and an empty row after each month.

    `words`: the labels of calls without a person, and of the total.
    """
    for month, people in summary.items():
        yield [f"{month:%b %Y}"]
        yield list(HEAD)
        yield from rows_of_month(people, names, words, format_duration)
        yield []


def rows_of_month(
    people: People, names: Mapping[int, str], words: tuple[str, str], length: Callable[[int], str]
) -> Iterable[Row]:
    """One row per person by name, and the total. `words`: see `table`; `length`: seconds -> text."""
    nobody, total = words
    named = sorted((names.get(key or 0, nobody), key or 0, parts) for key, parts in people.items())
    yield from (_row(name, parts, length) for name, _key, parts in named)
    yield _row(total, {part: _sum(people.values(), part) for part in PARTS}, length)


def _sum(people: Iterable[dict[str, tuple[int, int]]], part: str) -> tuple[int, int]:
    pairs = [each.get(part, (0, 0)) for each in people]
    return sum(count for count, _seconds in pairs), sum(seconds for _count, seconds in pairs)


def _row(name: str, parts: Mapping[str, tuple[int, int]], length: Callable[[int], str]) -> Row:
    row: Row = [name]
    for part in PARTS:
        count, seconds = parts.get(part, (0, 0))
        row += [count, length(seconds)]
    return row


def format_duration(seconds: int) -> str:
    """Seconds as 1h 2m 3s; minutes and hours only if there are any."""
    hours, rest = divmod(seconds, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}h {minutes}m {secs}s"
    return f"{minutes}m {secs}s" if minutes else f"{secs}s"
