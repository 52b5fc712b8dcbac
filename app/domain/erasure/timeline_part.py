"""Entries of timelines: who did what and when stays, what was written and the values of fields go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, not_, select, update
from sqlalchemy.orm import Session

from app.domain import searchable_notes, timeline
from app.domain.base import Stamp
from app.domain.erasure.erasure_scope import Scope
from app.domain.erasure.table_parts import TablePart
from app.domain.timeline import Activity

#: Keys of payloads that hold codes, ids of our people and of records, and numbers of records.
_HARMLESS = frozenset(
    (
        *(
            "from",
            "to",
            "old",
            "what",
            "reason",
            "channel",
            "direction",
            "state",
            "event",
            "number",
            "other",
            "is_kept",
        ),
        *("outcome", "source", "merge", "role", "target", "hours", "minutes", "due"),
    )
)
#: Texts of the system that name no more than a record.
_SYSTEM_TEXT = re.compile(
    r"(Lead|Ticket|Customer) created|Conversion undone|"
    r"(Customer created from|Converted to|Merged from|Merge undone:) [A-Z0-9, -]+"
)
#: Kinds whose entry shows a text.
_WITH_TEXT = (*searchable_notes.NOTES, "call", "task", "system", "assignment")
_LINES = Activity.__table__


class TimelinePart(TablePart):
    """Entries of the timelines of the records."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Erase the texts and values of these entries; those of notes are no longer found by their words."""
        columns = (_LINES.c.id, _LINES.c.kind, _LINES.c.payload)
        rows = session.execute(select(*columns).where(_LINES.c.id.in_(list(ids)))).all()
        changes = [{"key": key, "new": erased_payload(kind, payload or {}, scope)} for key, kind, payload in rows]
        step = update(_LINES).where(_LINES.c.id == bindparam("key")).values(payload=bindparam("new"))
        session.connection().execute(step, changes)
        pairs = zip(rows, changes, strict=True)
        notes = [(row[0], change["new"]) for row, change in pairs if row[1] in searchable_notes.NOTES]
        if notes:
            searchable_notes.copy(session, notes)
        _mark_changed(session, ids)

    def _is_left(self, scope: Scope) -> Any:
        return not_(timeline.is_erased())


def _mark_changed(session: Session, ids: Sequence[int]) -> None:
    """Open pages show the timelines anew."""
    columns = (_LINES.c.lead_id, _LINES.c.ticket_id, _LINES.c.customer_id, _LINES.c.task_id)
    for row in session.execute(select(*columns).where(_LINES.c.id.in_(list(ids))).distinct()):
        timeline.mark_changed(session, *row)


def erased_payload(kind: str, payload: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """What stays of the data of an entry."""
    kept = {name: value for name, value in payload.items() if name in _HARMLESS and not isinstance(value, dict | list)}
    if isinstance(payload.get("to"), list):  # our people who were told
        kept["to"] = payload["to"]
    if isinstance(payload.get("changes"), list):
        kept["changes"] = [[change[0], None, None] for change in payload["changes"] if change]
    text = str(payload.get("text") or "")
    if kind in _WITH_TEXT and "text" in payload:
        kept["text"] = text if kind == "system" and _SYSTEM_TEXT.fullmatch(text) else scope.marker
    if kind == "file":
        kept["name"], kept["what"] = scope.marker, "deleted"
    return kept | {"erased": scope.request_number}
