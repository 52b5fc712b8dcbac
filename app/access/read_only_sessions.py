"""A view as another user changes nothing: its session refuses every write, even those made as the system."""

from __future__ import annotations

from sqlalchemy.orm import ORMExecuteState, Session

from app.access.person import Denied
from app.domain.base import translatable
from app.domain.persistence.row_effects import Rows
from app.domain.persistence.session_context import session_context

NOTHING_CHANGES = translatable(
    "You are viewing the CRM as another user, so nothing can be changed, downloaded or revealed. End the view first."
)


def set_read_only(session: Session, is_read_only: bool) -> None:
    """Let the session refuse writes from now on, or take them again."""
    session_context(session).is_read_only = is_read_only


def refuse_rows(session: Session, rows: Rows) -> None:
    """Effect before a flush: raise Denied for a new, changed or deleted row of a read-only session."""
    if not session_context(session).is_read_only:
        return
    if rows.new or rows.deleted or any(session.is_modified(row) for row in rows.changed):
        raise Denied(NOTHING_CHANGES)


def refuse_statement(state: ORMExecuteState) -> None:
    """Session hook: raise Denied for an INSERT, UPDATE or DELETE of a read-only session."""
    is_write = not state.is_select and (state.is_insert or state.is_update or state.is_delete)
    if is_write and session_context(state.session).is_read_only:
        raise Denied(NOTHING_CHANGES)
