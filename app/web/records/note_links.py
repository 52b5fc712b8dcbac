"""Where a note stands: the page of its record, with the part of the timeline that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.base import NotFound
from app.domain.searchable_notes import NOTES
from app.extensions import db
from app.models import Activity, Customer, Lead, Task, Ticket
from app.web.core.view_registry import registered, screen_of
from app.web.core.viewer import Viewer
from app.web.records.timelines.timeline_filters import TimelineQuery
from app.web.records.timelines.timeline_rows import PAGE, belongs
from app.web.records.timelines.timeline_tabs import TimelineLocation

#: Newer notes that are shown above it if it doesn't stand on the first page.
_ABOVE = 5


def url_of(line: Any, viewer: Viewer) -> str:
    """The URL of an entry on the timeline of the first of its records that the viewer sees. Raises NotFound."""
    for screen, key in _records(line):
        row = access.get_visible(db.session(), screen.service.record, key)
        if row is not None:
            location = TimelineLocation.of(screen, row.id, getattr(row, "number", None), viewer)
            return f"{location.page_url}{_query(location, line.id)}#entry-{line.id}"
    raise NotFound(_("This note doesn't exist, or you don't have access to its record."))


def _records(line: Any) -> Iterator[tuple[Any, int]]:
    """(screen, id) of the records on whose timelines an entry stands, the most specific one first."""
    for record, name in ((Ticket, "ticket_id"), (Lead, "lead_id"), (Customer, "customer_id"), (Task, "task_id")):
        if getattr(line, name) is not None:
            yield screen_of(record), getattr(line, name)
    for screen in registered("screens").values():
        if line.record_kind is not None and screen.service.record.__tablename__ == line.record_kind:
            yield screen, line.record_id


def _query(location: TimelineLocation, key: int) -> str:
    """The query string of the page of the timeline that has the entry: the first one, if it has it."""
    rules = [Activity.kind.in_(NOTES)] if location.has_tabs else []
    newer = select(Activity.id).where(belongs(Activity, location.records), Activity.id > key, *rules)
    ids = [*db.session.scalars(newer.order_by(Activity.id).limit(PAGE))]
    query = TimelineQuery(location.records)
    tab = "notes" if location.has_tabs else "activity"
    return query.query(tab, before=ids[_ABOVE]) if len(ids) == PAGE else query.query(tab)
