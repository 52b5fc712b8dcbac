"""Changing the status of a lead or ticket, with all consequences."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.domain import timeline
from app.domain.base import RECORD_COLUMNS, Stamp
from app.domain.change_context import ChangeContext
from app.domain.notifications import notices
from app.domain.persistence import history_rows
from app.domain.working_time import sla


def set_status(session: Session, record: Any, new: Any, context: ChangeContext, note: str | None = None) -> None:
    """Set another status of a lead or ticket: SLA clock, history, timeline and notices. The caller has checked the
    rules.

    `new`: a status row of the record's own picklist. `note`: what the status required, for the timeline.
    """
    old, since = record.status, record.status_on
    record.status, record.status_id, record.status_on = new, new.id, context.now
    sla.apply_move(record, sla.StatusTransition(old.meaning, new.meaning, context.by, context.now), context.sla_terms)
    record.stamp(context)
    seconds = int((context.now - since).total_seconds())
    _add(session, record, context, from_id=old.id, seconds=seconds)
    timeline.write(session, record, "status_change", context, **{"from": old.id, "to": new.id}, note=note)
    people = [user for user in (record.assignee_id, record.owner_id) if user]
    kind = RECORD_COLUMNS[record.__tablename__].removesuffix("_id")
    key = f"status:{kind}:{record.id}:{context.now.isoformat()}"
    notices.notify(
        session,
        notices.NoticeEvent("status", key, people, {"number": record.number, "status": new.id}, record, context.by),
        context.now,
    )


def start_history(session: Session, record: Any, stamp: Stamp) -> None:
    """Write the first status of a stored record to its history."""
    _add(session, record, stamp)


def _add(session: Session, record: Any, stamp: Stamp, **values: int) -> None:
    own = {RECORD_COLUMNS[record.__tablename__]: record.id}
    columns = own | {"to_id": record.status_id, "at": stamp.now, "by_id": stamp.by} | values
    history_rows.add(session, timeline.StatusChange, columns)
