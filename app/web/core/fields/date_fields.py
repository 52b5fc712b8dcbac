"""Date, date-time and time fields, and how they are displayed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, and_, false, func, not_, or_

from app.domain.base import RuleBroken
from app.lib.iso_time import read_moment, read_time
from app.web.core.fields.base import Field, converted
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.languages import in_page_language, language_key
from app.web.core.viewer import Viewer

#: Moments that a process keeps as they are written.
MAX_WRITTEN = 4_000


class IsoField(Field):
    """A field whose values are ISO 8601 in REST."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """ISO 8601; of a moment in UTC."""
        return _iso(self.value(values, viewer))

    def common_converter(self) -> Callable[[Any], Any] | None:
        """The same for the value of the only column."""
        kind = type(self)
        is_usual = (kind.serialize, kind.value, kind.converter) == (IsoField.serialize, Field.value, Field.converter)
        return _iso if is_usual and len(self.columns) == 1 and not self.mask else None


def _iso(found: Any) -> Any:
    return found if found is None or isinstance(found, str) else found.isoformat()


class DateField(IsoField):
    """A field of dates."""

    kind = "date"

    def __init__(self, *args: Any, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.operators = ("eq", "gt", "lt", "ge", "le", "null")
        self.schema = {"type": "string", "format": "date", "nullable": True}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """A date between 1900 and 2199; for a time with an offset, the date in the person's zone. Raises RuleBroken."""
        if raw is None or raw == "":
            return None
        typed = str(raw).strip()
        try:
            moment = read_moment(typed)
            day = (moment.astimezone(viewer.zone) if moment.tzinfo else moment).date()
        except (ValueError, OverflowError):
            day = None
        if day is None or not 1900 <= day.year <= 2199:
            raise RuleBroken(_("“%(name)s” must be a date such as 2026-11-30.", name=self.name), self.name)
        return day

    parse_filter = parse

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show as 30 Nov 2026."""
        if values[0] is None or self.is_hidden(viewer):
            return super().cell(values, viewer)
        return {"kind": "date", "text": format_local_date(values[0], "%-d %b %Y"), "iso": values[0].isoformat()}


@dataclass(frozen=True)
class Span:
    """The time from `start` to `end` (UTC, exclusive)."""

    start: datetime
    end: datetime


#: The precision of a typed time: the pattern, and its length.
_SPANS = (
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), timedelta(days=1)),
    (re.compile(r".{10}[T ][0-9]{2}:[0-9]{2}(?:Z|[+-][0-9]{2}:?[0-9]{2})?"), timedelta(minutes=1)),
    (re.compile(r".{10}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|[+-][0-9]{2}:?[0-9]{2})?"), timedelta(seconds=1)),
)


def _end_of(moment: datetime, raw: Any, viewer: Viewer) -> datetime:
    """When the typed day, minute or second ends; a day in the person's zone, where it can have 23 or 25 hours."""
    typed = str(raw).strip() if not isinstance(raw, datetime) else ""
    length = next((span for pattern, span in _SPANS if pattern.fullmatch(typed)), timedelta(microseconds=1))
    if length.days and moment.tzinfo is not None:
        local = moment.astimezone(viewer.zone)
        return (local + length).astimezone(UTC)
    return moment + length


class BirthDateField(DateField):
    """A field of dates of birth."""

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """A date that is not in the future. Raises RuleBroken."""
        day = super().parse(raw, viewer)
        if day is not None and day > viewer.today:
            raise RuleBroken(_("A date of birth can't be in the future. Please check it."), self.name)
        return day

    parse_filter = DateField.parse


