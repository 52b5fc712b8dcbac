"""How rows of a register are noted and changed: with what follows from what was entered, and an audit entry each.

Registers have no timeline: entries that are found by table and id would make the rule of all timelines slower.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Session

from app import access
from app.domain.audit_log import audit
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService


class RegisterService(RecordService):
    """Rows that are kept, never deleted."""

    #: The event of its audit entries, which name the row by it and its id.
    event = ""

    def complete(self, session: Session, row: Any, viewer: Viewer) -> None:
        """Fill in what follows from the rest, before the row is stored. Raises RuleBroken."""
        raise NotImplementedError

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Any:
        """Note a row. Raises RuleBroken."""
        row = self.build(values, viewer)
        self.complete(session, row, viewer)
        session.add(row)
        session.flush()
        self._audit(session, row, viewer, what="noted")
        return row

    def change(self, session: Session, row: Any, values: dict[str, Any], viewer: Viewer) -> None:
        """Change a row; the audit names the columns. Raises RuleBroken."""
        with session.no_autoflush:  # an incomplete row can't be stored
            self._set(row, values, viewer)
            self.complete(session, row, viewer)
        state: Any = inspect(row)
        columns = sorted(name for name in state.mapper.columns.keys() if state.attrs[name].history.has_changes())  # noqa: SIM118
        if columns:
            row.stamp(viewer.stamp)
            self._audit(session, row, viewer, what="changed", columns=columns)

    def _audit(self, session: Session, row: Any, viewer: Viewer, **what: Any) -> None:
        with access.as_system(session):  # an audit entry is chained to the last one, which the person may not see
            audit.write(session, self.event, viewer.person.id, viewer.now, f"{self.event} {row.id}", **what)
