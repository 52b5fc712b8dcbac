"""A desk: one record with its table of columns and its verbs; its Screen and its Resource sit at it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app import access
from app.domain import settings
from app.domain.base import refuse_stale
from app.web.core.fields import Viewer
from app.web.core.personal_fields import vault
from app.web.core.record_table import RecordTable


class RecordService:
    """What both doors need; chapters override the verbs, which call the domain and never commit."""

    record: Any
    module = ""
    record_table: RecordTable

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Any:
        """Make a record of the taken values."""
        raise NotImplementedError

    def change(self, session: Session, row: Any, values: dict[str, Any], viewer: Viewer) -> None:
        """Change a record that was loaded under the law."""
        raise NotImplementedError

    def remove(self, session: Session, row: Any, viewer: Viewer) -> None:
        """Delete it, with an audit entry."""
        from app.domain import audit

        about = f"{self.record.__tablename__} {getattr(row, 'number', row.id)}"
        with access.as_system(session):  # the chain hangs on the row before, whoever wrote that
            audit.write(session, "deletion", viewer.person.id, viewer.now, about=about)
        session.delete(row)

    def save(self, session: Session, row: Any, values: dict[str, Any], version: Any, viewer: Viewer) -> None:
        """Change with the version check."""
        if hasattr(row, "version"):
            refuse_stale(row, version)
        self.change(session, row, values, viewer)

    def find(self, session: Session, key: Any) -> Any:
        """The row for an id, if the person sees it, else None."""
        return access.get_visible(session, self.record, key)

    @staticmethod
    def vault() -> Any:
        """For PAN and Aadhaar."""
        return vault()

    @staticmethod
    def setting(session: Session, key: str) -> Any:
        """A business setting."""
        return settings.value_of(session, key)


def pop_assignment(values: dict[str, Any]) -> None:
    """Turn assign_to into assignee_id; giving work to somebody else than oneself needs the right to assign."""
    chosen = values.pop("assign_to", None)
    if chosen is not None:
        values["assignee_id"] = chosen


def refuse_foreign_assignee(values: dict[str, Any], module: str, viewer: Viewer) -> None:
    """Raise Denied when the person hands the record itself to another without the right to assign."""
    chosen = values.get("assignee_id")
    if chosen is not None and chosen not in viewer.person.own_ids:
        viewer.person.refuse_unless(module, "assign")
        reach = viewer.person.reach(module, "assign")
        if reach is not None and chosen not in reach:
            raise access.Denied("You can only assign work within your own team. Send a request instead.")
