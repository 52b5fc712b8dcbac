"""The records that an import has created or updated, or its revert has left, as its page links them."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.files.export_and_import_runs import ImportRow, ImportRun
from app.lib.digit_grouping import grouped
from app.web.core.view_registry import screen_of
from app.web.core.viewer import Viewer
from app.web.transfer import import_kinds, import_runs

#: Links on the page.
MAX_LINKED = 50


def made(session: Session, run: ImportRun, viewer: Viewer) -> list[dict[str, Any]]:
    """The first records that were created or updated: {line, result, url, label}.

    Without those that are gone, or that the person doesn't see; empty for records without pages.
    """
    words = {"created": _("Created"), "updated": _("Updated")}
    return [each | {"result": words[each["result"]]} for each in _linked(session, run, viewer, tuple(words))]


def kept(session: Session, run: ImportRun, viewer: Viewer) -> dict[str, dict[str, Any]]:
    """Line → {url, label} of the first records that a revert has left as they are, and that the person sees."""
    return {each["line"]: each for each in _linked(session, run, viewer, ("kept",))}


def _linked(session: Session, run: ImportRun, viewer: Viewer, results: tuple[str, ...]) -> list[dict[str, Any]]:
    kind = import_kinds.kinds().get(run.kind)
    screen = screen_of(kind.model) if kind is not None and run.created + run.updated else None
    if kind is None or screen is None or not viewer.person.may(screen.module, "read"):
        return []
    query = select(ImportRow.line, ImportRow.result, ImportRow.record_id).where(
        ImportRow.run_id == run.id, ImportRow.is_trial.is_(False), ImportRow.result.in_(results)
    )
    with access.as_system(session):
        rows = session.execute(query.order_by(ImportRow.line).limit(MAX_LINKED)).all()
    ids = {int(row.record_id or 0) for row in rows}
    numbers = kind.numbers(session, ids) if hasattr(kind.model, "number") else dict.fromkeys(kind.seen(session, ids))
    return [
        {
            "line": grouped(import_runs.row_number(run, line)),
            "result": result,
            "url": f"{screen.route_base}/show/{key}",
            "label": numbers[key or 0] or f"{screen.record_name} {key}",
        }
        for line, result, key in rows
        if key in numbers
    ]
