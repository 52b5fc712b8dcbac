"""Office hours, as a grid of the week and as a list, and holidays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import flash, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import has_access
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from wtforms import DateField, TimeField
from wtforms.validators import InputRequired, Optional
from wtforms.widgets import TextInput

from app.domain.base import Conflict, RuleBroken
from app.domain.working_time import office_hours
from app.extensions import db
from app.lib.iso_time import read_time
from app.models import Holiday, OfficeRange
from app.web.core import fab_access
from app.web.core.localization.languages import translate_text
from app.web.pages.hardened_view import protect, select_field
from app.web.pages.settings_page import SettingsPage
from app.web.settings.picklists import PicklistScreen

_WEEKDAYS = tuple(map(lazy_gettext, office_hours.WEEKDAYS))
NO_HOURS = lazy_gettext("No office hours: the office is treated as always open.")
_CLOCK = {
    "starts": lambda at: f"{at:%H:%M}" if at is not None else "–",
    "ends": lambda at: office_hours.end_text(at) if at is not None else "–",
}
#: Empty pairs of fields on each day.
_EMPTY_PAIRS = 1
_MAX_RANGES = 8
Week = list[list[tuple[str, str]]]


class EndField(TimeField):
    """The end of a range, up to 24:00, which browsers' time fields do not support."""

    widget = TextInput()

    def process_formdata(self, valuelist: list[str]) -> None:
        """Take the typed value."""
        texts = [
            office_hours.parse_end(each).isoformat() if each.strip().startswith("24:") else each for each in valuelist
        ]
        super().process_formdata(texts)

    def _value(self) -> str:
        if self.raw_data:
            return " ".join(self.raw_data)
        return office_hours.end_text(self.data) if self.data is not None else ""


def _end(label: Any, *checks: Any) -> Any:
    look = {"class": "form-control", "inputmode": "numeric", "placeholder": "18:00"}
    look |= {"pattern": office_hours.END_PATTERN, "title": lazy_gettext("A time such as 18:00; 24:00 is midnight.")}
    return EndField(label, validators=list(checks) or [Optional()], format=["%H:%M", "%H:%M:%S"], render_kw=look)


def _time(label: Any, *checks: Any) -> Any:
    return TimeField(
        label,
        validators=list(checks) or [Optional()],
        format=["%H:%M", "%H:%M:%S"],
        render_kw={"class": "form-control"},
    )


# --- lists -------------------------------------------------------------------------------------------------------


class Holidays(PicklistScreen):
    """Days on which the office is closed, or open for half a day."""

    datamodel = SQLAInterface(Holiday)
    route_base = "/settings/holidays"
    list_title, show_title = lazy_gettext("Holidays"), lazy_gettext("Holiday")
    add_title, edit_title = lazy_gettext("New holiday"), lazy_gettext("Edit holiday")
    columns = ("day", "label", "starts", "ends")
    search_columns = ["day", "label"]
    base_order = ("day", "desc")
    formatters_columns = _CLOCK
    fields = {
        "day": DateField(lazy_gettext("Day"), [InputRequired()], render_kw={"class": "form-control"}),
        "starts": _time(lazy_gettext("Open from (half day)")),
        "ends": _end(lazy_gettext("Open to")),
    }

    def refuse_invalid(self, item: Any) -> None:
        """Refuse a second entry of a day, and a half day that ends before it starts."""
        if (item.starts is None) != (item.ends is None):
            raise RuleBroken(_("For a half day, enter both times; for a whole day, leave both empty."), "starts")
        if item.starts is not None and office_hours.is_empty(item.starts, item.ends):
            raise RuleBroken(_("The half day must end after it starts."), "ends")
        _hint_at_last_minute([item])
        same = select(Holiday.id).where(Holiday.day == item.day, Holiday.id != (item.id or 0))
        if db.session.execute(same).first() is not None:
            raise RuleBroken(_("This day is already on the list. Please edit that entry."), "day")


class OfficeRanges(PicklistScreen):
    """Office hours, one range per row."""

    datamodel = SQLAInterface(OfficeRange)
    route_base = "/settings/office-ranges"
    list_title, show_title = lazy_gettext("Office hours"), lazy_gettext("Office hours")
    add_title, edit_title = lazy_gettext("New office hours"), lazy_gettext("Edit office hours")
    columns = ("weekday", "starts", "ends")
    search_columns = ["weekday"]
    base_order = ("weekday", "asc")
    formatters_columns = {**_CLOCK, "weekday": lambda day: _WEEKDAYS[day]}
    fields = {
        "weekday": select_field(lazy_gettext("Weekday"), list(enumerate(_WEEKDAYS)), coerce=int),
        "starts": _time(lazy_gettext("Starts at"), InputRequired()),
        "ends": _end(lazy_gettext("Ends at"), InputRequired()),
    }

    def refuse_invalid(self, item: Any) -> None:
        """Refuse a range that ends before it starts or overlaps another."""
        others = db.session.scalars(select(OfficeRange).where(OfficeRange.id != (item.id or 0)))
        refuse_bad_ranges([*others, item])
        _hint_at_last_minute([item])


