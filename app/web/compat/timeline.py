"""The predecessor's timeline of a record: what happened, calls, notes and tasks; reading it tells nobody."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.base import NotFound
from app.domain.timeline import Activity
from app.extensions import db
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.assignment import username_of
from app.web.compat.calls import TASK
from app.web.compat.child_rows import local_timestamp
from app.web.compat.doctypes import DOCTYPES, DocType
from app.web.compat.documents import fetch_documents
from app.web.compat.references import split_note, target_of_number
from app.web.compat.tickets import CALL
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer
from app.web.core.record_table import ListQuery
from app.web.records import timeline

MAX_ROWS = 100
#: Our kind -> what the predecessor called it; "added" else.
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
    place, viewer = target_of_number(arguments.text("name")), current_viewer()
    if place is None:
        raise NotFound(_("%(kind)s %(name)s was not found.", kind="Document", name=arguments.text("name")[:40]))
    row = client.get_record(DOCTYPES[place.doctype], arguments.text("name"), "read")
    size, start = arguments.integer("limit", 20, 1, MAX_ROWS), arguments.integer("offset", 0, 0, 10**6)
    lines = activity_rows(place.column, row.id, size, start)
    notes = [_note_document(line, place.doctype, row.number, viewer) for line in lines if line.kind == "note"]
    of_it = (place.column, row.id, size)
    told = [_activity_document(line, viewer) | {"is_lead": place.field == "lead"} for line in lines]
    return [told, _related_documents(CALL, *of_it), notes, _related_documents(TASK, *of_it), []]


def activity_rows(column: str, key: int, size: int, start: int = 0, *rules: Any) -> list[Any]:
    """A page of a record's lines that fit the rules, newest first; one statement."""
    line = Activity
    query = select(
        line.id, line.kind, line.at, line.actor_id, line.payload, line.edited_on, line.lead_id, line.ticket_id
    )
    query = query.where(getattr(line, column) == key, *rules).order_by(line.id.desc())
    return list(db.session.execute(query.limit(size).offset(start)))


def _activity_document(line: Any, viewer: Viewer) -> dict[str, Any]:
    """One line in our words, masked like them; under the old keys."""
    told, owner = timeline.entry(line, viewer), username_of(line.actor_id, viewer)
    words = {"content": str(told["headline"]), "body": told["body"], "changes": told["changes"]}
    if line.kind in ("note", "comment"):
        words["content"] = told["body"]
    return {
        "name": str(line.id),
        "activity_type": _ACTIVITY_TYPES.get(line.kind, "added"),
        "creation": local_timestamp(line.at, viewer),
        "owner": owner,
        "data": words,
        "content": words["content"],
        "options": None,
        "kind": line.kind,
    }


def _note_document(line: Any, doctype: str, number: str, viewer: Viewer) -> dict[str, Any]:
    title, text = split_note(line.payload)
    return {
        "name": str(line.id),
        "title": title,
        "content": text,
        "owner": username_of(line.actor_id, viewer),
        "modified": local_timestamp(line.edited_on or line.at, viewer),
        "reference_doctype": doctype,
        "reference_docname": number,
    }


def _related_documents(doctype: DocType, column: str, key: int, size: int) -> list[dict[str, Any]]:
    """The newest calls or tasks of the record; none where the module is closed, or a record has none."""
    parent, viewer = getattr(doctype.record_table.record, column, None), current_viewer()
    if parent is None or not viewer.person.may(doctype.module, "read"):
        return []
    wanted = ListQuery([parent == key], [doctype.record_table.record.id.desc()], size, newest=True)
    return fetch_documents(doctype, wanted, ("name", *doctype.fields), viewer)