class DateTimeField(IsoField):
    """A date and time: stored in UTC, ISO 8601 with offset over REST, shown in the person's time zone."""

    kind = "moment"

    def __init__(self, *args: Any, due: bool = False, **flags: Any) -> None:
        super().__init__(*args, **flags)
        #: Whether it is a due time, colored when near or past.
        self.due = due
        self.operators = ("eq", "neq", "gt", "lt", "ge", "le", "null")
        self.schema = {"type": "string", "format": "date-time", "nullable": True}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """A time in UTC; input without an offset is in the person's zone. Raises RuleBroken."""
        if raw is None or raw == "":
            return None
        try:
            moment = raw if isinstance(raw, datetime) else read_moment(str(raw).strip())
            moment = moment if moment.tzinfo else moment.replace(tzinfo=viewer.zone)
            moment = moment.astimezone(UTC)
        except (ValueError, OverflowError):
            moment = None
        if moment is None or not 1900 <= moment.year <= 2199:
            text = _("“%(name)s” must be a date and time such as 2026-11-30T17:30+05:30.", name=self.name)
            raise RuleBroken(text, self.name)
        return moment

    parse_filter = parse

    def _any(self, op: str, value: Any) -> ColumnElement[bool]:
        """A typed time means its whole day, minute or second, because nobody knows the microseconds of a row."""
        if op == "neq":
            return not_(func.coalesce(self._any("eq", value), false()))
        if not isinstance(value, Span):
            return super()._any(op, value)
        parts = [and_(column >= value.start, column < value.end) for column in self.filter_columns()]
        return or_(*parts)

    def where(self, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """Like other fields, except that equality matches the whole span that was typed, such as a day."""
        if op not in ("eq", "neq") or op not in self.operators:
            return super().where(op, raw, viewer)
        moment = self.parse_filter(raw, viewer)
        return self._any(op, Span(moment, _end_of(moment, raw, viewer)) if moment is not None else None)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Relative, with the exact time in the tooltip."""
        return super().cell(values, viewer) if self.is_hidden(viewer) else moment_cell(values[0], viewer, self.due)

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value of a datetime-local input, in the person's zone."""
        shown = self.value(values, viewer)
        return converted(shown, lambda moment: moment.astimezone(viewer.zone).strftime("%Y-%m-%dT%H:%M"))


class NaiveDateTimeField(DateTimeField):
    """A date and time without a zone, as plain SQLAlchemy DateTime columns store it."""

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The date and time as typed; input with an offset is converted to UTC first."""
        moment = super().parse(raw, viewer)
        if moment is None or isinstance(raw, datetime):
            return raw if moment is not None else None
        typed = read_moment(str(raw).strip())
        return moment.replace(tzinfo=None) if typed.tzinfo else typed

    parse_filter = parse

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show as 30 Nov 2026, 17:30."""
        if values[0] is None or self.is_hidden(viewer):
            return Field.cell(self, values, viewer)
        return {"kind": "date", "text": format_local_date(values[0], "%-d %b %Y, %H:%M"), "iso": values[0].isoformat()}

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value of a datetime-local input, as stored."""
        return converted(self.value(values, viewer), lambda moment: moment.strftime("%Y-%m-%dT%H:%M"))


class TimeField(IsoField):
    """A time of day."""

    kind = "time"

    def __init__(self, *args: Any, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.operators = ("eq", "gt", "lt", "ge", "le", "null")
        self.schema = {"type": "string", "format": "time", "nullable": True}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """A time such as 17:30. Raises RuleBroken for anything else."""
        if raw is None or raw == "":
            return None
        try:
            return read_time(str(raw).strip())
        except ValueError:
            raise RuleBroken(_("“%(name)s” must be a time such as 17:30.", name=self.name), self.name) from None

    parse_filter = parse


def moment_cell(moment: datetime | None, viewer: Viewer, due: bool = False) -> dict[str, Any]:
    """A time for the cell macro: {iso, text, title, tone}."""
    if moment is None:
        return {"kind": "missing"}
    seconds = (viewer.now - moment).total_seconds()
    tone = ""
    if due:
        tone = "late" if seconds > 0 else "soon" if seconds > -7200 else ""
    iso, title = _written(moment, viewer.zone, language_key())
    return {"kind": "moment", "iso": iso, "text": relative(moment, viewer, seconds), "tone": tone, "title": title}


@lru_cache(MAX_WRITTEN)
def _written(moment: datetime, zone: ZoneInfo, _language: tuple[str, str | None]) -> tuple[str, str]:
    """(ISO 8601, date and time in words) in a zone and the language of the page."""
    words = format_local_date(moment.astimezone(zone), "%a %-d %b %Y, %H:%M")
    return moment.isoformat(timespec="minutes").replace("+00:00", "Z"), words


#: Below so many seconds: the seconds of one unit, and the texts for past and future. What is ahead keeps the smaller
#: unit up to two of the next one, as SLA clocks do: an hour and fifty minutes are not “in 1 h”.
_STEPS = (
    (3600, 60, _("%(n)s min ago"), _("in %(n)s min")),
    (86_400, 3600, _("%(n)s h ago"), _("in %(n)s h")),
    (7 * 86_400, 86_400, _("%(n)s d ago"), _("in %(n)s d")),
)
_NOW = _("now")


def relative(moment: datetime, viewer: Viewer, seconds: float | None = None) -> str:
    """How long ago or ahead, in words. `seconds`: since then, if known."""
    if seconds is None:
        seconds = (viewer.now - moment).total_seconds()
    ahead, size = seconds < 0, abs(seconds)
    if size < 60:
        return in_page_language(_NOW)
    for most, unit, past, future in _STEPS:
        if size < most * (2 if ahead and unit < 86_400 else 1):
            count = -(-size // unit) if ahead and unit == 60 else size // unit
            return in_page_language(future if ahead else past) % {"n": int(count)}
    local = moment.astimezone(viewer.zone)
    is_this_year = local.year == viewer.now.astimezone(viewer.zone).year
    return format_local_date(local, "%-d %b" if is_this_year else "%-d %b %Y")
