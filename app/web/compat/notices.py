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
from app.web.core.gate import glass
from app.web.core.record_table import Asked

TOLD, BELL = DOCTYPES["CRM Task Notification"], DOCTYPES["CRM Notification"]
TALK = ("mention", "comment")
MOST = 200


def _listed(kind: Any, fit: list[Any], most: int) -> list[dict[str, Any]]:
    seen = glass()
    seen.who.refuse_unless(kind.module, "read")
    own = (Notification.user_id == seen.who.id, *fit)
    wanted = Asked(list(own), [Notification.id.desc()], most, newest=True)
    return documents(kind, wanted, ("name", *kind.fields), seen)


def reminders(asked: Arguments) -> list[dict[str, Any]]:
    """limit (20) -> one's newest notices but talk, each with title, status and priority of its task."""
    told = _listed(TOLD, [Notification.kind.not_in(TALK)], asked.whole("limit", 20, 1, MOST))
    ids = [str(each["task"]) for each in told if each["task"]]
    seen = glass()
    fit = Asked(rules({"name": ["in", ids]}, TASK, seen), [Task.id.desc()], MOST)
    names = ("name", "title", "status", "priority", "due_date")
    tasks = {doc["name"]: doc for doc in documents(TASK, fit, names, seen)} if ids else {}
    for each in told:
        task = tasks.get(str(each["task"]), {})
        each |= {f"task_{name}": task.get(name) for name in names[1:]}
    return told


def read_one(asked: Arguments) -> dict[str, Any]:
    """notification_name: one's own; another's is none."""
    row = client.row_of(TOLD, asked.first("notification_name", "name"), "read")
    return _read([row.id])


def read_all(asked: Arguments) -> dict[str, Any]:
    """All of one's own."""
    return _read(None)


def read_talk(asked: Arguments) -> dict[str, Any]:
    """All of one's own that tell of talk: mentions and notes."""
    own = (Notification.user_id == glass().who.id, Notification.read_on.is_(None), Notification.kind.in_(TALK))
    return _read(list(db.session.scalars(select(Notification.id).where(*own))))


def _read(ids: list[int] | None) -> dict[str, Any]:
    seen, session = glass(), db.session()
    seen.who.refuse_unless(TOLD.module, "read")
    done = notices.mark_read(session, seen.who.id, seen.now, ids)
    notices.rung(session, seen.who.id)
    return {"success": True, "message": _("Marked as read."), "count": done}


def bell(asked: Arguments) -> list[dict[str, Any]]:
    """One's newest notices of all kinds, as the old bell had them."""
    seen = glass()
    told = _listed(BELL, [], asked.whole("limit", 50, 1, MOST))
    for each in told:
        card = seen.cards.people.get(seen.cards.find_person(each["from_user"]) or 0)
        each["from_user"] = {"name": each["from_user"], "full_name": card["full_name"] if card else None}
        each["hash"] = each["route_name"] = None
    return told


def read_about(asked: Arguments) -> dict[str, Any]:
    """doc: the number of a record whose notices are read, or the name of one; nothing = all. Always one's own."""
    if "doc" not in asked:
        return _read(None)
    name, seen = asked.text("doc"), glass()
    field = "reference_name" if place_of(name) else "name"
    fit = Asked(rules({field: name}, BELL, seen), [Notification.id.desc()], MOST)
    return _read([int(doc["name"]) for doc in documents(BELL, fit, ("name",), seen)])


# --- talk


def talk(asked: Arguments) -> dict[str, Any]:
    """limit (20), cursor, filter_type (mentions) -> {notifications, next_cursor, unread}."""
    size, cursor = asked.whole("limit", 20, 1, 100), asked.whole("cursor", 0, 0, 2**31 - 1)
    kinds = TALK[:1] if asked.text("filter_type", "") == "mentions" else TALK
    fit = [Notification.kind.in_(kinds), *([Notification.id < cursor] if cursor else [])]
    told = _listed(TOLD, fit, size)
    unread = client.count_of(TOLD, [Notification.kind.in_(kinds), Notification.read_on.is_(None)])
    return {
        "success": True,
        "notifications": told,
        "unread": unread,
        "next_cursor": told[-1]["name"] if len(told) == size else None,
    }


def reply(asked: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_docname, content -> the note, on a record that the person sees."""
    line = _commented(asked)
    return {"success": True, "message": _("Your comment is written."), "name": str(line.id)}


def comment(asked: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_name, content -> the note, as a comment; whoever signs it, it is one's own."""
    line = _commented(asked)
    return client.whole_of(NOTE, str(line.id)) | {"doctype": "Comment", "comment_type": "Comment"}


def _commented(asked: Arguments) -> Any:
    kind = client.record_kind(asked.text("reference_doctype"), "CRM Lead", "CRM Ticket", "CRM Customer")
    row = client.row_of(kind, asked.first("reference_docname", "reference_name"), "read")
    return noted(row, plain(asked.text("content")), glass())


def follow_ups(asked: Arguments) -> list[dict[str, Any]]:
    """reference_doctype, reference_docname -> the open tasks that “Follow-up Complete” may close."""
    kind = client.record_kind(asked.text("reference_doctype"), "CRM Lead", "CRM Ticket")
    seen, name = glass(), asked.first("reference_docname", "reference_name")
    seen.who.refuse_unless("Tasks", "read")
    row = client.row_of(kind, name, "read")
    parent = Task.lead_id if kind.name == "CRM Lead" else Task.ticket_id
    fit = [parent == row.id, *rules({"status": ["in", ["Backlog", "Todo", "In Progress"]]}, TASK, seen)]
    return documents(TASK, Asked(fit, [Task.due_on, Task.id], MOST), ("name", *TASK.fields), seen)
