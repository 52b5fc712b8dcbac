"""The former statuses of a record: from its own log, from a file of logs, and from versions where the log has a gap.

The predecessor wrote a log row when a status began, and completed it when the next one came; some of its entry points
changed the status without a row, so that only the version shows it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from app.domain.base import RuleBroken
from app.models import Lead, StatusChange, Ticket
from app.web.transfer.predecessor import values
from app.web.transfer.predecessor.import_context import ImportContext, RowDraft

#: Maximum difference between two records of the same change.
SAME = timedelta(minutes=2)
PICKLISTS = {"leads": "lead_status", "ticket": "ticket_status"}


def _moment(context: ImportContext, text: Any) -> datetime | None:
    try:
        return values.moment(text, context.zone)
    except RuleBroken:
        return None


def apply_log(context: ImportContext, draft: RowDraft, picklist: str) -> datetime:
    """Add the row's own log to the draft. Returns since when the record has its status."""
    record = draft.record
    log = [each for each in values.listed(draft.row.values.get("status_change_log")) if isinstance(each, dict)]
    log = sorted(log, key=lambda each: values.seconds(each.get("idx")))
    first = context.entry_id(picklist, log[0].get("from")) if log else None
    began = StatusChange(from_id=None, to_id=first or record.status_id, at=record.created_on, seconds=None)
    context.person(draft, began, "by_id", draft.row.values.get("owner"))
    draft.lines.append(began)
    since = record.created_on
    for each in log:
        at = _moment(context, each.get("to_date"))
        if at is None or not values.line_of(each.get("to")):
            continue
        since = at
        pair = (context.entry_id(picklist, each.get("from")), context.entry_id(picklist, each.get("to")))
        change = StatusChange(from_id=pair[0], to_id=pair[1], at=at, seconds=values.seconds(each.get("duration")))
        add(context, draft, change, each.get("log_owner") or each.get("owner"))
    return since if log else max(record.created_on, record.changed_on)


def add(context: ImportContext, draft: RowDraft, change: StatusChange, who: Any) -> None:
    """One change of a status by somebody, as the former system names them, with its timeline entry."""
    context.person(draft, change, "by_id", who)
    draft.lines.append(change)
    context.line(draft, "status_change", change.at, who, **{"from": change.from_id, "to": change.to_id})


def place(context: ImportContext, draft: RowDraft) -> None:
    """Process a row of a file of logs. Raises RuleBroken."""
    given = draft.row.values
    table, key = context.about(given.get("parenttype") or "CRM Lead", given.get("parent"))
    if table not in PICKLISTS:
        raise RuleBroken("It belongs to neither a lead nor a ticket.")
    draft.there = key
    column, picklist = ("lead_id", "lead_status") if table == "leads" else ("ticket_id", "ticket_status")
    before, at = context.entry_id(picklist, given.get("from")), _moment(context, given.get("to_date"))
    after = context.entry_id(picklist, given.get("to"))
    if values.seconds(given.get("idx")) <= 1 and before and not context.is_trial:
        first = (getattr(StatusChange, column) == key, StatusChange.from_id.is_(None))
        context.session.execute(update(StatusChange).where(*first).values(to_id=before), _QUIET)
    if at is None or after is None or is_known(context, (column, key), (before, after), at):
        return
    change = StatusChange(from_id=before, to_id=after, at=at, seconds=values.seconds(given.get("duration")))
    add(context, draft, change, given.get("log_owner") or given.get("owner"))
    if not context.is_trial:
        record: Any = Lead if table == "leads" else Ticket
        since = (record.id == key, record.status_id == after, record.status_on < at)
        context.session.execute(update(record).where(*since).values(status_on=at), _QUIET)


_QUIET: Any = {"synchronize_session": False}


def is_known(context: ImportContext, about: tuple[str, int], pair: tuple[Any, Any], at: datetime) -> bool:
    """Whether the history has this change already."""
    column, key = about
    if context.is_trial or not key:
        return False
    mine = (getattr(StatusChange, column) == key, StatusChange.to_id == pair[1])
    near = (StatusChange.at >= at - SAME, StatusChange.at <= at + SAME)
    return context.session.scalar(select(StatusChange.id).where(*mine, *near).limit(1)) is not None
