"""The table of what each person has done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.domain.analytics.figure_counts import mean
from app.domain.analytics.figure_tables import ByPerson
from app.lib.digit_grouping import grouped
from app.models import CallLog, Lead, Task, Ticket
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.durations import days_and_hours, span
from app.web.core.viewer import Viewer
from app.web.dashboards.filters import Filters
from app.web.dashboards.widget_data import kinds_of_people
from app.web.dashboards.widget_kinds import MAX_BARS


@dataclass(frozen=True)
class _Column:
    """A figure of each person; `over`: the count by which it is divided, for a mean in seconds."""

    label: Any
    name: str
    over: str = ""
    is_time: bool = False
    #: Whether the list is filtered by the assignee, not by the record's owner.
    by_assignee: bool = False


_COLUMNS: dict[Any, tuple[_Column, ...]] = {
    Lead: (
        _Column(_l("Leads taken"), "leads_taken"),
        _Column(_l("Contacted"), "leads_taken_contacted"),
        _Column(_l("Converted"), "leads_taken_converted"),
        _Column(_l("First response to leads"), "lead_reply_seconds", "leads_contacted", by_assignee=True),
    ),
    Ticket: (
        _Column(_l("Tickets"), "tickets", by_assignee=True),
        _Column(_l("Resolved"), "tickets_ended", by_assignee=True),
        _Column(_l("First response to tickets"), "ticket_reply_seconds", "tickets_answered", by_assignee=True),
    ),
    Task: (
        _Column(_l("Tasks done"), "tasks_done"),
        _Column(_l("Done late"), "tasks_done_late"),
        _Column(_l("Overdue now"), "tasks_overdue"),
    ),
    CallLog: (
        _Column(_l("Calls"), "calls"),
        _Column(_l("Talk time"), "talk_seconds", is_time=True),
    ),
}


def people_table(people: ByPerson, filters: Filters, viewer: Viewer) -> dict[str, Any]:
    """{kind, columns, rows, is_empty}: people who took or converted most come first.

    People without any work are listed last if a person or team is chosen, and left out for everybody.
    """
    columns = [column for record in kinds_of_people(viewer) for column in _COLUMNS[record]]
    cards = viewer.lookups.people
    expected = (filters.people or frozenset()) & viewer.lookups.active
    shown = {key: values for key, values in people.items() if key in cards and any(values.values())}
    shown |= {key: {} for key in expected - shown.keys() if key in cards}
    order = sorted(shown, key=lambda key: (*[-shown[key].get(name, 0) for name in _ORDER], cards[key]["full_name"]))
    rows = [
        {
            "label": cards[key]["full_name"],
            "face": person_card(cards[key]),
            "url": filters.address("/dashboard/mine", who=str(key)),
            "cells": [_cell(each, key, shown[key], filters) for each in columns],
        }
        for key in order
    ]
    return {
        "kind": "people",
        "columns": [_("Person"), *[str(each.label) for each in columns]],
        "rows": rows,
        "is_empty": not rows,
    }


def people_bars(names: tuple[str, ...], people: ByPerson, filters: Filters, viewer: Viewer) -> dict[str, Any]:
    """{kind, columns, rows, is_empty}: some columns of the table, of those with the most."""
    known = {column.name: column for columns in _COLUMNS.values() for column in columns}
    columns, cards = [known[name] for name in names], viewer.lookups.people
    found = {key: values for key, values in people.items() if key in cards and values.get(names[0])}
    most = sorted(found, key=lambda key: (-found[key][names[0]], cards[key]["full_name"]))[:MAX_BARS]
    rows = [
        {
            "label": cards[key]["full_name"],
            "url": "",
            "cells": [_cell(each, key, found[key], filters) for each in columns],
        }
        for key in most
    ]
    heading = [_("Person"), *[str(each.label) for each in columns]]
    return {"kind": "bar", "columns": heading, "rows": rows, "is_empty": not rows}


_ORDER = ("leads_taken_converted", "leads_taken", "tickets", "calls")


def _cell(column: _Column, key: int, values: dict[str, int], filters: Filters) -> dict[str, Any]:
    number = values.get(column.name, 0)
    name = column.over or column.name
    who: dict[str, Any] = {"who": "", "_flt_eq_assignee": key} if column.by_assignee else {"who": key}
    url = filters.list_of(name, **who) if values.get(name) else ""
    if column.over:
        average = mean(number, values.get(column.over, 0))
        return {"text": "–" if average is None else waiting_time(average), "value": average or 0, "url": url}
    text = duration(number) if column.is_time else grouped(number)
    return {"text": text, "value": number, "url": url}


def duration(seconds: float) -> str:
    """Seconds as text, without the seconds from one hour on."""
    whole_seconds = round(seconds)
    return span(whole_seconds if whole_seconds < 3600 else whole_seconds // 60 * 60)


def waiting_time(seconds: float) -> str:
    """Seconds as in `duration`, in days from two days on."""
    hours = round(seconds) // 3600
    return duration(seconds) if hours < 48 else days_and_hours(hours)
