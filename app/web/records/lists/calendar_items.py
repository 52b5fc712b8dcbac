"""The items of a calendar: tasks by due time, and next follow-ups of leads that have no task on that day in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from flask import request
from flask_babel import gettext as _
from sqlalchemy import and_, or_, select

from app import access
from app.domain import calendar_range
from app.domain.calendar_range import DAY, CalendarRange, midnight
from app.domain.tasks import OPEN
from app.extensions import db
from app.models import Lead, Task
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.queries.list_query import ListQuery
from app.web.core.urls.local_links import row_url
from app.web.core.view_registry import registered
from app.web.core.viewer import Viewer
from app.web.records.lists.list_page import filters_of

#: The columns that items need.
NAMES = ("title", "about", "status", "priority", "due_on", "assignee", "version")
_LEAD_NAMES = ("name", "number", "next_follow_up_on")
#: Columns that a range of an index of tasks says all about.
_FOUND_BY_INDEX = {"assignee", "status"}
#: Items of a day in a month.
CELL = 4
#: The most tasks, and follow-ups, in one calendar.
MOST = {"day": 300, "week": 300, "month": 1000}
#: A month with more tasks than this has those of each day read up to OF_DAY.
MANY, OF_DAY = 420, 10
#: The range of dates that can be requested, as for every typed time.
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, tzinfo=UTC)


@dataclass
class CalendarItems:
    """The items of a range, by day and by half hour, each in order."""

    most: int
    #: All items, also those that a month leaves to the page of their day.
    count: int = 0
    #: Whether there are more tasks, after `until`; more follow-ups; filters that don't apply to follow-ups.
    is_cut: bool = False
    until: datetime | None = None
    leads_cut: bool = False
    is_filtered: bool = False
    by_day: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    by_slot: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    #: Day of a month -> the number of its items that aren't shown.
    more: Counter[str] = field(default_factory=Counter)
    #: Days of a month that have more tasks than were read.
    cut_days: set[str] = field(default_factory=set)


class _Entry(NamedTuple):
    """A row in the calendar, before what it shows is looked up."""

    moment: datetime
    kind: str
    id: int
    day: str
    row: Any


def load(screen: Any, list_query: ListQuery, calendar_range: CalendarRange, viewer: Viewer) -> CalendarItems:
    """The items of the range under the access rules: one statement for tasks, one for follow-ups, those for names."""
    found = CalendarItems(MOST[calendar_range.span])
    query, due = replace(list_query, size=found.most + 1), _place(screen, NAMES, "due_on")
    by_day = _first_of_each_day(screen, query, calendar_range, viewer) if calendar_range.span == "month" else None
    rows, found.cut_days = by_day or (_tasks(screen, query, calendar_range, viewer), set())
    if len(rows) > found.most:
        rows, found.is_cut = rows[: found.most], True
        found.until = rows[-1][due]
    entries = [_entry("task", row, row[due], viewer) for row in rows]
    taken = _leads_with_tasks(screen, entries)
    leads = _follow_ups(screen, calendar_range, viewer, found)
    entries += [each for each in leads if (each.id, each.day) not in taken and each.day not in found.cut_days]
    found.count = len(entries)
    shown = sorted(entries, key=lambda entry: entry[:3])
    if calendar_range.span == "month":
        shown = _first_of_days(shown, found)
    for each in _items(screen, shown, viewer):
        found.by_day.setdefault(each["day"], []).append(each)
        found.by_slot.setdefault(each["slot"], []).append(each)
    return found


def _entry(kind: str, row: Any, moment: datetime, viewer: Viewer) -> _Entry:
    return _Entry(moment, kind, row[0], _day_of(moment, viewer), row)


def _day_of(moment: datetime, viewer: Viewer) -> str:
    """The day of a moment on the person's clock."""
    return moment.astimezone(viewer.zone).date().isoformat()


def _leads_with_tasks(screen: Any, entries: list[_Entry]) -> set[tuple[int, str]]:
    """(lead, day) of each open task."""
    status, lead = _place(screen, NAMES, "status"), _place(screen, NAMES, "about")
    return {(each.row[lead], each.day) for each in entries if each.row[lead] and each.row[status] in OPEN}


def _first_of_days(entries: list[_Entry], found: CalendarItems) -> list[_Entry]:
    """The entries that a month shows; the others are counted in `found.more`."""
    seen: Counter[str] = Counter()
    shown = []
    for each in entries:
        seen[each.day] += 1
        if seen[each.day] <= CELL:
            shown.append(each)
        else:
            found.more[each.day] += 1
    return shown


