"""Methods for notifications, which are our notices, and for comments, which are our notes."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.notifications import notices
from app.domain.tasks import OPEN
from app.extensions import db
from app.models import Notification, Task
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import CUSTOMER, LEAD, NOTE, NOTIFICATION, TASK, TASK_NOTIFICATION, TICKET, DocType
from app.web.compat.documents import fetch_documents
from app.web.compat.filters import parse_filters
from app.web.compat.html_text import html_to_text
from app.web.compat.notes import write_note
from app.web.compat.references import target_of_number
from app.web.compat.responses import CompatError
from app.web.core.fab_access import current_viewer
from app.web.core.queries.list_query import ListQuery

#: Kinds of notices that are comment notifications.
COMMENT_KINDS = ("mention", "comment")
MAX_NOTIFICATIONS = 200


def _own_notifications(doctype: DocType, conditions: list[Any], limit: int) -> list[dict[str, Any]]:
    viewer = current_viewer()
    viewer.person.refuse_unless(doctype.module, "read")
    conditions = [Notification.user_id == viewer.person.id, *conditions]
    list_query = ListQuery(conditions, [Notification.id.desc()], limit, newest=True)
    return fetch_documents(doctype, list_query, ("name", *doctype.fields), viewer)


def list_task_notifications(arguments: Arguments) -> list[dict[str, Any]]:
    """limit (20) -> the person's newest notifications except comments, with fields of their tasks."""
    limit = arguments.integer("limit", 20, 1, MAX_NOTIFICATIONS)
    notifications = _own_notifications(TASK_NOTIFICATION, [Notification.kind.not_in(COMMENT_KINDS)], limit)
    fields = ("title", "status", "priority", "due_date")
    tasks = _tasks_by_name([str(each["task"]) for each in notifications if each["task"]], fields)
    for each in notifications:
        task = tasks.get(str(each["task"]), {})
        each |= {f"task_{field}": task.get(field) for field in fields}
    return notifications


