"""The parts of My day: what of mine, and of those for whom I stand in, is late, near, new, promised or asked of me."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import g
from flask_babel import gettext as _
from sqlalchemy import Select, and_, case, func, or_, select, true

from app.domain import leads, tickets
from app.domain.tasks import ACTIVE, OPEN, Task
from app.extensions import db
from app.lib import phone
from app.models import AssignmentRequest, Customer, Lead, Ticket
from app.web.core.date_fields import moment_cell
from app.web.core.fields import Viewer
from app.web.core.record_table import COUNT_CAP
from app.web.workday import requests

#: So many rows a part shows; the others stand on its list.
ROWS = 12
#: So many a part shows when it was asked for alone.
ALONE = 100
#: So many tasks of the rest of the day are read to be parted in "soon" and "later".
DAY_ROWS = 60
#: Work due within this time is "soon"; a promise is shown as long before it would be broken.
SOON, PROMISED = timedelta(hours=2), timedelta(hours=4)

#: Whose the record is and how to reach them: the customer's words before the lead's own.
_PERSON = (
    func.coalesce(Customer.first_name, Lead.first_name).label("first"),
    func.coalesce(Customer.last_name, Lead.last_name).label("last"),
    func.coalesce(Customer.mobile_e164, Customer.mobile, Lead.mobile_e164, Lead.mobile).label("phone"),
    Customer.no_calls.label("no_calls"),
)
_CUSTOMER = (
    Customer.first_name.label("first"),
    Customer.last_name.label("last"),
    func.coalesce(Customer.mobile_e164, Customer.mobile).label("phone"),
    Customer.no_calls.label("no_calls"),
)


@dataclass
class DaySection:
    """One section of the page: its rows, how many there are in all, and where all of them stand."""

    name: str
    title: str
    icon: str
    tone: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    #: The list that holds all of them.
    url: str = ""

    @property
    def count_text(self) -> str:
        """The number for the heading; 1,000+ where counting stopped."""
        return f"{COUNT_CAP:,}+" if self.count > COUNT_CAP else str(self.count)


def parts(viewer: Viewer, only: str = "") -> list[DaySection]:
    """All parts of this person's day in the order of the page, or the one named, in full; at most ten statements."""
    makers = (tasks_of_today, new_leads, new_tickets, promised_leads, promised_tickets, requests_waiting, nobody_left)
    most = ALONE if only else ROWS
    made = [part for maker in makers for part in maker(viewer, most)]
    return [part for part in made if part.name == only] if only else made


# --- tasks


def tasks_of_today(viewer: Viewer, most: int) -> list[DaySection]:
    """My open tasks until tonight: overdue, within two hours, later."""
    local = viewer.now.astimezone(viewer.zone)
    tonight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    soon = viewer.now + SOON
    end = max(tonight, soon)
    late = _tasks(viewer, Task.due_on < viewer.now, most)
    ahead = _tasks(viewer, and_(Task.due_on >= viewer.now, Task.due_on < end), max(most, DAY_ROWS))
    near, later = [row for row in ahead if row.due_on < soon], [row for row in ahead if row.due_on >= soon]
    # Beyond what was read: of the whole day's number, what is not near is later.
    rest = max(len(later), (ahead[0].total if ahead else 0) - len(near))
    return [
        DaySection(
            "overdue",
            _("Overdue"),
            "alarm",
            "red",
            _task_rows(late, most, viewer),
            late[0].total if late else 0,
            _tasks_url(viewer, due_lt=viewer.now),
        ),
        DaySection(
            "soon",
            _("Next two hours"),
            "clock",
            "amber",
            _task_rows(near, most, viewer),
            len(near),
            _tasks_url(viewer, due_ge=viewer.now, due_lt=soon),
        ),
        DaySection(
            "later",
            _("Later today"),
            "calendar",
            "blue",
            _task_rows(later, most, viewer),
            rest,
            _tasks_url(viewer, due_ge=soon, due_lt=end),
        ),
    ]


def _tasks(viewer: Viewer, rule: Any, most: int) -> list[Any]:
    mine = (Task.assignee_id.in_(sorted(viewer.person.own_ids)), Task.status.in_(OPEN), rule)
    query = _task_query(_total(Task, *mine)).where(*mine).order_by(Task.due_on, Task.id)
    return list(db.session.execute(query.limit(most)))


