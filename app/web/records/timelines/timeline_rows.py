"""The rows behind the tabs of a timeline: conditions, order, and paging.

A timeline belongs to one record or several, such as a customer with their leads and tickets. The session's access rules
apply to every statement, so a person sees of each record what its own page would show them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import and_, or_, select

from app.access.compiled_statements import listed
from app.domain.base import RuleBroken
from app.domain.searchable_notes import NOTES
from app.domain.tasks import OPEN
from app.extensions import db
from app.generated_titles import shown_title
from app.lib.ids import parse_id
from app.models import Activity, CallLog, Message, MessageFile, Task
from app.web.core.fab_access import parse_integer
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.default_labels import shown_label
from app.web.core.queries.prepared_queries import PreparedQuery
from app.web.core.viewer import Viewer
from app.web.records.timelines import call_entries, message_entries, timeline_entries
from app.web.records.timelines.timeline_filters import KINDS, Records, TimelineQuery

PAGE = 30
#: Kinds of records with a column of their own in other tables.
PARENTS = ("lead", "ticket", "customer", "task")
CHANGES = ("status_change", "field_change", "assignment", "proposal")
Entry = dict[str, Any]


@dataclass(frozen=True)
class TimelinePage:
    """One page of a tab."""

    #: In the format of the tab's template.
    entries: list[Entry] = field(default_factory=list)
    #: `before` of the next page; "" = this is the last one.
    older: str = ""


def belongs(model: Any, records: Records) -> Any:
    """The condition for rows of these records; None if the model has no column for any of them."""
    rules = by_column(model, records)
    return or_(*rules) if rules else None


def by_column(model: Any, records: Records) -> list[Any]:
    """The conditions for rows of these records, one for each column, and so for each index."""
    keys: dict[str, list[int]] = {}
    for kind, key in records:
        if kind in PARENTS and hasattr(model, f"{kind}_id"):
            keys.setdefault(f"{kind}_id", []).append(key)
    rules = [_of(getattr(model, name), ids) for name, ids in keys.items()]
    if model is Activity:
        others = [each for each in records if each[0] not in PARENTS]
        rules += [and_(Activity.record_kind == kind, Activity.record_id == key) for kind, key in others]
    return rules


def _of(column: Any, ids: list[int]) -> Any:
    return column == ids[0] if len(ids) == 1 else column.in_(listed(sorted(ids)))


# --- keysets


def newest_first(column: Any, records: Records) -> Any:
    """The order by a table's id.

    For several records it must not match an index, or MariaDB might read the table backwards.
    """
    return column.desc() if len(records) == 1 else (column + 0).desc()


def _page(query: PreparedQuery, rules: Iterable[Any], timeline_query: TimelineQuery) -> list[Any]:
    return query.where(db.session(), list(rules), timeline_query.seen)


def _after_id(column: Any, timeline_query: TimelineQuery) -> list[Any]:
    """The condition for rows after this position, newest first by id."""
    return [column < parse_integer(timeline_query.before, 0, 1, 2**62)] if timeline_query.before else []


def _older(rows: list[Any], cursor: Callable[[Any], str]) -> str:
    return cursor(rows[-1]) if len(rows) == PAGE else ""


def _cursor(moment: datetime | None, key: int) -> str:
    return f"{moment.isoformat() if moment else ''}~{key}"


def _parse_cursor(text: str) -> tuple[datetime | None, int]:
    written, _sign, number = text.rpartition("~")
    key = parse_id(number)
    try:
        moment = datetime.fromisoformat(written) if written else None
    except ValueError:
        key = None
    if key is None or (moment is not None and moment.tzinfo is None):
        raise RuleBroken(_("This address is not complete. Please open the record again."))
    return moment, key


# --- activity, notes, changes


def activity(timeline_query: TimelineQuery, viewer: Viewer) -> TimelinePage:
    """A page of all events, with consecutive changes folded."""
    return _lines(timeline_query, KINDS[timeline_query.kind][1] if timeline_query.kind else (), viewer)


def notes(timeline_query: TimelineQuery, viewer: Viewer) -> TimelinePage:
    """A page of notes and comments."""
    return _lines(timeline_query, NOTES, viewer)


def changes(timeline_query: TimelineQuery, viewer: Viewer) -> TimelinePage:
    """A page of the old and new values of fields, statuses and assignments, one entry per save."""
    rows = _activities(timeline_query, CHANGES, viewer)
    return TimelinePage([timeline_entries.changed(row, viewer) for row in rows], _older(rows, lambda row: str(row.id)))


def _lines(timeline_query: TimelineQuery, kinds: tuple[str, ...], viewer: Viewer) -> TimelinePage:
    rows = _activities(timeline_query, kinds, viewer)
    return TimelinePage(
        timeline_entries.entries(rows, viewer, timeline_query.parent), _older(rows, lambda row: str(row.id))
    )


def _activities(timeline_query: TimelineQuery, kinds: tuple[str, ...], viewer: Viewer) -> list[Any]:
    rules = [*timeline_query.rules(Activity.actor_id, Activity.at, viewer), *_after_id(Activity.id, timeline_query)]
    rules += [Activity.kind.in_(kinds)] if kinds else []
    if not rules and timeline_query.parent is not None:
        kind, key = timeline_query.parent
        return _newest_lines().of_one(db.session(), getattr(Activity, f"{kind}_id"), key, kind)
    own = by_column(Activity, timeline_query.records)
    if len(own) == 1:
        query = _newest_lines() if len(timeline_query.records) == 1 else _newest_of_several()
        return _page(query, [*own, *rules], timeline_query)
    return _newest_of_several().newest_of_any(db.session(), Activity.id, own, rules, PAGE)


@lru_cache
def _newest_lines() -> PreparedQuery:
    return _lines_by(Activity.id.desc())


@lru_cache
def _newest_of_several() -> PreparedQuery:
    return _lines_by((Activity.id + 0).desc())


def _lines_by(order: Any) -> PreparedQuery:
    line = Activity
    columns = (line.id, line.kind, line.at, line.actor_id, line.payload, line.edited_on)
    query = select(*columns, line.lead_id, line.ticket_id, line.customer_id)
    return PreparedQuery.of(query.order_by(order).limit(PAGE), Activity)


# --- tasks


def tasks(timeline_query: TimelineQuery, viewer: Viewer) -> TimelinePage:
    """A page of open tasks, the next first; or of ended ones, the latest first."""
    rules = [belongs(Task, timeline_query.records), *timeline_query.rules(Task.assignee_id, Task.created_on, viewer)]
    if timeline_query.part == "done":
        rows = _page(
            _tasks(False), [*rules, Task.status.not_in(OPEN), *_after_id(Task.id, timeline_query)], timeline_query
        )
        return TimelinePage([_task(row, viewer) for row in rows], _older(rows, lambda row: str(row.id)))
    rows = _page(_tasks(True), [*rules, Task.status.in_(OPEN), *_due_later(timeline_query)], timeline_query)
    return TimelinePage([_task(row, viewer) for row in rows], _older(rows, lambda row: _cursor(row.due_on, row.id)))


def _due_later(timeline_query: TimelineQuery) -> list[Any]:
    """The condition for open tasks after this position, by due time, those without one at the end."""
    if not timeline_query.before:
        return []
    due, key = _parse_cursor(timeline_query.before)
    if due is None:
        return [Task.due_on.is_(None), Task.id > key]
    return [or_(Task.due_on > due, and_(Task.due_on == due, Task.id > key), Task.due_on.is_(None))]


@lru_cache
def _tasks(is_open: bool) -> PreparedQuery:
    columns = (Task.id, Task.title, Task.description, Task.status, Task.priority, Task.due_on, Task.done_on)
    order = (Task.due_on.is_(None), Task.due_on, Task.id) if is_open else (Task.id.desc(),)
    query = select(*columns, Task.assignee_id, Task.lead_id, Task.ticket_id)
    return PreparedQuery.of(query.order_by(*order).limit(PAGE), Task)


def _task(row: Any, viewer: Viewer) -> Entry:
    card, is_open = viewer.lookups.person(row.assignee_id), row.status in OPEN
    may_finish = is_open and viewer.person.may("Tasks", "write")
    return {
        "id": row.id,
        "title": shown_title(row.title),
        "text": row.description,
        "url": f"/tasks/show/{row.id}",
        "status": row.status,
        "urgent": shown_label(row.priority) if row.priority == "High" and is_open else "",
        "is_open": is_open,
        "when": moment_cell(row.due_on if is_open else row.done_on or row.due_on, viewer, is_open),
        "assignee": person_card(card) if card else None,
        "done_url": f"/tasks/done/{row.id}" if may_finish else None,
        "of": of_record(row),
    }


# --- calls


def calls(timeline_query: TimelineQuery, viewer: Viewer) -> TimelinePage:
    """A page of calls in their current state, by their start."""
    rules = [
        belongs(CallLog, timeline_query.records),
        *timeline_query.rules(CallLog.employee_id, CallLog.started_on, viewer),
    ]
    if timeline_query.before:
        at, key = _parse_cursor(timeline_query.before)
        earlier = and_(CallLog.started_on == at, CallLog.id < key)
        rules.append(or_(CallLog.started_on < at, earlier) if at is not None else CallLog.id < key)
    rows = call_entries.newest_calls(rules, PAGE)
    entries = _owned(call_entries.entries(rows, viewer), rows)
    return TimelinePage(entries, _older(rows, lambda row: _cursor(row.started_on, row.id)))


# --- messages and their files


def messages(channel: str) -> Callable[[TimelineQuery, Viewer], TimelinePage]:
    """The function that loads a page of the messages of one channel."""

    def page(timeline_query: TimelineQuery, viewer: Viewer) -> TimelinePage:
        rules = [belongs(Message, timeline_query.records), Message.channel == channel]
        rules += timeline_query.rules(Message.created_by_id, Message.created_on, viewer)
        order = newest_first(Message.id, timeline_query.records)
        rows = message_entries.newest_messages([*rules, *_after_id(Message.id, timeline_query)], order, PAGE)
        return TimelinePage(_owned(message_entries.entries(rows, viewer), rows), _older(rows, lambda row: str(row.id)))

    return page


def _owned(entries: list[Entry], rows: list[Any]) -> list[Entry]:
    """The entries, each with the record that its row belongs to."""
    return [entry | {"of": of_record(row)} for entry, row in zip(entries, rows, strict=True)]


def files(timeline_query: TimelineQuery, viewer: Viewer) -> TimelinePage:
    """A page of the files of messages."""
    rules = [
        belongs(Message, timeline_query.records),
        *timeline_query.rules(Message.created_by_id, Message.created_on, viewer),
    ]
    rows = message_entries.newest_files(
        [*rules, *_after_file(timeline_query)], newest_first(Message.id, timeline_query.records), PAGE
    )
    return TimelinePage(
        message_entries.files_of(rows, viewer), _older(rows, lambda row: f"{row.message_id}.{row.place}")
    )


def _after_file(timeline_query: TimelineQuery) -> list[Any]:
    """The condition for files after this position: by message, newest first, and by their index in it."""
    if not timeline_query.before:
        return []
    message, _dot, place = timeline_query.before.partition(".")
    key, after = parse_integer(message, 0, 1, 2**31 - 1), parse_integer(place, 0, 0, 1000)
    return [or_(Message.id < key, and_(Message.id == key, MessageFile.place > after))]


def of_record(row: Any) -> tuple[str, int] | None:
    """(kind, id) of the most specific record that a row belongs to."""
    found = ((kind, getattr(row, f"{kind}_id", None)) for kind in ("ticket", "lead", "customer"))
    return next(((kind, key) for kind, key in found if key is not None), None)
