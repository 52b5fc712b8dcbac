"""Times in filters and documents: the span that a text covers, named spans, and dates from texts with a zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask_babel import gettext as _

from app.web.compat.responses import CompatError
from app.web.core.viewer import Viewer

#: A date, with or without a time, seconds, a fraction and a zone.
_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<minute>[0-9]{2}:[0-9]{2})(?:(?P<second>:[0-9]{2})(?P<fraction>[.][0-9]{1,6})?)?)?"
    r"(?P<zone> ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?"
)
#: Seconds and milliseconds since 1970, as programs write them; numbers of other lengths are not times.
_EPOCH = re.compile(r"[0-9]{9,10}|[0-9]{12,13}")
_DAY = timedelta(days=1)
_MONTHS_OF = {"month": 1, "quarter": 3, "6 months": 6, "year": 12}


def is_day(value: Any) -> bool:
    """Whether a text is a date without a time."""
    found = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
    return found is not None and found["minute"] is None and found["zone"] is None


def parse_span(value: Any, viewer: Viewer) -> tuple[datetime, datetime]:
    """From a time to the end of what its text names: a day, a minute, a second, or less. Raises CompatError."""
    text = str(value).strip()[:40]
    found = _MOMENT.fullmatch(text)
    try:
        start = _read(text, viewer) if found else None
        length = timedelta(microseconds=1)
        if found and found["minute"] is None:
            length = _DAY
        elif found and found["fraction"] is None:
            length = timedelta(seconds=1) if found["second"] else timedelta(minutes=1)
        if start is not None and 1900 <= start.year <= 2199:
            return start.astimezone(UTC), (start + length).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise CompatError(417, _("“%(text)s” isn't a date such as 2026-11-23.", text=text))


def _read(text: str, viewer: Viewer) -> datetime:
    moment = datetime.fromisoformat(text.replace(" +", "+").replace(" Z", "Z"))
    return moment if moment.tzinfo else moment.replace(tzinfo=viewer.zone)


def named_span(name: str, viewer: Viewer) -> tuple[date, date]:
    """The first and last day of a span such as "today", "last week" or "next 6 months". Raises CompatError (417).

    A week begins on Sunday, as in the predecessor.
    """
    words, today = name.strip().lower()[:40], viewer.today
    days = {"yesterday": today - _DAY, "today": today, "tomorrow": today + _DAY}
    if words in days:
        return days[words], days[words]
    which, _space, unit = words.partition(" ")
    step = {"last": -1, "this": 0, "next": 1}.get(which)
    number, _space, plural = unit.partition(" ")
    if step and plural == "days" and number.isascii() and number.isdigit() and 0 < int(number[:4]) <= 366:
        length = timedelta(days=int(number))
        return (today - length, today) if step < 0 else (today, today + length)
    if step is not None and unit == "week":
        sunday = today - timedelta(days=today.isoweekday() % 7) + 7 * step * _DAY
        return sunday, sunday + 6 * _DAY
    if step is None or unit not in _MONTHS_OF or (unit == "6 months" and not step):
        raise CompatError(417, _("There is no timespan “%(name)s”.", name=name[:40]))
    return _months(today, _MONTHS_OF[unit], step)


def _months(today: date, length: int, step: int) -> tuple[date, date]:
    """The whole months before, around or after today; six months are the two quarters before or after this one."""
    month, is_half = today.year * 12 + today.month - 1, length == 6
    first = month - month % (3 if is_half else length)
    first += 3 if is_half and step > 0 else step * length
    return _first_day(first), _first_day(first + length) - _DAY


def _first_day(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)


def bounds(first: date, last: date, viewer: Viewer) -> tuple[datetime, datetime]:
    """The times from the first day to the end of the last one."""
    start, end = (datetime.combine(day, time(0), tzinfo=viewer.zone) for day in (first, last + _DAY))
    return start.astimezone(UTC), end.astimezone(UTC)


# --- documents


def local_day(value: Any, viewer: Viewer) -> Any:
    """The person's local date for a text with a time and zone; other texts unchanged."""
    found = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
    if found is None or found["minute"] is None:
        return value
    try:
        return _read(value.strip(), viewer).astimezone(viewer.zone).date().isoformat()
    except (ValueError, OverflowError):
        return value


def from_epoch(value: Any) -> Any:
    """The time for seconds or milliseconds since 1970, as a number or digits; anything else unchanged."""
    text = str(value).strip()[:20] if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if _EPOCH.fullmatch(text) is None:
        return value
    seconds = int(text) / (1000 if len(text) > 10 else 1)
    return datetime.fromtimestamp(seconds, UTC)