def _task_query(total: Any) -> Select[Any]:
    columns = (
        Task.id,
        Task.title,
        Task.due_on,
        Task.version,
        Task.assignee_id,
        Task.lead_id,
        Task.ticket_id,
        Lead.number.label("lead"),
        Ticket.number.label("ticket"),
        *_PERSON,
        total,
    )
    return (
        select(*columns)
        .select_from(Task)
        .outerjoin(Lead, Lead.id == Task.lead_id)
        .outerjoin(Ticket, Ticket.id == Task.ticket_id)
        .outerjoin(Customer, Customer.id == func.coalesce(Lead.customer_id, Ticket.customer_id))
    )


def _total(record: Any, *rules: Any) -> Any:
    """How many rows fit, up to the cap, as a column of the same statement."""
    few = select(record.id).where(*rules).limit(COUNT_CAP + 1).subquery()
    return select(func.count()).select_from(few).scalar_subquery().label("total")


def _task_rows(rows: Iterable[Any], most: int, viewer: Viewer) -> list[dict[str, Any]]:
    return [_task_row(row, viewer) for row in list(rows)[:most]]


def _task_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    home = f"/leads/{row.lead}" if row.lead else f"/tickets/{row.ticket}" if row.ticket else f"/tasks/show/{row.id}"
    may_write = viewer.person.may("Tasks", "write")
    return _row(row, viewer) | {
        "key": f"task-{row.id}",
        "url": home,
        "title": row.title,
        "number": row.lead or row.ticket,
        "due": _due(row.due_on, viewer),
        "task": row.id if may_write else None,
        "next": may_write and viewer.person.may("Tasks", "create"),
        "person": "" if _name(row) in row.title else _name(row),
    }


def _due(due_on: datetime, viewer: Viewer) -> dict[str, Any]:
    """How late or how near; the time of day where that says more."""
    shown = moment_cell(due_on, viewer, True)
    local = due_on.astimezone(viewer.zone)
    is_later = due_on >= viewer.now + SOON and local.date() == viewer.now.astimezone(viewer.zone).date()
    return shown | {"text": f"{local:%H:%M}"} if is_later else shown


def nobody_left(viewer: Viewer, most: int) -> list[DaySection]:
    """For managers: overdue tasks of the team that every colleague had."""
    if not (viewer.person.is_manager and viewer.person.may("Tasks", "read")):
        return []
    reach = viewer.person.reach("Tasks")
    # "= 1": the database uses no index for IS TRUE.
    rules = [Task.exhausted == true(), Task.status.in_(ACTIVE), Task.assignee_id.not_in(sorted(viewer.person.own_ids))]
    if reach is not None:
        rules.append(Task.assignee_id.in_(sorted(reach)))
    query = _task_query(_total(Task, *rules)).where(*rules).order_by(Task.due_on, Task.id)
    found = list(db.session.execute(query.limit(most)))
    rows = [_stuck_row(row, viewer) for row in found]
    url = _listed("/tasks/", _flt_eq_exhausted="1", _flt_in_status=",".join(ACTIVE))
    return [_part("nobody", _("No one available"), "urgent", "red", found, rows, url)]


def _stuck_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    card = viewer.lookups.person(row.assignee_id)
    root = f"/leads/assign/{row.lead_id}" if row.lead else f"/tickets/assign/{row.ticket_id}" if row.ticket else None
    assign = [{"label": _("Assign"), "icon": "user-plus", "url": root}] if root else []
    told = _("with %(name)s", name=card["full_name"]) if card else ""
    return _task_row(row, viewer) | {"task": None, "actions": assign, "note": told, "mark": ""}


def _tasks_url(viewer: Viewer, **due: datetime) -> str:
    """The list of my open tasks, narrowed by due_lt and due_ge."""
    own = sorted(viewer.person.own_ids)
    whose = {"_flt_eq_assignee": "@me"} if len(own) == 1 else {"_flt_in_assignee": ",".join(map(str, own))}
    times = {f"_flt_{name[4:]}_due_on": moment.isoformat(timespec="seconds") for name, moment in due.items()}
    return _listed("/tasks/", **whose, _flt_in_status=",".join(OPEN), **times, _oc="due_on", _od="asc")


# --- new and untouched


def new_leads(viewer: Viewer, most: int) -> list[DaySection]:
    """My leads in the status that every lead begins with, newest first."""
    if not viewer.person.may("Leads", "read"):
        return []
    status = _statuses(viewer, "lead_status", {"new"})
    rules = (Lead.assignee_id.in_(sorted(viewer.person.own_ids)), Lead.status_id.in_(status))
    query = select(Lead.number, Lead.created_on, Lead.assignee_id, *_PERSON, _total(Lead, *rules))
    query = query.outerjoin(Customer, Customer.id == Lead.customer_id).where(*rules).order_by(Lead.id.desc())
    found = list(db.session.execute(query.limit(most)))
    rows = [_lead_row(row, viewer) | {"due": moment_cell(row.created_on, viewer)} for row in found]
    url = _whose_list("/leads/", viewer, status)
    return [_part("new-leads", _("New leads without activity"), "sparkles", "teal", found, rows, url)]