def refuse_bad_ranges(rows: Any) -> None:
    """Raise RuleBroken for invalid or overlapping ranges."""
    try:
        office_hours.refuse_bad_ranges([office_hours.OpeningRange(row.weekday, row.starts, row.ends) for row in rows])
    except ValueError as wrong:
        raise RuleBroken(str(wrong), "ends") from wrong


def _hint_at_last_minute(rows: Iterable[Any]) -> None:
    """Warn that an end of 23:59 closes the office for a minute each night."""
    if any(row.ends is not None and office_hours.ends_a_minute_early(row.ends) for row in rows):
        flash(_("An end of 23:59 closes the office for one minute each night. For midnight, enter 24:00."), "warning")


# --- the week as a grid ------------------------------------------------------------------------------------------


class Hours(SettingsPage):
    """The office hours of a week as a grid."""

    route_base = "/settings/hours"
    default_view = "week"
    VERBS = {"week": "read", "save": "write"}

    @expose("/")
    @has_access
    def week(self) -> Any:
        """The stored grid."""
        return self._page(_stored_week(db.session()))

    @expose("/", methods=["POST"])
    @has_access
    def save(self) -> Any:
        """Store the whole week, or show what is invalid."""
        protect()
        posted = _posted_week()
        session = db.session()
        try:
            if request.form.get("seen") != fab_access.content_hash(_stored_week(session)):
                raise Conflict(_("Someone else changed the office hours. Review yours, then save again."))
            _store_week(session, posted)
            session.commit()
        except RuleBroken as broken:
            session.rollback()
            flash(translate_text(broken.message), "danger")
            return self._page(posted), fab_access.refusal(broken).status
        flash(_("Office hours saved."), "success")
        return redirect(url_for("Hours.week"))

    def _page(self, shown: Week) -> str:
        stored = _stored_week(db.session())
        days = [(index, _WEEKDAYS[index], [*pairs, *[("", "")] * _EMPTY_PAIRS]) for index, pairs in enumerate(shown)]
        return self.render_template(
            "settings/office_hours.html",
            title=_("Office hours"),
            days=days,
            start_pattern=office_hours.START_PATTERN,
            end_pattern=office_hours.END_PATTERN,
            seen=fab_access.content_hash(stored),
            warning="" if any(stored) else str(NO_HOURS),
            holidays_url=url_for("Holidays.list"),
            list_url=url_for("OfficeRanges.list"),
        )


def _stored_week(session: Session) -> Week:
    week: Week = [[] for _day in office_hours.WEEKDAYS]
    for row in session.scalars(select(OfficeRange).order_by(OfficeRange.weekday, OfficeRange.starts)):
        week[row.weekday].append((f"{row.starts:%H:%M}", office_hours.end_text(row.ends)))
    return week


def _posted_week() -> Week:
    """The posted (from, to) pairs by day, without empty ones."""
    week: Week = []
    for day in range(len(office_hours.WEEKDAYS)):
        starts, ends = (request.form.getlist(f"{side}_{day}")[:_MAX_RANGES] for side in ("starts", "ends"))
        ends += [""] * (len(starts) - len(ends))
        pairs = zip(starts, ends, strict=False)
        week.append([(first.strip()[:20], last.strip()[:20]) for first, last in pairs if first.strip() or last.strip()])
    return week


def _store_week(session: Session, week: Week) -> None:
    """Replace all ranges with those of the week. Raises RuleBroken."""
    rows = [_range(day, *pair) for day, pairs in enumerate(week) for pair in pairs]
    refuse_bad_ranges(rows)
    _hint_at_last_minute(rows)
    for old in session.scalars(select(OfficeRange)):
        session.delete(old)
    session.add_all(rows)


def _range(day: int, starts: str, ends: str) -> OfficeRange:
    try:
        return OfficeRange(weekday=day, starts=read_time(starts.strip()), ends=office_hours.parse_end(ends))
    except ValueError as wrong:
        where = {"day": _WEEKDAYS[day], "range": f"{starts or '?'}–{ends or '?'}"}
        text = _("%(day)s: please enter two times such as 09:00 and 18:00, not %(range)s.", **where)
        raise RuleBroken(text) from wrong
