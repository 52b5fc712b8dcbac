"""Refuses any deletion of a row under a legal hold, and any move out of the hold, whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import ORMExecuteState, Session

from app.domain import legal_holds
from app.domain.persistence.row_effects import Rows


def refuse_losses(session: Session, rows: Rows) -> None:
    """Effect before a flush. Raises RuleBroken. Sends no statement if nothing that can be held is deleted or moved."""
    if rows.deleted:
        legal_holds.refuse_deletions(session, rows.deleted, datetime.now(UTC))
    legal_holds.refuse_moves(session, rows.changed, datetime.now(UTC))


def refuse_bulk(state: ORMExecuteState) -> None:
    """Session hook, before an UPDATE or DELETE without objects. Raises RuleBroken; mostly without a statement."""
    if state.is_update or state.is_delete:
        legal_holds.refuse_bulk(state.session, state.statement, state.parameters, datetime.now(UTC))
