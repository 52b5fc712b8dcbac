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
from app.web.compat.documents import fetch_documents
from app.web.compat.field_conversion import html_to_text
from app.web.compat.list_query import parse_filters
from app.web.compat.references import target_of_number
from app.web.compat.tickets import write_note
from app.web.core.gate import current_viewer
from app.web.core.record_table import ListQuery

TOLD, BELL = DOCTYPES["CRM Task Notification"], DOCTYPES["CRM Notification"]
COMMENT_KINDS = ("mention", "comment")
MAX_NOTIFICATIONS = 200


def _own_notifications(doctype: Any, fit: list[Any], most: int) -> list[dict[str, Any]]:
    viewer = current_viewer()
    viewer.person.refuse_unless(doctype.module, "read")
    own = (Notification.user_id == viewer.person.id, *fit)
    wanted = ListQuery(list(own), [Notification.id.desc()], most, newest=True)
    return fetch_documents(doctype, wanted, ("name", *doctype.fields), viewer)


def list_task_notifications(arguments: Arguments) -> list[dict[str, Any]]:
    """limit (20) -> one's newest notices but talk, each with title, status and priority of its task."""
    notifications = _own_notifications(
        TOLD, [Notification.kind.not_in(COMMENT_KINDS)], arguments.integer("limit", 20, 1, MAX_NOTIFICATIONS)
    )
    ids = [str(each["task"]) for each in notifications if each["task"]]
    viewer = current_viewer()
    fit = ListQuery(parse_filters({"name": ["in", ids]}, TASK, viewer), [Task.id.desc()], MAX_NOTIFICATIONS)
    names = ("name", "title", "status", "priority", "due_date")
    tasks = {doc["name"]: doc for doc in fetch_documents(TASK, fit, names, viewer)} if ids else {}
    for each in notifications:
        task = tasks.get(str(each["task"]), {})
        each |= {f"task_{name}": task.get(name) for name in names[1:]}
    return notifications


def mark_read(arguments: Arguments) -> dict[str, Any]:
    """notification_name: one's own; another's is none."""
    row = client.get_record(TOLD, arguments.first_text("notification_name", "name"), "read")
    return _mark_read([row.id])


def mark_all_read(arguments: Arguments) -> dict[str, Any]:
    """All of one's own."""
    return _mark_read(None)


def mark_comments_read(arguments: Arguments) -> dict[str, Any]:
    """All of one's own that tell of talk: mentions and notes."""
    own = (
        Notification.user_id == current_viewer().person.id,
        Notification.read_on.is_(None),
        Notification.kind.in_(COMMENT_KINDS),
    )
    return _mark_read(list(db.session.scalars(select(Notification.id).where(*own))))


def _mark_read(ids: list[int] | None) -> dict[str, Any]:
    viewer, session = current_viewer(), db.session()
    viewer.person.refuse_unless(TOLD.module, "read")
    done = notices.mark_read(session, viewer.person.id, viewer.now, ids)
    notices.note_count_changed(session, viewer.person.id)
    return {"success": True, "message": _("Marked as read."), "count": done}


def list_notifications(arguments: Arguments) -> list[dict[str, Any]]:
    """One's newest notices of all kinds, as the old bell had them."""
    viewer = current_viewer()
    notifications = _own_notifications(BELL, [], arguments.integer("limit", 50, 1, MAX_NOTIFICATIONS))
    for each in notifications:
        card = viewer.lookups.people.get(viewer.lookups.find_person(each["from_user"]) or 0)
        each["from_user"] = {"name": each["from_user"], "full_name": card["full_name"] if card else None}
        each["hash"] = each["route_name"] = None
    return notifications


def mark_read_by_document(arguments: Arguments) -> dict[str, Any]:
    """doc: the number of a record whose notices are read, or the name of one; nothing = all. Always one's own."""
    if "doc" not in arguments:
        return _mark_read(None)
    name, viewer = arguments.text("doc"), current_viewer()
    field = "reference_name" if target_of_number(name) else "name"
    fit = ListQuery(parse_filters({field: name}, BELL, viewer), [Notification.id.desc()], MAX_NOTIFICATIONS)
    return _mark_read([int(doc["name"]) for doc in fetch_documents(BELL, fit, ("name",), viewer)])


# --- talk


def list_comment_notifications(arguments: Arguments) -> dict[str, Any]:
    """limit (20), cursor, filter_type (mentions) -> {notifications, next_cursor, unread}."""
    size, cursor = arguments.integer("limit", 20, 1, 100), arguments.integer("cursor", 0, 0, 2**31 - 1)
    kinds = COMMENT_KINDS[:1] if arguments.text("filter_type", "") == "mentions" else COMMENT_KINDS
    fit = [Notification.kind.in_(kinds), *([Notification.id < cursor] if cursor else [])]
    notifications = _own_notifications(TOLD, fit, size)
    unread = client.count_documents(TOLD, [Notification.kind.in_(kinds), Notification.read_on.is_(None)])
    return {
        "success": True,
        "notifications": notifications,
        "unread": unread,
        "next_cursor": notifications[-1]["name"] if len(notifications) == size else None,
    }


def quick_reply(arguments: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_docname, content -> the note, on a record that the person sees."""
    line = _write_comment(arguments)
    return {"success": True, "message": _("Your comment is written."), "name": str(line.id)}


def add_comment(arguments: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_name, content -> the note, as a comment; whoever signs it, it is one's own."""
    line = _write_comment(arguments)
    return client.read_document(NOTE, str(line.id)) | {"doctype": "Comment", "comment_type": "Comment"}


def _write_comment(arguments: Arguments) -> Any:
    doctype = client.record_doctype(arguments.text("reference_doctype"), "CRM Lead", "CRM Ticket", "CRM Customer")
    row = client.get_record(doctype, arguments.first_text("reference_docname", "reference_name"), "read")
    return write_note(row, html_to_text(arguments.text("content")), current_viewer())


def list_follow_up_tasks(arguments: Arguments) -> list[dict[str, Any]]:
    """reference_doctype, reference_docname -> the open tasks that “Follow-up Complete” may close."""
    doctype = client.record_doctype(arguments.text("reference_doctype"), "CRM Lead", "CRM Ticket")
    viewer, name = current_viewer(), arguments.first_text("reference_docname", "reference_name")
    viewer.person.refuse_unless("Tasks", "read")
    row = client.get_record(doctype, name, "read")
    parent = Task.lead_id if doctype.name == "CRM Lead" else Task.ticket_id
    fit = [parent == row.id, *parse_filters({"status": ["in", ["Backlog", "Todo", "In Progress"]]}, TASK, viewer)]
    return fetch_documents(
        TASK, ListQuery(fit, [Task.due_on, Task.id], MAX_NOTIFICATIONS), ("name", *TASK.fields), viewer
    )
