"""Undoing an import: what it made is deleted, what it changed gets its values back; not what was changed since."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import audit
from app.domain.base import RuleBroken
from app.domain.pending import pending
from app.domain.transfers import ImportRow, ImportRun
from app.models import Activity, Customer, Lead, Ticket, User
from app.web.core.fab_access import REFUSABLE, refusal_of_one
from app.web.core.fields import Viewer
from app.web.transfer import import_kinds
from app.web.transfer.import_kinds import ImportKind
from app.web.transfer.import_records import TIMELINE

#: Rows of one transaction.
CHUNK = 50


def step(session: Session, run: ImportRun, viewer: Viewer) -> bool:
    """Undo the next rows, the last ones first. Whether there are more. Commits."""
    kind = import_kinds.kinds()[run.kind]
    with access.as_system(session):
        open_ = (
            ImportRow.run_id == run.id,
            ImportRow.is_trial.is_(False),
            ImportRow.result.in_(("created", "updated")),
        )
        rows = session.scalars(select(ImportRow).where(*open_).order_by(ImportRow.line.desc()).limit(CHUNK)).all()
        for row in rows:
            _undo_one(session, kind, row, viewer)
        run.seen_on = run.changed_on = datetime.now(UTC)
        if not rows:
            run.outcome, run.finished_on = "reverted", viewer.now
            audit.write(session, "import", viewer.person.id, viewer.now, f"{run.kind} {run.id}", what="reverted")
        gathered = pending(session)
        gathered.changed_timelines, gathered.notified = set(), []
        session.commit()
    return bool(rows)


def _undo_one(session: Session, kind: ImportKind, row: ImportRow, viewer: Viewer) -> None:
    problem = ""
    try:
        with session.begin_nested():
            _undo(session, kind, row, viewer)
            session.flush()
    except REFUSABLE as broken:
        problem = refusal_of_one(broken)[1]
    row.result, row.problem = ("kept", problem[:500]) if problem else ("reverted", None)


def _undo(session: Session, kind: ImportKind, row: ImportRow, viewer: Viewer) -> None:
    record = session.scalars(select(kind.model).where(kind.model.id == row.record_id)).unique().first()
    if record is None:
        if row.result == "created":
            return  # somebody has deleted it
        raise RuleBroken("This record was deleted meanwhile.")
    _refuse_changed(session, record, row)
    if row.result == "created":
        _delete(session, kind, record, viewer)
        return
    kept = dict(row.before or {})
    accounts = kept.pop("accounts", None)
    if accounts is not None:
        _close_accounts(record, accounts, row.at)
    values = kind.values_before(kept)
    if values:
        # Of accounts, what the person may not give any more is not given back by this way either.
        who = viewer.person if isinstance(record, User) else access.SYSTEM
        with access.acting_as(session, who):
            kind.update(session, record, values, viewer)
            session.flush()


def _refuse_changed(session: Session, record: Any, row: ImportRow) -> None:
    """Raise RuleBroken for a record that somebody has changed, or worked on, since the import."""
    at = row.at or datetime.now(UTC)
    changed_on = getattr(record, "changed_on", None)
    if isinstance(changed_on, datetime):
        changed_on = changed_on if changed_on.tzinfo else changed_on.replace(tzinfo=UTC)
        if not isinstance(record, User) and changed_on > at:
            raise RuleBroken("Somebody has changed this record since the import, so it stays as it is.")
    if isinstance(record, User) and record.last_login is not None:
        raise RuleBroken("This user has signed in since the import. Deactivate them instead.")
    column = TIMELINE.get(type(record))
    if column is not None:
        later = select(Activity.id).where(getattr(Activity, column) == record.id, Activity.at > at)
        if session.execute(later.limit(1)).first() is not None:
            raise RuleBroken("Somebody has worked on this record since the import, so it stays as it is.")
    if isinstance(record, Lead) and row.result == "created" and record.opened_on is not None:
        raise RuleBroken("The account of this lead is open, and its customer stays: delete both by hand.")


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
    """Delete the customer that a ticket of the import has made, unless another record has it too."""
    others = [
        session.execute(select(each.id).where(each.customer_id == customer.id).limit(1)).first()
        for each in (Lead, Ticket)
    ]
    if not any(others) and customer.changed_on == customer.created_on:
        import_kinds.kinds()["customer"].service.remove(session, customer, viewer)


def _close_accounts(customer: Customer, before: list[str], at: datetime | None) -> None:
    """Remove the account that the import has opened."""
    for account in list(customer.accounts):
        if account.client_id not in before and account.created_on == at:
            customer.accounts.remove(account)
