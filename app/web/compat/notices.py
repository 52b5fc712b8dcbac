"""The predecessor's two lists of notices and its quick comments: one's own bell under its old names."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain import notices
from app.extensions import db
from app.models import Notification, Task
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.calls import NOTE, TASK
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.documents import documents
from app.web.compat.field_conversion import plain
from app.web.compat.list_query import rules
from app.web.compat.references import place_of
from app.web.compat.tickets import noted
from app.web.core.gate import current_viewer
from app.web.core.record_table import ListQuery

TOLD, BELL = DOCTYPES["CRM Task Notification"], DOCTYPES["CRM Notification"]
TALK = ("mention", "comment")
MOST = 200


def _listed(kind: Any, fit: list[Any], most: int) -> list[dict[str, Any]]:
    viewer = current_viewer()
    viewer.person.refuse_unless(kind.module, "read")
    own = (Notification.user_id == viewer.person.id, *fit)
    wanted = ListQuery(list(own), [Notification.id.desc()], most, newest=True)
    return documents(kind, wanted, ("name", *kind.fields), viewer)


def reminders(arguments: Arguments) -> list[dict[str, Any]]:
    """limit (20) -> one's newest notices but talk, each with title, status and priority of its task."""
    told = _listed(TOLD, [Notification.kind.not_in(TALK)], arguments.whole("limit", 20, 1, MOST))
    ids = [str(each["task"]) for each in told if each["task"]]
    viewer = current_viewer()
    fit = ListQuery(rules({"name": ["in", ids]}, TASK, viewer), [Task.id.desc()], MOST)
    names = ("name", "title", "status", "priority", "due_date")
    tasks = {doc["name"]: doc for doc in documents(TASK, fit, names, viewer)} if ids else {}
    for each in told:
        task = tasks.get(str(each["task"]), {})
        each |= {f"task_{name}": task.get(name) for name in names[1:]}
    return told


def read_one(arguments: Arguments) -> dict[str, Any]:
    """notification_name: one's own; another's is none."""
    row = client.row_of(TOLD, arguments.first("notification_name", "name"), "read")
    return _read([row.id])


def read_all(arguments: Arguments) -> dict[str, Any]:
    """All of one's own."""
    return _read(None)


def read_talk(arguments: Arguments) -> dict[str, Any]:
    """All of one's own that tell of talk: mentions and notes."""
    own = (
        Notification.user_id == current_viewer().person.id,
        Notification.read_on.is_(None),
        Notification.kind.in_(TALK),
    )
    return _read(list(db.session.scalars(select(Notification.id).where(*own))))


def _read(ids: list[int] | None) -> dict[str, Any]:
    viewer, session = current_viewer(), db.session()
    viewer.person.refuse_unless(TOLD.module, "read")
    done = notices.mark_read(session, viewer.person.id, viewer.now, ids)
    notices.rung(session, viewer.person.id)
    return {"success": True, "message": _("Marked as read."), "count": done}


def bell(arguments: Arguments) -> list[dict[str, Any]]:
    """One's newest notices of all kinds, as the old bell had them."""
    viewer = current_viewer()
    told = _listed(BELL, [], arguments.whole("limit", 50, 1, MOST))
    for each in told:
        card = viewer.lookups.people.get(viewer.lookups.find_person(each["from_user"]) or 0)
        each["from_user"] = {"name": each["from_user"], "full_name": card["full_name"] if card else None}
        each["hash"] = each["route_name"] = None
    return told


def read_about(arguments: Arguments) -> dict[str, Any]:
    """doc: the number of a record whose notices are read, or the name of one; nothing = all. Always one's own."""
    if "doc" not in arguments:
        return _read(None)
    name, viewer = arguments.text("doc"), current_viewer()
    field = "reference_name" if place_of(name) else "name"
    fit = ListQuery(rules({field: name}, BELL, viewer), [Notification.id.desc()], MOST)
    return _read([int(doc["name"]) for doc in documents(BELL, fit, ("name",), viewer)])


# --- talk


def talk(arguments: Arguments) -> dict[str, Any]:
    """limit (20), cursor, filter_type (mentions) -> {notifications, next_cursor, unread}."""
    size, cursor = arguments.whole("limit", 20, 1, 100), arguments.whole("cursor", 0, 0, 2**31 - 1)
    kinds = TALK[:1] if arguments.text("filter_type", "") == "mentions" else TALK
    fit = [Notification.kind.in_(kinds), *([Notification.id < cursor] if cursor else [])]
    told = _listed(TOLD, fit, size)
    unread = client.count_of(TOLD, [Notification.kind.in_(kinds), Notification.read_on.is_(None)])
    return {
        "success": True,
        "notifications": told,
        "unread": unread,
        "next_cursor": told[-1]["name"] if len(told) == size else None,
    }


def reply(arguments: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_docname, content -> the note, on a record that the person sees."""
    line = _commented(arguments)
    return {"success": True, "message": _("Your comment is written."), "name": str(line.id)}


def comment(arguments: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_name, content -> the note, as a comment; whoever signs it, it is one's own."""
    line = _commented(arguments)
    return client.whole_of(NOTE, str(line.id)) | {"doctype": "Comment", "comment_type": "Comment"}


def _commented(arguments: Arguments) -> Any:
    kind = client.record_kind(arguments.text("reference_doctype"), "CRM Lead", "CRM Ticket", "CRM Customer")
    row = client.row_of(kind, arguments.first("reference_docname", "reference_name"), "read")
    return noted(row, plain(arguments.text("content")), current_viewer())


def follow_ups(arguments: Arguments) -> list[dict[str, Any]]:
    """reference_doctype, reference_docname -> the open tasks that “Follow-up Complete” may close."""
    kind = client.record_kind(arguments.text("reference_doctype"), "CRM Lead", "CRM Ticket")
    viewer, name = current_viewer(), arguments.first("reference_docname", "reference_name")
    viewer.person.refuse_unless("Tasks", "read")
    row = client.row_of(kind, name, "read")
    parent = Task.lead_id if kind.name == "CRM Lead" else Task.ticket_id
    fit = [parent == row.id, *rules({"status": ["in", ["Backlog", "Todo", "In Progress"]]}, TASK, viewer)]
    return documents(TASK, ListQuery(fit, [Task.due_on, Task.id], MOST), ("name", *TASK.fields), viewer)
