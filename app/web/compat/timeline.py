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
from app.web.compat.assignment import name_of
from app.web.compat.calls import TASK
from app.web.compat.child_rows import local
from app.web.compat.doctypes import DOCTYPES, DocType
from app.web.compat.documents import documents
from app.web.compat.references import place_of, title_and_text
from app.web.compat.tickets import CALL
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer
from app.web.core.record_table import ListQuery
from app.web.records import timeline

MOST = 100
#: Our kind -> what the predecessor called it; "added" else.
_TYPES = {
    "note": "comment",
    "comment": "comment",
    "system": "creation",
    "status_change": "changed",
    "field_change": "changed",
    "message": "communication",
}


def get(arguments: Arguments) -> list[list[dict[str, Any]]]:
    """name (of a lead, ticket or customer), limit (20), offset -> [activities, calls, notes, tasks, attachments]."""
    place, viewer = place_of(arguments.text("name")), current_viewer()
    if place is None:
        raise NotFound(_("%(kind)s %(name)s was not found.", kind="Document", name=arguments.text("name")[:40]))
    row = client.row_of(DOCTYPES[place.doctype], arguments.text("name"), "read")
    size, start = arguments.whole("limit", 20, 1, MOST), arguments.whole("offset", 0, 0, 10**6)
    lines = lines_of(place.column, row.id, size, start)
    notes = [_note(line, place.doctype, row.number, viewer) for line in lines if line.kind == "note"]
    of_it = (place.column, row.id, size)
    told = [_told(line, viewer) | {"is_lead": place.field == "lead"} for line in lines]
    return [told, _rest(CALL, *of_it), notes, _rest(TASK, *of_it), []]


def lines_of(column: str, key: int, size: int, start: int = 0, *rules: Any) -> list[Any]:
    """A page of a record's lines that fit the rules, newest first; one statement."""
    line = Activity
    query = select(
        line.id, line.kind, line.at, line.actor_id, line.payload, line.edited_on, line.lead_id, line.ticket_id
    )
    query = query.where(getattr(line, column) == key, *rules).order_by(line.id.desc())
    return list(db.session.execute(query.limit(size).offset(start)))


def _told(line: Any, viewer: Viewer) -> dict[str, Any]:
    """One line in our words, masked like them; under the old keys."""
    told, owner = timeline.entry(line, viewer), name_of(line.actor_id, viewer)
    words = {"content": str(told["headline"]), "body": told["body"], "changes": told["changes"]}
    if line.kind in ("note", "comment"):
        words["content"] = told["body"]
    return {
        "name": str(line.id),
        "activity_type": _TYPES.get(line.kind, "added"),
        "creation": local(line.at, viewer),
        "owner": owner,
        "data": words,
        "content": words["content"],
        "options": None,
        "kind": line.kind,
    }


def _note(line: Any, doctype: str, number: str, viewer: Viewer) -> dict[str, Any]:
    title, text = title_and_text(line.payload)
    return {
        "name": str(line.id),
        "title": title,
        "content": text,
        "owner": name_of(line.actor_id, viewer),
        "modified": local(line.edited_on or line.at, viewer),
        "reference_doctype": doctype,
        "reference_docname": number,
    }


def _rest(kind: DocType, column: str, key: int, size: int) -> list[dict[str, Any]]:
    """The newest calls or tasks of the record; none where the module is closed, or a record has none."""
    parent, viewer = getattr(kind.record_table.record, column, None), current_viewer()
    if parent is None or not viewer.person.may(kind.module, "read"):
        return []
    wanted = ListQuery([parent == key], [kind.record_table.record.id.desc()], size, newest=True)
    return documents(kind, wanted, ("name", *kind.fields), viewer)
