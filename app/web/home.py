"""My day: what is overdue, what comes next, what is new; the page that people start from."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import render_template
from flask_appbuilder import IndexView, expose
from flask_babel import gettext as _
from sqlalchemy import func, or_, select

from app.domain.tasks import OPEN, Task
from app.extensions import db
from app.models import AssignmentRequest, Customer, Lead, Ticket
from app.web.fields import Glass
from app.web.gate import glass, signed_in
from app.web.moments import moment_cell

ROWS = 12


class HomeView(IndexView):
    """/"""

    index_template = "crm/home.html"

    @expose("/")
    @signed_in
    def index(self) -> Any:
        """My day."""
        seen = glass()
        sections = [*_task_parts(seen), _new_leads(seen), _tickets(seen), _requests(seen)]
        local = seen.now.astimezone(seen.zone)
        first = seen.who.full_name.split()[0] if seen.who.full_name else seen.who.username
        return render_template("crm/home.html", sections=sections, greeting=_greeting(local, first),
                               today=f"{local:%A, %-d %B %Y}")  # fmt: skip


def _greeting(local: datetime, name: str) -> str:
    if local.hour < 12:
        return _("Good morning, %(name)s", name=name)
    return _("Good afternoon, %(name)s", name=name) if local.hour < 17 else _("Good evening, %(name)s", name=name)


def _task_parts(seen: Glass) -> list[dict[str, Any]]:
    """My open tasks up to tonight in one statement, split by lateness."""
    local = seen.now.astimezone(seen.zone)
    tonight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    query = (
        select(Task.id, Task.title, Task.due_on, Lead.number, Ticket.number)
        .outerjoin(Lead, Lead.id == Task.lead_id).outerjoin(Ticket, Ticket.id == Task.ticket_id)
        .where(Task.assignee_id == seen.who.id, Task.status.in_(OPEN), Task.due_on < tonight)
        .order_by(Task.due_on).limit(3 * ROWS)
    )  # fmt: skip
    rows = db.session.execute(query).all()
    soon = seen.now + timedelta(hours=2)
    late = [row for row in rows if row[2] < seen.now]
    near = [row for row in rows if seen.now <= row[2] < soon]
    later = [row for row in rows if row[2] >= soon]
    parts = ((_("Overdue"), "alarm", "red", late), (_("Next two hours"), "clock", "amber", near),
             (_("Later today"), "calendar", "blue", later))  # fmt: skip
    return [_part(title, icon, tone, [_task_row(row, seen) for row in part]) for title, icon, tone, part in parts]


def _part(title: str, icon: str, tone: str, rows: list[dict[str, Any]], url: str | None = None) -> dict[str, Any]:
    return {"title": title, "icon": icon, "tone": tone, "count": len(rows), "rows": rows[:ROWS], "url": url}


def _task_row(row: Any, seen: Glass) -> dict[str, Any]:
    key, title, due, lead, ticket = row
    done = {"label": _("Done"), "icon": "check", "url": f"/tasks/done/{key}", "method": "post"}
    home = f"/leads/{lead}" if lead else f"/tickets/{ticket}" if ticket else f"/tasks/show/{key}"
    return {"url": home, "title": title, "subtitle": lead or ticket or "", "due": moment_cell(due, seen, True),
            "actions": [done]}  # fmt: skip


def _new_leads(seen: Glass) -> dict[str, Any]:
    """Mine, new and untouched."""
    new = [key for key, meaning in seen.cards.meanings["lead_status"].items() if meaning == "new"]
    if not seen.who.may("Leads", "read"):
        return _part(_("New leads"), "sparkles", "teal", [])
    query = (
        select(Lead.number, Lead.created_on, func.coalesce(Customer.first_name, Lead.first_name),
               func.coalesce(Customer.last_name, Lead.last_name))
        .outerjoin(Customer, Customer.id == Lead.customer_id)
        .where(Lead.assignee_id == seen.who.id, Lead.status_id.in_(new)).order_by(Lead.id.desc()).limit(ROWS)
    )  # fmt: skip
    rows = [{"url": f"/leads/{number}", "title": " ".join(n for n in (first, last) if n) or number, "subtitle": number,
             "due": moment_cell(made, seen), "actions": []}
            for number, made, first, last in db.session.execute(query)]  # fmt: skip
    return _part(_("New leads"), "sparkles", "teal", rows, "/leads/?_flt_eq_assignee=@me")


def _tickets(seen: Glass) -> dict[str, Any]:
    """Mine, whose answer or resolution is owed soon."""
    if not seen.who.may("Tickets", "read"):
        return _part(_("Tickets due"), "lifebuoy", "orange", [])
    soon = seen.now + timedelta(hours=4)
    query = select(Ticket.number, Ticket.title, Ticket.resolve_due_on, Ticket.reply_due_on).where(
        Ticket.assignee_id == seen.who.id, or_(Ticket.resolve_due_on < soon, Ticket.reply_due_on < soon)
    )
    rows = [{"url": f"/tickets/{number}", "title": title, "subtitle": number,
             "due": moment_cell(reply or resolve, seen, True), "actions": []}
            for number, title, resolve,
            reply in db.session.execute(query.order_by(Ticket.resolve_due_on).limit(ROWS))]  # fmt: skip
    return _part(_("Tickets due"), "lifebuoy", "orange", rows, "/tickets/?_flt_eq_assignee=@me")


def _requests(seen: Glass) -> dict[str, Any]:
    """Requests that wait for my decision."""
    if not seen.who.may("Requests", "write"):
        return _part(_("Requests waiting for you"), "clipboard-check", "violet", [])
    query = select(
        AssignmentRequest.id, AssignmentRequest.number, AssignmentRequest.reason, AssignmentRequest.created_on
    )
    query = query.where(AssignmentRequest.status == "Pending").order_by(AssignmentRequest.id).limit(ROWS)
    rows = [{"url": f"/requests/{number}", "title": reason, "subtitle": number, "due": moment_cell(made, seen),
             "actions": [{"label": _("Approve"), "icon": "check", "url": f"/requests/decide/{key}?approve=1",
                          "method": "post"}]}
            for key, number, reason, made in db.session.execute(query)]  # fmt: skip
    return _part(_("Requests waiting for you"), "clipboard-check", "violet", rows, "/requests/")
