"""Deleting a note, and the undo for whoever has deleted it."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from app import access
from app.domain import bulk_undo, timeline
from app.domain.audit_log import audit
from app.domain.base import NotFound, RuleBroken
from app.domain.bulk_undo import BulkChange
from app.models import Activity, Customer, Lead, Task, Ticket
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService
from app.web.records import bulk_undo_actions, notes

#: The module of a deleted note among what can be undone.
MODULE = "Notes"
_PARENTS = {"lead_id": Lead, "ticket_id": Ticket, "customer_id": Customer, "task_id": Task}


def delete(session: Session, line: Activity, service: RecordService, viewer: Viewer) -> int:
    """Delete a note. Returns the key by which the viewer can undo that. Raises RuleBroken for one under a hold."""
    columns = tuple(each.key for each in inspect(Activity).column_attrs if each.key != "id")
    before = bulk_undo_actions.previous_values(line, columns)
    kept = {"id": line.id, "version": None, "before": before | {"payload": {"json": line.payload}}}
    service.remove(session, line, viewer)
    session.flush()
    made = BulkChange(user_id=viewer.person.id, module=MODULE, label=_("Note deleted."), at=viewer.now, rows=[kept])
    return bulk_undo.remember(session, made).id


def restore(session: Session, change_id: int, viewer: Viewer) -> Activity:
    """Write the deleted note again, where it was. Raises NotFound, and RuleBroken if it is too late."""
    change = bulk_undo.claim(session, change_id, viewer.person.id, viewer.now)
    if change.module != MODULE:
        raise NotFound(_("There is nothing to undo here."))
    (kept,) = change.rows
    change.rows = []  # the text is in the note again
    values = bulk_undo_actions.values_before(kept)
    with access.as_system(session):
        is_free = session.get(Activity, kept["id"]) is None
        gone = [name for name, record in _PARENTS.items() if values[name] and session.get(record, values[name]) is None]
        _refuse_without_record(values, gone)
        line = Activity(**values | dict.fromkeys(gone), **({"id": kept["id"]} if is_free else {}))
        session.add(line)
        session.flush()
        about = f"activity {line.id}"
        audit.write(session, "deletion", viewer.person.id, viewer.now, about=about, undone=f"activity {kept['id']}")
    notes.about_of(session, line)
    timeline.mark_changed(session, line.lead_id, line.ticket_id, line.customer_id, line.task_id)
    return line


def _refuse_without_record(values: dict[str, Any], gone: list[str]) -> None:
    if not any(values[name] for name in _PARENTS if name not in gone):
        raise RuleBroken(_("The record of this note was merged or deleted meanwhile, so the note can't come back."))
