"""The list of tasks as a calendar: a day or week by half hours, a month by days. All state is in the URL."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from flask import render_template, request
from flask_babel import gettext as _

from app.domain import calendar_range
from app.domain.base import RuleBroken
from app.domain.calendar_range import SPANS, CalendarRange
from app.domain.working_time import office_hours
from app.lib.digit_grouping import grouped
from app.web.core.fields.date_fields import DateField
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.records.lists import calendar_items, view_switcher
from app.web.records.lists.calendar_items import CalendarItems
from app.web.records.lists.list_page import AskedList, list_page, url

#: The default hours of the day view.
HOURS = range(8, 20)
#: The argument for one's own tasks only.
MINE = "_flt_eq_assignee"


def read(args: Any, viewer: Viewer) -> CalendarRange:
    """The range in a URL: `from` and `span`; this week by default. Raises RuleBroken."""
    span = args.get("span") or "week"
    if span not in SPANS:
        text = _("A calendar shows a day, a week or a month, not “%(name)s”. Choose one above it.", name=span[:60])
        raise RuleBroken(text, "span")
    day = DateField("from").parse(args.get("from"), viewer) or viewer.today
    return CalendarRange(span, day, viewer.zone)


def is_default_view(args: Any) -> bool:
    """Whether the URL says nothing but “calendar”: then it opens with one's own tasks."""
    return set(args) <= {"layout", "span"}


def own_url(viewer: Viewer) -> str:
    """This calendar with one's own tasks, from today."""
    return url(**{MINE: "@me", "from": viewer.today.isoformat()})


def page(asked: AskedList) -> Any:
    """The calendar, or the part of it requested by htmx."""
    screen, list_query, viewer = asked.screen, asked.list_query, asked.viewer
    wanted = read(request.args, viewer)
    found = calendar_items.load(screen, list_query, wanted, viewer)
    shown = list_page(replace(asked, list_query=ListQuery(list_query.conditions, [], 1)), [])
    shown |= view_switcher.switcher(screen, viewer) | {"tabs": []}
    shown["kind"] = screen.record_table.name
    shown["count_text"] = grouped(found.count) + ("+" if found.is_cut or found.cut_days else "")
    shown["calendar"] = _head(wanted, viewer) | _body(wanted, found, viewer)
    shown["calendar"] |= {"notes": _notes(wanted, found), "may_move": viewer.person.may(screen.module, "write")}
    return render_template(
        "records/_calendar.html" if request.headers.get("HX-Request") else "records/calendar.html", page=shown
    )


def _head(calendar_range: CalendarRange, viewer: Viewer) -> dict[str, Any]:
    """Title, links to other days, and whose tasks."""
    reach, mine = viewer.person.reach("Tasks"), request.args.get(MINE)
    here = calendar_range.day.isoformat()
    labels = {"day": _("Day"), "week": _("Week"), "month": _("Month")}
    is_mine = mine in ("@me", str(viewer.person.id))
    whose = [
        {"label": _("Mine"), "url": url(**{MINE: "@me", "from": here}), "on": is_mine},
        {"label": _("Team"), "url": url(**{MINE: None, "from": here}), "on": not mine},
    ]
    return {
        "span": calendar_range.span,
        "title": _title(calendar_range),
        "spans": [
            (label, url(**{"span": key, "from": here}), key == calendar_range.span) for key, label in labels.items()
        ],
        "earlier_url": url(**{"from": calendar_range.earlier.isoformat()}),
        "later_url": url(**{"from": calendar_range.later.isoformat()}),
        "today_url": url(**{"from": viewer.today.isoformat()}),
        "whose": whose if reach is None or len(reach) > 1 else [],
    }


def _title(calendar_range: CalendarRange) -> str:
    if calendar_range.span == "day":
        return format_local_date(calendar_range.day, "%A, %-d %B %Y")
    if calendar_range.span == "month":
        return format_local_date(calendar_range.day, "%B %Y")
    return (
        f"{format_local_date(calendar_range.first, '%-d %b')} – {format_local_date(calendar_range.last, '%-d %b %Y')}"
    )


def _body(calendar_range: CalendarRange, found: CalendarItems, viewer: Viewer) -> dict[str, Any]:
    days = [_day(each, calendar_range, viewer) for each in calendar_range.days]
    if calendar_range.span == "month":
        cut = found.until.astimezone(calendar_range.zone).date().isoformat() if found.until else None
        for each in days:
            each["items"] = found.by_day.get(each["day"], [])
            more = found.more[each["day"]]
            each["more"] = _("+%(count)s more", count=more) if more > 0 else None
            if each["day"] in found.cut_days:
                each["more"] = _("+%(count)s or more", count=more)
            if cut and each["day"] >= cut:
                each["more"] = _("Open the day")
        return {"days": days[:7], "weeks": [days[start : start + 7] for start in range(0, len(days), 7)]}
    return {"days": days, "rows": _rows(calendar_range, found, viewer)}


def _day(day: date, wanted: CalendarRange, viewer: Viewer) -> dict[str, Any]:
    """The head of one day."""
    start, end = (calendar_range.midnight(each, viewer.zone) for each in (day, day + timedelta(days=1)))
    opened = office_hours.open_time_between(viewer.lookups.office, start, end)
    return {
        "day": day.isoformat(),
        "number": day.day,
        "weekday": format_local_date(day, "%a"),
        "label": format_local_date(day, "%A, %-d %B %Y"),
        "is_today": day == viewer.today,
        "is_closed": not opened,
        "is_outside": wanted.span == "month" and day.month != wanted.day.month,
        "url": url(**{"span": "day", "from": day.isoformat()}),
    }


def _rows(wanted: CalendarRange, items: CalendarItems, viewer: Viewer) -> list[dict[str, Any]]:
    """The half hours of the days: {label, cells: [{key, is_closed, items}], is_empty}."""
    hours, office = _hours(items), viewer.lookups.office
    columns = [list(calendar_range.slots(day, viewer.zone, hours)) for day in wanted.days]
    rows = []
    for parts in zip(*columns, strict=True):
        cells = [_cell(day, part, items, office) for day, part in zip(wanted.days, parts, strict=True)]
        rows.append({"label": parts[0][0], "cells": cells, "is_empty": not any(each["items"] for each in cells)})
    return rows


def _cell(day: date, part: tuple[str, datetime, datetime], items: CalendarItems, office: Any) -> dict[str, Any]:
    label, start, end = part
    key = f"{day.isoformat()}T{label}"
    is_closed = not office_hours.open_time_between(office, start, end)
    return {"key": key, "is_closed": is_closed, "items": items.by_slot.get(key, [])}


def _hours(items: CalendarItems) -> range:
    """The default hours, extended to those of earlier or later items."""
    used = [int(key[11:13]) for key in items.by_slot]
    return range(min([HOURS.start, *used]), max([HOURS.stop, *(hour + 1 for hour in used)]))


def _notes(calendar_range: CalendarRange, items: CalendarItems) -> list[str]:
    """What the calendar leaves out, as sentences."""
    notes = []
    if items.is_cut:
        until = format_local_date(items.until.astimezone(calendar_range.zone), "%-d %b, %H:%M") if items.until else ""
        notes.append(
            _(
                "These are the first %(count)s tasks, up to %(day)s. "
                "Choose a shorter time or filter by assignee to see all.",
                count=grouped(items.most),
                day=until,
            )
        )
    if items.is_filtered:
        notes.append(_("Follow-ups of leads are left out while tasks are filtered by anything but their assignee."))
    if items.leads_cut:
        notes.append(_("Only the first %(count)s follow-ups are shown.", count=grouped(items.most)))
    return notes