def new_tickets(viewer: Viewer, most: int) -> list[DaySection]:
    """My tickets in the status that every ticket begins with, newest first."""
    if not viewer.person.may("Tickets", "read"):
        return []
    status = _statuses(viewer, "ticket_status", {"new"})
    rules = (Ticket.assignee_id.in_(sorted(viewer.person.own_ids)), Ticket.status_id.in_(status))
    columns = (Ticket.number, Ticket.title, Ticket.created_on, Ticket.assignee_id, *_CUSTOMER, _total(Ticket, *rules))
    query = select(*columns).outerjoin(Customer, Customer.id == Ticket.customer_id).where(*rules)
    found = list(db.session.execute(query.order_by(Ticket.id.desc()).limit(most)))
    rows = [_ticket_row(row, viewer) | {"due": moment_cell(row.created_on, viewer)} for row in found]
    url = _whose_list("/tickets/", viewer, status)
    return [_part("new-tickets", _("New tickets without activity"), "inbox", "teal", found, rows, url)]


def _whose_list(root: str, viewer: Viewer, statuses: Iterable[int]) -> str:
    own = sorted(viewer.person.own_ids)
    whose = {"_flt_eq_assignee": "@me"} if len(own) == 1 else {"_flt_in_assignee": ",".join(map(str, own))}
    return _listed(root, **whose, _flt_in_status=",".join(map(str, statuses)))


# --- promises


def promised_leads(viewer: Viewer, most: int) -> list[DaySection]:
    """My leads whose first answer, or end, is owed within four hours, or late; a clock that stands still is not."""
    if not viewer.person.may("Leads", "read"):
        return []
    rules = _promised(Lead, viewer, _open_statuses(viewer, "lead_status", leads.TERMINAL))
    columns = (Lead.number, Lead.reply_due_on, Lead.assignee_id, _owed(Lead), *_PERSON, _total(Lead, *rules))
    query = select(*columns).outerjoin(Customer, Customer.id == Lead.customer_id).where(*rules)
    found = list(db.session.execute(query.order_by(_owed(Lead), Lead.id).limit(most)))
    rows = [_lead_row(row, viewer) | _promise(row, viewer) for row in found]
    title = _("Leads to respond to soon")
    return [_part("sla-leads", title, "hourglass", "orange", found, rows, "/?only=sla-leads")]


def promised_tickets(viewer: Viewer, most: int) -> list[DaySection]:
    """My tickets whose first answer, or resolution, is owed within four hours, or late."""
    if not viewer.person.may("Tickets", "read"):
        return []
    rules = _promised(Ticket, viewer, _open_statuses(viewer, "ticket_status", tickets.ENDED))
    columns = (Ticket.number, Ticket.title, Ticket.reply_due_on, Ticket.assignee_id, _owed(Ticket), *_CUSTOMER)
    query = select(*columns, _total(Ticket, *rules)).outerjoin(Customer, Customer.id == Ticket.customer_id)
    query = query.where(*rules).order_by(_owed(Ticket), Ticket.id).limit(most)
    found = list(db.session.execute(query))
    rows = [_ticket_row(row, viewer) | _promise(row, viewer) for row in found]
    title = _("Tickets to respond to or resolve soon")
    return [_part("sla-tickets", title, "hourglass", "orange", found, rows, "/?only=sla-tickets")]


def _promised(record: Any, viewer: Viewer, open_statuses: list[int]) -> tuple[Any, ...]:
    mine = record.assignee_id.in_(sorted(viewer.person.own_ids))
    near = or_(record.reply_due_on < viewer.now + PROMISED, record.resolve_due_on < viewer.now + PROMISED)
    return mine, record.status_id.in_(open_statuses), record.paused_on.is_(None), near


def _owed(record: Any) -> Any:
    """The earlier of the two promises."""
    reply, resolve = record.reply_due_on, record.resolve_due_on
    first = case((reply.is_(None), resolve), (resolve.is_(None), reply), (reply < resolve, reply), else_=resolve)
    return first.label("owed_on")


def _promise(row: Any, viewer: Viewer) -> dict[str, Any]:
    is_reply = row.reply_due_on is not None and row.owed_on == row.reply_due_on
    return {"due": moment_cell(row.owed_on, viewer, True), "note": _("first response") if is_reply else _("resolution")}


