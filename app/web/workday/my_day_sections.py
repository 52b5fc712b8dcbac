"""The sections of My day: late, due, new and pending work, of the person and of those they cover for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import g
from flask_babel import gettext as _
from markupsafe import Markup
from sqlalchemy import func, select, true

from app import access
from app.domain import leads, tickets
from app.domain.tasks import ACTIVE, OPEN, Task
from app.lib.digit_grouping import capped
from app.models import AssignmentRequest, Customer, Lead, Ticket
from app.web.core.fields.date_fields import moment_cell
from app.web.core.queries.record_table import COUNT_CAP
from app.web.core.viewer import Viewer
from app.web.workday import assignment_requests
from app.web.workday import my_day_queries as queries
from app.web.workday.my_day_html import rows_html
from app.web.workday.my_day_queries import rows_of
from app.web.workday.my_day_rows import SOON, exhausted_task_row, lead_row, request_row, task_row, ticket_row

#: Rows of a section; its list shows all of them.
MAX_ROWS = 12
#: Rows of a section shown on its own (?only=).
MAX_ROWS_ALONE = 100
#: Tasks of the rest of the day that are loaded, to divide them into "soon" and "later".
MAX_DAY_ROWS = 60
#: SLA clocks are shown this long before they are due.
SLA_AHEAD = timedelta(hours=4)


@dataclass
class DaySection:
    """One section of the page: its rows, the number of all rows, and the list of all of them."""

    name: str
    title: str
    icon: str
    tone: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    #: Returns the URL of the list that holds all of them, which a page asks for only if there are more.
    link: Callable[[], str] = str

    @property
    def url(self) -> str:
        """The list that holds all of them."""
        return self.link()

    @property
    def rows_html(self) -> Markup:
        """The rows as HTML."""
        return rows_html(self.rows)

    @property
    def count_text(self) -> str:
        """The number for the heading; 1,000+ if counting stopped."""
        return capped(self.count, COUNT_CAP)


def sections(viewer: Viewer, only: str = "") -> list[DaySection]:
    """All sections in the order of the page, or the named one with more rows; at most ten statements."""
    loaders = (tasks_of_today, new_leads, new_tickets, sla_leads, sla_tickets, waiting_requests, exhausted_tasks)
    limit = MAX_ROWS_ALONE if only else MAX_ROWS
    sections = [section for load in loaders for section in load(viewer, limit)]
    return [section for section in sections if section.name == only] if only else sections


# --- tasks


def tasks_of_today(viewer: Viewer, limit: int) -> list[DaySection]:
    """My open tasks until tonight: overdue, within two hours, later."""
    local = viewer.now.astimezone(viewer.zone)
    tonight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    soon = viewer.now + SOON
    end = max(tonight, soon)
    late = _tasks(viewer, True, end, limit)
    ahead = _tasks(viewer, False, end, max(limit, MAX_DAY_ROWS))
    near, later = [row for row in ahead if row.due_on < soon], [row for row in ahead if row.due_on >= soon]
    # All tasks of the day that are not soon are later, including those that were not loaded.
    rest = max(len(later), (ahead[0].total if ahead else 0) - len(near))
    return [
        DaySection(
            "overdue",
            _("Overdue"),
            "alarm",
            "red",
            _task_rows(late, limit, viewer),
            late[0].total if late else 0,
            partial(_tasks_url, viewer, due_lt=viewer.now),
        ),
        DaySection(
            "soon",
            _("Next two hours"),
            "clock",
            "amber",
            _task_rows(near, limit, viewer),
            len(near),
            partial(_tasks_url, viewer, due_ge=viewer.now, due_lt=soon),
        ),
        DaySection(
            "later",
            _("Later today"),
            "calendar",
            "blue",
            _task_rows(later, limit, viewer),
            rest,
            partial(_tasks_url, viewer, due_ge=soon, due_lt=end),
        ),
    ]


def _tasks(viewer: Viewer, is_late: bool, end: datetime, maximum: int) -> list[Any]:
    until, own = {} if is_late else {"end": end}, _own_ids(viewer)
    values = queries.values_of(own) | until
    return rows_of(queries.own_tasks(is_late, len(own)), now=viewer.now, most=maximum, **values)


def _own_ids(viewer: Viewer) -> list[int]:
    """The viewer and those they cover for."""
    return sorted(viewer.person.own_ids)


def _task_rows(rows: Iterable[Any], limit: int, viewer: Viewer) -> list[dict[str, Any]]:
    return [task_row(row, viewer) for row in list(rows)[:limit]]


def exhausted_tasks(viewer: Viewer, limit: int) -> list[DaySection]:
    """The section, for managers, of overdue tasks that every colleague of the team has had."""
    if not (viewer.person.is_manager and viewer.person.may("Tasks", "read")):
        return []
    make = partial(_exhausted, viewer.person, limit)
    found = queries.compiled_rows("exhausted tasks", (limit, *_own_ids(viewer)), make)
    rows = [exhausted_task_row(row, viewer) for row in found]
    link = partial(_list_url, "/tasks/", _flt_eq_exhausted="1", _flt_in_status=",".join(ACTIVE))
    return [_filled(DaySection("nobody", _("No one available"), "urgent", "red", link=link), found, rows)]


def _exhausted(person: access.Person, limit: int) -> Any:
    reach = person.reach("Tasks")
    # "= 1": the database uses no index for IS TRUE.
    rules = [Task.exhausted == true(), Task.status.in_(ACTIVE), Task.assignee_id.not_in(sorted(person.own_ids))]
    if reach is not None:
        rules.append(Task.assignee_id.in_(sorted(reach)))
    query = queries.with_records(queries.capped_total(Task, *rules)).where(*rules).order_by(Task.due_on, Task.id)
    return query.limit(limit)


def _tasks_url(viewer: Viewer, **due: datetime) -> str:
    """The list of my open tasks, narrowed by due_lt and due_ge."""
    own = _own_ids(viewer)
    assignee = {"_flt_eq_assignee": "@me"} if len(own) == 1 else {"_flt_in_assignee": ",".join(map(str, own))}
    times = {f"_flt_{name[4:]}_due_on": moment.isoformat(timespec="seconds") for name, moment in due.items()}
    return _list_url("/tasks/", **assignee, _flt_in_status=",".join(OPEN), **times, _oc="due_on", _od="asc")


# --- new records


def new_leads(viewer: Viewer, limit: int) -> list[DaySection]:
    """My leads with a status of the meaning "new", newest first."""
    if not viewer.person.may("Leads", "read"):
        return []
    status = _statuses(viewer, "lead_status", {"new"})
    found = rows_of(queries.own_records(Lead), own=_own_ids(viewer), statuses=status, most=limit)
    rows = [lead_row(row, viewer) | {"due": moment_cell(row.created_on, viewer)} for row in found]
    link = partial(_own_list_url, "/leads/", viewer, status)
    return [_filled(DaySection("new-leads", _("New leads"), "sparkles", "teal", link=link), found, rows)]


def new_tickets(viewer: Viewer, limit: int) -> list[DaySection]:
    """My tickets with a status of the meaning "new", newest first."""
    if not viewer.person.may("Tickets", "read"):
        return []
    status = _statuses(viewer, "ticket_status", {"new"})
    found = rows_of(queries.own_records(Ticket), own=_own_ids(viewer), statuses=status, most=limit)
    rows = [ticket_row(row, viewer) | {"due": moment_cell(row.created_on, viewer)} for row in found]
    link = partial(_own_list_url, "/tickets/", viewer, status)
    return [_filled(DaySection("new-tickets", _("New tickets"), "inbox", "teal", link=link), found, rows)]


def _own_list_url(root: str, viewer: Viewer, statuses: Iterable[int]) -> str:
    own = _own_ids(viewer)
    assignee = {"_flt_eq_assignee": "@me"} if len(own) == 1 else {"_flt_in_assignee": ",".join(map(str, own))}
    return _list_url(root, **assignee, _flt_in_status=",".join(map(str, statuses)))


# --- SLA clocks


def sla_leads(viewer: Viewer, limit: int) -> list[DaySection]:
    """My leads whose first response or resolution is due within four hours, or late; not while the clock is paused."""
    if not viewer.person.may("Leads", "read"):
        return []
    found = _with_sla_due(Lead, viewer, _open_statuses(viewer, "lead_status", leads.TERMINAL), limit)
    rows = [lead_row(row, viewer) | _sla_cells(row, viewer) for row in found]
    title = _("Leads to respond to soon")
    return [
        _filled(
            DaySection("sla-leads", title, "hourglass", "orange", link=partial(str, "/?only=sla-leads")), found, rows
        )
    ]


def sla_tickets(viewer: Viewer, limit: int) -> list[DaySection]:
    """My tickets whose first response or resolution is due within four hours, or late."""
    if not viewer.person.may("Tickets", "read"):
        return []
    found = _with_sla_due(Ticket, viewer, _open_statuses(viewer, "ticket_status", tickets.ENDED), limit)
    rows = [ticket_row(row, viewer) | _sla_cells(row, viewer) for row in found]
    title = _("Tickets to respond to or resolve soon")
    return [
        _filled(
            DaySection("sla-tickets", title, "hourglass", "orange", link=partial(str, "/?only=sla-tickets")),
            found,
            rows,
        )
    ]


def _with_sla_due(record: Any, viewer: Viewer, open_statuses: list[int], maximum: int) -> list[Any]:
    until, own = viewer.now + SLA_AHEAD, _own_ids(viewer)
    values = queries.values_of(own) | {"statuses": open_statuses, "until": until}
    return rows_of(queries.records_due(record, len(own)), most=maximum, **values)


def _sla_cells(row: Any, viewer: Viewer) -> dict[str, Any]:
    is_reply = row.reply_due_on is not None and row.owed_on == row.reply_due_on
    return {"due": moment_cell(row.owed_on, viewer, True), "note": _("first response") if is_reply else _("resolution")}


def _statuses(viewer: Viewer, master: str, meanings: Iterable[str]) -> list[int]:
    return [key for key, meaning in viewer.lookups.meanings[master].items() if meaning in meanings]


def _open_statuses(viewer: Viewer, master: str, ended: Iterable[str]) -> list[int]:
    return [key for key, meaning in viewer.lookups.meanings[master].items() if meaning not in ended]


# --- requests


def waiting_requests(viewer: Viewer, limit: int) -> list[DaySection]:
    """Requests that I may decide, oldest first."""
    if not viewer.person.may("Requests", "write"):
        return []
    make = partial(_waiting, viewer.person, limit)
    found = queries.compiled_rows("waiting requests", (limit,), make, AssignmentRequest)
    # The sidebar's badge shows the same number and need not query it again.
    g.waiting = min(found[0].total if found else 0, assignment_requests.MAX_COUNTED)
    rows, title = [request_row(row, viewer) for row in found], _("Requests waiting for my decision")
    link = partial(str, "/requests/?tab=waiting")
    return [_filled(DaySection("requests", title, "clipboard-check", "violet", link=link), found, rows)]


def _waiting(person: access.Person, limit: int) -> Any:
    rule = assignment_requests.waiting_condition(person)
    names = ("id", "number", "reason", "created_on", "requested_user_id", "created_by_id")
    columns = [getattr(AssignmentRequest, name) for name in names]
    numbers = (Lead.number.label("lead"), Ticket.number.label("ticket"))
    query = select(*columns, *numbers, *queries.PERSON, queries.capped_total(AssignmentRequest, rule))
    query = query.outerjoin(Lead, Lead.id == AssignmentRequest.lead_id)
    query = query.outerjoin(Ticket, Ticket.id == AssignmentRequest.ticket_id)
    query = query.outerjoin(Customer, Customer.id == func.coalesce(Lead.customer_id, Ticket.customer_id))
    return query.where(rule).order_by(AssignmentRequest.id).limit(limit)


# --- rows


def _filled(section: DaySection, found: list[Any], rows: list[dict[str, Any]]) -> DaySection:
    """The section with these rows, and the total of the query that found them."""
    # A record can be in two sections: keys carry the section's name.
    section.rows = [row | {"key": f"{section.name}-{row['key']}"} for row in rows]
    section.count = found[0].total if found else 0
    return section


def _list_url(root: str, **filters: str) -> str:
    return f"{root}?{urlencode(filters)}"