def _items(screen: Any, entries: list[_Entry], viewer: Viewer) -> list[dict[str, Any]]:
    """What the entries show, in their order; names are looked up for these alone."""
    leads: Any = registered("screens").get(Lead)
    for kind, of, names in (("task", screen, NAMES), ("lead", leads, _LEAD_NAMES)):
        rows = [each.row for each in entries if each.kind == kind]
        if rows:
            of.record_table.prepare(rows, names, viewer)
    return [
        task_item(screen, each.row, viewer) if each.kind == "task" else _lead_item(leads, each.row, viewer)
        for each in entries
    ]


def _within(table: Any, name: str, wanted: tuple[datetime, datetime], viewer: Viewer) -> list[Any]:
    """The conditions of the range. Raises RuleBroken for a column hidden from the person."""
    start, end = (min(max(each, _EARLIEST), _LATEST) for each in wanted)
    return [table.filter_clause(name, "ge", start, viewer), table.filter_clause(name, "lt", end, viewer)]


def _order(table: Any, name: str, viewer: Viewer) -> list[Any]:
    """By time, then id; rows without a value are not selected, so there is nothing to put last."""
    return list(table.order_by(name, "asc", viewer)[-2:])


def _tasks(screen: Any, list_query: ListQuery, calendar_range: CalendarRange, viewer: Viewer) -> list[Any]:
    table, end, size = screen.record_table, calendar_range.end, list_query.size
    within = _within(table, "due_on", (calendar_range.start, end), viewer)
    if calendar_range.span != "month" and _filtered_by(screen) <= _FOUND_BY_INDEX:
        end = _end_of_first(viewer, [*list_query.conditions, *within], size) or end
        within = _within(table, "due_on", (calendar_range.start, end), viewer)
    conditions = [*list_query.conditions, *within]
    return list(table.rows(db.session(), ListQuery(conditions, _order(table, "due_on", viewer), size), NAMES))


def _first_of_each_day(
    screen: Any, list_query: ListQuery, calendar_range: CalendarRange, viewer: Viewer
) -> tuple[list[Any], set[str]] | None:
    """(the first OF_DAY tasks of each day, the days that have more), of a month with more than MANY tasks.

    None for other months, and if no index has the tasks of a day.
    """
    table, whole = screen.record_table, (calendar_range.start, calendar_range.end)
    within = [*list_query.conditions, *_within(table, "due_on", whole, viewer)]
    if not _filtered_by(screen) <= _FOUND_BY_INDEX or _end_of_first(viewer, within, MANY + 1) is None:
        return None
    spans = [_span_of(day, calendar_range) for day in calendar_range.days]
    first = access.first_of_days(db.session(), viewer.person, list_query.conditions, spans, OF_DAY + 1)
    if first is None:
        return None
    days: dict[str, list[tuple[datetime, int]]] = {}
    for key, due_on in first.items():
        days.setdefault(_day_of(due_on, viewer), []).append((due_on, key))
    keys = [key for some in days.values() for _due_on, key in sorted(some)[:OF_DAY]]
    chosen = ListQuery([*list_query.conditions, Task.id.in_(keys)], _order(table, "due_on", viewer), len(keys))
    return list(table.rows(db.session(), chosen, NAMES)), {day for day, some in days.items() if len(some) > OF_DAY}


def _span_of(day: date, calendar_range: CalendarRange) -> tuple[datetime, datetime]:
    """When a day begins and ends."""
    start, end = (midnight(each, calendar_range.zone) for each in (day, day + DAY))
    return start, end


def _filtered_by(screen: Any) -> set[str]:
    """The names of the columns that tasks are filtered by, and of a search."""
    searched = {key for key in ("q", "where") if request.args.get(key)}
    return searched | {name for _key, _op, name, _value in filters_of(screen, request.args)}


def _end_of_first(viewer: Viewer, conditions: list[Any], size: int) -> datetime | None:
    """A time before which at least so many of the tasks are due; None if none is known.

    Tasks are found in several ways and statuses, each of which would be read for `size` of them. Here only one range of
    an index is: those with the status that most open tasks have, of which it is known that they are seen.
    """
    if not access.sees_own(viewer.person, Task):
        return None
    is_own = not access.reads_all(viewer.person, Task)
    rules = [Task.assignee_id == viewer.person.id] if is_own else []
    names = ["assignee_id"] if is_own else [name for name in [access.one_holder(Task, conditions)] if name]
    index = f"FORCE INDEX ({access.index_of(Task, *names, 'status', 'due_on')})"
    query = select(Task.due_on).where(*rules, Task.status == "Todo", *conditions).with_hint(Task, index, "mysql")
    with access.as_system(db.session()) as session:
        last = session.scalar(query.order_by(Task.due_on).limit(1).offset(size - 1))
    return last and last + timedelta(microseconds=1)


def _place(screen: Any, names: tuple[str, ...], name: str) -> int:
    """The index of the first stored value of a column in a row."""
    return next(cut.start for each, cut in screen.record_table.selection(names)[1] if each.name == name)