def _statuses(viewer: Viewer, master: str, meanings: Iterable[str]) -> list[int]:
    return [key for key, meaning in viewer.lookups.meanings[master].items() if meaning in meanings]


def _open_statuses(viewer: Viewer, master: str, ended: Iterable[str]) -> list[int]:
    return [key for key, meaning in viewer.lookups.meanings[master].items() if meaning not in ended]


# --- requests


def requests_waiting(viewer: Viewer, most: int) -> list[DaySection]:
    """Requests that I may decide, the longest waiting first."""
    if not viewer.person.may("Requests", "write"):
        return []
    asked, rule = AssignmentRequest, requests.waiting(viewer.person)
    columns = (asked.id, asked.number, asked.reason, asked.created_on, asked.requested_user_id, asked.created_by_id)
    query = select(*columns, Lead.number.label("lead"), Ticket.number.label("ticket"), _total(asked, rule))
    query = query.outerjoin(Lead, Lead.id == asked.lead_id).outerjoin(Ticket, Ticket.id == asked.ticket_id)
    found = list(db.session.execute(query.where(rule).order_by(asked.id).limit(most)))
    # The menu's badge says the same number: it need not ask again.
    g.waiting = min(found[0].total if found else 0, requests.MOST_COUNTED)
    rows, title = [_request_row(row, viewer) for row in found], _("Requests waiting for my decision")
    return [_part("requests", title, "clipboard-check", "violet", found, rows, "/requests/?tab=waiting")]


def _request_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    by, for_ = viewer.lookups.person(row.created_by_id), viewer.lookups.person(row.requested_user_id)
    names = {"by": by["full_name"] if by else "–", "to": for_["full_name"] if for_ else "–"}
    title = _("%(by)s requests %(record)s for %(to)s", record=row.lead or row.ticket or _("a record"), **names)
    actions = [
        {"label": _("Approve"), "icon": "check", "url": f"/requests/decide/{row.id}?approve=1", "method": "post"},
        {"label": _("Reject"), "icon": "x", "url": f"/requests/reject/{row.id}"},
    ]
    return _BARE | {
        "key": str(row.id),
        "url": f"/requests/{row.number}",
        "title": title,
        "number": row.number,
        "note": row.reason,
        "due": moment_cell(row.created_on, viewer),
        "actions": actions,
    }


# --- rows


def _part(name: str, title: str, icon: str, tone: str, found: list[Any], rows: list[Any], url: str) -> DaySection:
    named = [row | {"key": f"{name}-{row['key']}"} for row in rows]  # one record may stand in two parts
    return DaySection(name, title, icon, tone, named, found[0].total if found else 0, url)


#: What every row has for its template, whatever it is a row of.
_BARE: dict[str, Any] = {"person": "", "note": "", "mark": "", "call": None, "task": None, "next": False, "actions": []}


def _row(row: Any, viewer: Viewer) -> dict[str, Any]:
    """What every row of a lead, ticket or task says of its person."""
    return _BARE | {"person": _name(row), "call": _call(row, viewer), "mark": _stand_in(row.assignee_id, viewer)}


def _lead_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    title = _name(row) or row.number
    return _row(row, viewer) | {
        "key": row.number,
        "url": f"/leads/{row.number}",
        "title": title,
        "number": row.number,
        "person": "",
    }


def _ticket_row(row: Any, viewer: Viewer) -> dict[str, Any]:
    address = f"/tickets/{row.number}"
    return _row(row, viewer) | {
        "key": row.number,
        "url": address,
        "title": row.title or row.number,
        "number": row.number,
    }


def _name(row: Any) -> str:
    return " ".join(part for part in (row.first, row.last) if part)


def _call(row: Any, viewer: Viewer) -> dict[str, str] | None:
    """The number to dial; nothing of one that the person may not see in full; a word where calls are not wanted."""
    if row.no_calls:
        return {"never": _("Do not call")}
    if not row.phone or viewer.person.mask("mobile") != "full":
        return None
    return {"tel": row.phone, "text": phone.display(row.phone)}


def _stand_in(user_id: int | None, viewer: Viewer) -> str:
    """Whose work it is, where it is not one's own."""
    card = viewer.lookups.person(user_id)
    if user_id == viewer.person.id or card is None:
        return ""
    return _("for %(name)s", name=card["full_name"].split()[0] if card["full_name"] else card["username"])


def _listed(root: str, **filters: str) -> str:
    return f"{root}?{urlencode(filters)}"
