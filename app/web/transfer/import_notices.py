"""Notices at the end of an import: to the person who started it, and to the assignees of records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.files.export_and_import_runs import ImportRow, ImportRun
from app.domain.notifications import notices
from app.web.core.view_registry import screen_of_kind
from app.web.transfer.import_kind import ImportKind


def figures(run: ImportRun) -> dict[str, Any]:
    """The results of the rows, as counts."""
    names = ("created", "updated", "skipped", "wrong", "position")
    return {name: getattr(run, name) for name in names}


def notify_done(session: Session, run: ImportRun, now: datetime) -> None:
    """Notify the person, in the transaction that ends the import, so that a later kill can't lose the notice."""
    payload = {"import": run.id, "name": run.name, **figures(run)}
    notices.notify(session, notices.NoticeEvent("import", f"import:{run.id}", (run.created_by_id,), payload), now)


def notify_assignees(session: Session, run: ImportRun, kind: ImportKind, now: datetime) -> None:
    """One notice for each new assignee of records of this kind, other than the importer."""
    if not kind.assignee:
        return
    model = kind.model
    query = (
        select(model.assignee_id, func.count())
        .join(ImportRow, ImportRow.record_id == model.id)
        .where(ImportRow.run_id == run.id, ImportRow.is_trial.is_(False), ImportRow.result == "created")
        .group_by(model.assignee_id)
    )
    address = f"{screen_of_kind(run.kind).route_base}/?_flt_eq_assignee=@me"
    for user_id, count in session.execute(query):
        payload = {"import": run.id, "given": count, "list": address}
        event = notices.NoticeEvent("import", f"import:{run.id}:given", (user_id,), payload, None, run.created_by_id)
        notices.notify(session, event, now)


def notify_failed(session: Session, run: ImportRun, now: datetime) -> None:
    """Notify the person why it has stopped."""
    payload = {"import": run.id, "name": run.name, "error": run.error}
    event = notices.NoticeEvent("import", f"import:{run.id}:failed:{now:%s}", (run.created_by_id,), payload)
    notices.notify(session, event, now)