def _tasks_by_name(names: list[str], fields: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    if not names:
        return {}
    viewer = current_viewer()
    conditions = parse_filters({"name": ["in", names]}, TASK, viewer)
    list_query = ListQuery(conditions, [Task.id.desc()], MAX_NOTIFICATIONS)
    return {doc["name"]: doc for doc in fetch_documents(TASK, list_query, ("name", *fields), viewer)}


def mark_read(arguments: Arguments) -> dict[str, Any]:
    """notification_name: a notification of the person. Raises NotFound for any other."""
    row = client.get_record(TASK_NOTIFICATION, arguments.first_text("notification_name", "name"), "read")
    return _mark_read([row.id])


def mark_all_read(arguments: Arguments) -> dict[str, Any]:
    """Marks all notifications of the person."""
    return _mark_read(None)


def mark_comments_read(arguments: Arguments) -> dict[str, Any]:
    """Marks all comment notifications of the person: mentions and notes."""
    unread = (
        Notification.user_id == current_viewer().person.id,
        Notification.read_on.is_(None),
        Notification.kind.in_(COMMENT_KINDS),
    )
    return _mark_read(list(db.session.scalars(select(Notification.id).where(*unread))))


def _mark_read(ids: list[int] | None) -> dict[str, Any]:
    """Mark these notifications of the person, or all."""
    viewer, session = current_viewer(), db.session()
    viewer.person.refuse_unless(TASK_NOTIFICATION.module, "read")
    count = notices.mark_read(session, viewer.person.id, viewer.now, ids)
    notices.note_count_changed(session, viewer.person.id)
    return {"success": True, "message": _("Marked as read."), "count": count}


def list_notifications(arguments: Arguments) -> list[dict[str, Any]]:
    """limit (50) -> the person's newest notifications of all kinds."""
    viewer = current_viewer()
    notifications = _own_notifications(NOTIFICATION, [], arguments.integer("limit", 50, 1, MAX_NOTIFICATIONS))
    for each in notifications:
        card = viewer.lookups.people.get(viewer.lookups.find_person(each["from_user"]) or 0)
        each["from_user"] = {"name": each["from_user"], "full_name": card["full_name"] if card else None}
        each["hash"] = each["route_name"] = None
    return notifications


def mark_read_by_document(arguments: Arguments) -> dict[str, Any]:
    """doc: a record's number or a notification's name; without it all. Only notifications of the person."""
    if "doc" not in arguments:
        return _mark_read(None)
    name, viewer = arguments.text("doc"), current_viewer()
    field = "reference_name" if target_of_number(name) else "name"
    conditions = parse_filters({field: name}, NOTIFICATION, viewer)
    list_query = ListQuery(conditions, [Notification.id.desc()], MAX_NOTIFICATIONS)
    return _mark_read([int(doc["name"]) for doc in fetch_documents(NOTIFICATION, list_query, ("name",), viewer)])


# --- comments


def list_comment_notifications(arguments: Arguments) -> list[dict[str, Any]]:
    """limit (20), cursor (the last name of the previous page), filter_type (mentions) -> comment notifications.

    Newest first, like the other lists of notifications. A snoozed one is left out until its time.
    """
    size, cursor = arguments.integer("limit", 20, 1, 100), arguments.integer("cursor", 0, 0, 2**31 - 1)
    kinds, viewer = _comment_kinds(arguments), current_viewer()
    conditions = [Notification.kind.in_(kinds), *([Notification.id < cursor] if cursor else [])]
    is_unread = arguments.text("filter_type", "") == "unread"
    conditions.append(notices.counts_as_unread(viewer.now) if is_unread else notices.not_snoozed(viewer.now))
    found = _own_notifications(TASK_NOTIFICATION, conditions, size)
    return [each | {"is_read": int(each["status"] == "Read"), "read": int(each["status"] == "Read")} for each in found]


def _comment_kinds(arguments: Arguments) -> tuple[str, ...]:
    """mentions means both kinds, as in the predecessor's panel. Raises CompatError (417) for another filter."""
    chosen = {"mentions": COMMENT_KINDS, "all": COMMENT_KINDS, "unread": COMMENT_KINDS, "mention": COMMENT_KINDS[:1]}
    word = arguments.text("filter_type", "mentions")
    if word not in chosen:
        raise CompatError(417, _("“%(name)s” isn't a filter here.", name=word[:40]))
    return chosen[word]


def quick_reply(arguments: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_docname, content -> the name of the new note."""
    activity = _write_comment(arguments)
    return {"success": True, "message": _("Your note is saved."), "name": str(activity.id)}


def add_comment(arguments: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_name, content -> the note as a comment; its author is always the person."""
    activity = _write_comment(arguments)
    return client.read_document(NOTE, str(activity.id)) | {"doctype": "Comment", "comment_type": "Comment"}


def _write_comment(arguments: Arguments) -> Any:
    doctype = client.record_doctype(arguments.text("reference_doctype"), LEAD.name, TICKET.name, CUSTOMER.name)
    row = client.get_record(doctype, arguments.first_text("reference_docname", "reference_name"), "read")
    return write_note(row, html_to_text(arguments.text("content")), current_viewer())


def list_follow_up_tasks(arguments: Arguments) -> list[dict[str, Any]]:
    """reference_doctype, reference_docname -> the open tasks that “Follow-up Complete” can close."""
    doctype = client.record_doctype(arguments.text("reference_doctype"), LEAD.name, TICKET.name)
    viewer, name = current_viewer(), arguments.first_text("reference_docname", "reference_name")
    viewer.person.refuse_unless("Tasks", "read")
    row = client.get_record(doctype, name, "read")
    parent = Task.lead_id if doctype is LEAD else Task.ticket_id
    conditions = [parent == row.id, *parse_filters({"status": ["in", list(OPEN)]}, TASK, viewer)]
    list_query = ListQuery(conditions, [Task.due_on, Task.id], MAX_NOTIFICATIONS)
    return fetch_documents(TASK, list_query, ("name", *TASK.fields), viewer)