def _cells(screen: Any, names: tuple[str, ...], row: Any, viewer: Viewer) -> dict[str, Any]:
    slices = screen.record_table.selection(names)[1]
    return {each.name: each.shown_cell(tuple(row)[cut], viewer) for each, cut in slices}


def _placed(moment: datetime, viewer: Viewer) -> dict[str, Any]:
    """The position of a time on the person's clock."""
    local = moment.astimezone(viewer.zone)
    day = local.date().isoformat()
    slot = f"{day}T{calendar_range.slot_of(local)}"
    when = format_local_date(local, "%A, %-d %B, %H:%M")
    return {"moment": moment, "time": f"{local:%H:%M}", "when": when, "day": day, "slot": slot}


def task_item(screen: Any, row: Any, viewer: Viewer) -> dict[str, Any]:
    """A task as an item."""
    cells, key = _cells(screen, NAMES, row, viewer), row[0]
    status = row[_place(screen, NAMES, "status")]
    may_move = viewer.person.may(screen.module, "write")
    is_open = status in OPEN
    return _placed(row[_place(screen, NAMES, "due_on")], viewer) | {
        "kind": "task",
        "id": key,
        "base": f"{screen.route_base}/",
        "url": f"{screen.route_base}/edit/{key}" if may_move else f"{screen.route_base}/show/{key}",
        "href": f"{screen.route_base}/show/{key}",
        "title": cells["title"].get("text") or str(key),
        "about": cells["about"].get("number"),
        "tone": cells["due_on"].get("tone", "") if is_open else "done",
        "mark": cells["priority"].get("text") if is_open and row[_place(screen, NAMES, "priority")] == "High" else None,
        "person": cells["assignee"] if cells["assignee"]["kind"] == "person" else None,
        "version": row[_place(screen, NAMES, "version")],
    }


def _follow_ups(screen: Any, calendar_range: CalendarRange, viewer: Viewer, found: CalendarItems) -> list[_Entry]:
    """Next follow-ups of open leads."""
    leads = registered("screens").get(Lead)
    if leads is None or not viewer.person.may("Leads", "read"):
        return []
    table = leads.record_table
    if table.by_name["next_follow_up_on"].is_hidden(viewer):
        return []
    rules = _assignee_rules(screen, table, viewer)
    found.is_filtered = rules is None
    if rules is None:
        return []
    meanings = viewer.lookups.meanings["lead_status"]
    is_open = Lead.status_id.in_([key for key, meaning in meanings.items() if meaning not in Lead.ended_in])
    spans = _spans_of_follow_ups(calendar_range, found)
    if not spans:
        return []
    within = [or_(*[and_(*_within(table, "next_follow_up_on", span, viewer)) for span in spans])]
    order = _order(table, "next_follow_up_on", viewer)
    query = ListQuery([*table.base_conditions(), *rules, is_open, *within], order, found.most + 1)
    rows = list(table.rows(db.session(), query, _LEAD_NAMES))
    found.leads_cut = len(rows) > found.most
    due = _place(leads, _LEAD_NAMES, "next_follow_up_on")
    return [_entry("lead", row, row[due], viewer) for row in rows[: found.most]]


def _spans_of_follow_ups(calendar_range: CalendarRange, found: CalendarItems) -> list[tuple[datetime, datetime]]:
    """When it is known which leads have a task: up to the last task shown, and not on days with more than were read."""
    if not found.cut_days:
        return [(calendar_range.start, found.until or calendar_range.end)]
    days = [_span_of(day, calendar_range) for day in calendar_range.days if day.isoformat() not in found.cut_days]
    # Days that follow each other are one span: a moment that is both an end and a start isn't among these.
    ends = sorted({start for start, _end in days} ^ {end for _start, end in days})
    return list(zip(ends[::2], ends[1::2], strict=True))


def _assignee_rules(screen: Any, table: Any, viewer: Viewer) -> list[Any] | None:
    """The list's filters by assignee, applied to leads; None if it is filtered by anything else."""
    given = filters_of(screen, request.args)
    if any(request.args.get(key) for key in ("q", "where")) or any(name != "assignee" for _key, _op, name, _v in given):
        return None
    return [table.filter_clause(name, op, value, viewer) for _key, op, name, value in given]


def _lead_item(leads: Any, row: Any, viewer: Viewer) -> dict[str, Any]:
    cells, key = _cells(leads, _LEAD_NAMES, row, viewer), row[0]
    moment = row[_place(leads, _LEAD_NAMES, "next_follow_up_on")]
    number = cells["number"].get("text")
    address = row_url(leads.route_base, key, number)
    return _placed(moment, viewer) | {
        "kind": "lead",
        "id": key,
        "base": f"{leads.route_base}/",
        "url": address,
        "href": address,
        "title": _("Follow up: %(name)s", name=cells["name"].get("text") or number or key),
        "about": number,
        "tone": "late" if moment < viewer.now else "",
        "mark": None,
        "person": None,
        "version": None,
    }
