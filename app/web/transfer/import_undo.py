"""Undoing an import: deletes the records that it created and restores changed values, unless changed since.

It does no more than the person could do by hand: records that they may not delete or edit by now stay.

A file may contain a person in several rows: the last one is undone first, and that doesn't count as a change by others.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from app import access
from app.domain.audit_log import audit
from app.domain.base import RuleBroken
from app.domain.files.export_and_import_runs import ImportRow, ImportRun
from app.domain.persistence.transaction_state import transaction_state
from app.models import Activity, Customer, Lead, Ticket, User
from app.web.core.fab_access import REFUSABLE, refusal_of_part
from app.web.core.viewer import Viewer
from app.web.transfer import import_kinds
from app.web.transfer.import_kind import ImportKind, as_json, from_json
from app.web.transfer.import_records import TIMELINE

#: Rows per transaction.
CHUNK = 50
#: Keys of ImportRow.before: when the record had been changed before this row, and when the row was undone.
CHANGED_ON, UNDONE_ON = "changed_on", "undone_on"
_EVER = datetime.max.replace(tzinfo=UTC)


def step(session: Session, run: ImportRun, viewer: Viewer) -> bool:
    """Undo the next rows, the last ones first. Returns whether there are more. Commits."""
    kind = import_kinds.kinds()[run.kind]
    with access.as_system(session):
        open_ = (
            ImportRow.run_id == run.id,
            ImportRow.is_trial.is_(False),
            ImportRow.result.in_(("created", "updated")),
        )
        rows = session.scalars(select(ImportRow).where(*open_).order_by(ImportRow.line.desc()).limit(CHUNK)).all()
        undone = _undone_before(session, run, rows)
        for row in rows:
            _undo_one(session, kind, (row, undone.get(row.record_id or 0)), viewer)
            if row.result == "reverted":
                undone[row.record_id or 0] = row
        kept = sum(row.result == "kept" for row in rows)
        for name, count in (("undone", len(rows)), ("kept", kept)):
            run.payload = {**run.payload, name: int(run.payload.get(name) or 0) + count}
        run.come_further(datetime.now(UTC))
        if not rows:
            run.outcome, run.finished_on = "reverted", viewer.now
            audit.write(session, "import", viewer.person.id, viewer.now, f"{run.kind} {run.id}", what="reverted")
        gathered = transaction_state(session)
        gathered.changed_timelines, gathered.notified = set(), []
        session.commit()
    return bool(rows)


#: A row, and the later one of the same record that was undone already.
_Undoing = tuple[ImportRow, ImportRow | None]


def _undone_before(session: Session, run: ImportRun, rows: Iterable[ImportRow]) -> dict[int, ImportRow]:
    """Record → its row that was undone last."""
    ids = {row.record_id for row in rows if row.record_id is not None}
    of_run = (ImportRow.run_id == run.id, ImportRow.is_trial.is_(False), ImportRow.result == "reverted")
    query = select(ImportRow).where(*of_run, ImportRow.record_id.in_(ids)).order_by(ImportRow.line.desc())
    return {row.record_id or 0: row for row in session.scalars(query)} if ids else {}


def _undo_one(session: Session, kind: ImportKind, undoing: _Undoing, viewer: Viewer) -> None:
    row, problem = undoing[0], ""
    try:
        with session.begin_nested():
            _undo(session, kind, undoing, viewer)
            session.flush()
    except REFUSABLE as broken:
        problem = refusal_of_part(broken)[1]
    row.result, row.problem = ("kept", problem[:500]) if problem else ("reverted", None)
    if row.before is not None and not problem:
        row.before = {**row.before, UNDONE_ON: as_json(viewer.now)}


def _undo(session: Session, kind: ImportKind, undoing: _Undoing, viewer: Viewer) -> None:
    row, later = undoing
    record = session.scalars(select(kind.model).where(kind.model.id == row.record_id)).unique().first()
    if record is None:
        if row.result == "created":
            return  # somebody has deleted it
        raise RuleBroken("This record was deleted meanwhile.")
    _refuse_changed(session, record, row, later)
    if row.result == "created":
        if not _may(session, kind, record, viewer, "delete"):
            raise access.Denied("You may not delete this record, so it stays. Ask your manager or an admin.")
        _delete(session, kind, record, viewer)
        return
    if kind.module != "Settings" and not _may(session, kind, record, viewer, "write"):
        raise access.Denied("You can see this record but not edit it. Ask its assignee or your manager.")
    kept = dict(row.before or {})
    kept.pop(CHANGED_ON, None)
    accounts = kept.pop("accounts", None)
    if accounts is not None:
        _close_accounts(record, accounts, row.at)
    values = kind.values_before(kept)
    if values:
        # For accounts, permissions that the person may no longer grant are not restored in this way either.
        who = viewer.person if isinstance(record, User) else access.SYSTEM
        with access.acting_as(session, who):
            kind.update(session, record, values, viewer)
            session.flush()


def _may(session: Session, kind: ImportKind, record: Any, viewer: Viewer, verb: str) -> bool:
    """Whether the person, in whose absence the record was loaded, sees it, and the verb reaches it."""
    person = viewer.person
    if kind.module == "Settings":
        return bool(person.may(kind.module, verb))
    return access.sees_row(session, person, record) and access.reaches_row(session, person, record, verb)


def _refuse_changed(session: Session, record: Any, row: ImportRow, later: ImportRow | None) -> None:
    """Raise RuleBroken for a record that somebody has changed, or worked on, since the import."""
    spans = _spans(row, later)
    if not isinstance(record, User) and any(since < changed for since, changed in _changes(record, row, later)):
        raise RuleBroken("Somebody has changed this record since the import, so it stays as it is.")
    if isinstance(record, User) and record.last_login is not None:
        raise RuleBroken("This user has signed in since the import. Deactivate them instead.")
    column = TIMELINE.get(type(record))
    if column is not None:
        within = or_(*(and_(Activity.at > since, Activity.at < until) for since, until in spans))
        lines = select(Activity.id).where(getattr(Activity, column) == record.id, within)
        if session.execute(lines.limit(1)).first() is not None:
            raise RuleBroken("Somebody has worked on this record since the import, so it stays as it is.")
    if isinstance(record, Lead) and row.result == "created" and record.opened_on is not None:
        raise RuleBroken("The account of this lead is open, and its customer stays: delete both by hand.")


def _spans(row: ImportRow, later: ImportRow | None) -> list[tuple[datetime, datetime]]:
    """The periods in which only others wrote: since the row, except for later steps of the import and this revert."""
    at = row.at or datetime.now(UTC)
    if later is None or later.before is None or UNDONE_ON not in later.before:
        return [(at, _EVER)]
    return [(at, later.at or at), (from_json(later.before[UNDONE_ON]), _EVER)]


def _changes(record: Any, row: ImportRow, later: ImportRow | None) -> list[tuple[datetime, datetime]]:
    """(from when on a change is somebody else's, when the record was changed)."""
    changed_on, spans = _moment(getattr(record, "changed_on", None)), _spans(row, later)
    if changed_on is None:
        return []
    found = [(spans[-1][0], changed_on)]
    if len(spans) > 1 and later is not None and later.before is not None:
        before = from_json(later.before.get(CHANGED_ON))
        found += [(spans[0][0], before)] if before is not None else []
    return found


def _moment(value: Any) -> datetime | None:
    """A time in UTC; None if it isn't one."""
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _delete(session: Session, kind: ImportKind, record: Any, viewer: Viewer) -> None:
    customer = record.customer if isinstance(record, Ticket) else None
    about = f"{record.__tablename__} {getattr(record, 'number', record.id)}"
    audit.write(session, "deletion", viewer.person.id, viewer.now, about=about)
    if isinstance(record, Customer):
        kind.service.remove(session, record, viewer)
    else:
        session.delete(record)
    session.flush()
    if customer is not None and customer.created_on == record.created_on:
        _delete_unused(session, customer, viewer)


def _delete_unused(session: Session, customer: Customer, viewer: Viewer) -> None:
    """Delete the customer that a ticket of the import has created, unless another record has it too."""
    others = [
        session.execute(select(each.id).where(each.customer_id == customer.id).limit(1)).first()
        for each in (Lead, Ticket)
    ]
    kind = import_kinds.kinds()["customer"]
    is_unused = not any(others) and customer.changed_on == customer.created_on
    if is_unused and _may(session, kind, customer, viewer, "delete"):
        kind.service.remove(session, customer, viewer)


def _close_accounts(customer: Customer, before: list[str], at: datetime | None) -> None:
    """Remove the account that the import has opened."""
    for account in list(customer.accounts):
        if account.client_id not in before and account.created_on == at:
            customer.accounts.remove(account)
