"""Methods for the timeline of a record: activities, calls, notes and tasks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from app.domain.files.attachments import newest
from app.domain.timeline import Activity
from app.extensions import db
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import CALL_LOG, DOCTYPES, TASK, DocType
from app.web.compat.doctypes.note import split_note
from app.web.compat.documents import fetch_documents
from app.web.compat.files import attachment_document
from app.web.compat.references import LEAD_TARGET, target_of_number
from app.web.compat.timestamps import local_timestamp
from app.web.compat.users import name_of
from app.web.core.fab_access import current_viewer
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.records.timelines import entry_texts

MAX_ROWS = 100
#: Our kind of activity -> the predecessor's type; "added" for others.
_ACTIVITY_TYPES = {
    "note": "comment",
    "comment": "comment",
    "system": "creation",
    "status_change": "changed",
    "field_change": "changed",
    "message": "communication",
}


def get_activities(arguments: Arguments) -> list[list[dict[str, Any]]]:
    """name (of a lead, ticket or customer), limit (20), offset -> [activities, calls, notes, tasks, attachments]."""
    viewer, name = current_viewer(), arguments.text("name")
    target = target_of_number(name)
    if target is None:
        raise client.not_found("Document", name)
    row = client.get_record(DOCTYPES[target.doctype], name, "read")
    size, start = arguments.integer("limit", 20, 1, MAX_ROWS), arguments.integer("offset", 0, 0, 10**6)
    activities = fetch_activities(getattr(Activity, target.column) == row.id, size=size, start=start)
    documents = [_activity_document(each, viewer) | {"is_lead": target is LEAD_TARGET} for each in activities]
    reference = {"reference_doctype": target.doctype, "reference_docname": row.number}
    notes = [_note_document(each, viewer) | reference for each in activities if each.kind == "note"]
    calls, tasks = (_related_documents(doctype, target.column, row.id, size) for doctype in (CALL_LOG, TASK))
    return [documents, calls, notes, tasks, _attachments(target.column, row.id, size, viewer)]


def _attachments(column: str, key: int, size: int, viewer: Viewer) -> list[dict[str, Any]]:
    if not viewer.person.may("Notes", "read"):
        return []
    return [attachment_document(each, viewer) for each in newest(db.session(), (column, key), None, size)]


def fetch_activities(*conditions: Any, size: int, start: int = 0) -> list[Any]:
    """A page of matching activity rows, newest first; one statement."""
    query = select(
        Activity.id,
        Activity.kind,
        Activity.at,
        Activity.actor_id,
        Activity.payload,
        Activity.edited_on,
        Activity.lead_id,
        Activity.ticket_id,
    )
    query = query.where(*conditions).order_by(Activity.id.desc())
    return list(db.session.execute(query.limit(size).offset(start)))


def _activity_document(activity: Any, viewer: Viewer) -> dict[str, Any]:
    """An entry of our timeline, with its masks, under the predecessor's keys."""
    entry = entry_texts.entry(activity, viewer)
    is_comment = activity.kind in ("note", "comment")
    content = entry["body"] if is_comment else str(entry["headline"])
    return {
        "name": str(activity.id),
        "activity_type": _ACTIVITY_TYPES.get(activity.kind, "added"),
        "creation": local_timestamp(activity.at, viewer),
        "owner": name_of(activity.actor_id, viewer),
        "data": {"content": content, "body": entry["body"], "changes": entry["changes"]},
        "content": content,
        "options": None,
        "kind": activity.kind,
    }


def _note_document(activity: Any, viewer: Viewer) -> dict[str, Any]:
    title, content = split_note(activity.payload)
    return {
        "name": str(activity.id),
        "title": title,
        "content": content,
        "owner": name_of(activity.actor_id, viewer),
        "modified": local_timestamp(activity.edited_on or activity.at, viewer),
    }


def _related_documents(doctype: DocType, column: str, record_id: int, size: int) -> list[dict[str, Any]]:
    """The newest calls or tasks of the record; empty without read access, or if such a record has none."""
    parent, viewer = getattr(doctype.record_table.record, column, None), current_viewer()
    if parent is None or not viewer.person.may(doctype.module, "read"):
        return []
    conditions = [parent == record_id]
    list_query = ListQuery(conditions, [doctype.record_table.record.id.desc()], size, newest=True)
    return fetch_documents(doctype, list_query, ("name", *doctype.fields), viewer)
