"""Refuses each flush that would delete a row under a legal hold, or move it out of the hold, whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from app.domain import legal_holds


def refuse_deletions(session: Session, _context: Any, _instances: Any) -> None:
    """Session hook, before a flush. Raises RuleBroken; no statement if nothing that can be held is deleted or moved."""
    if session.deleted:
        legal_holds.refuse_deletions(session, session.deleted, datetime.now(UTC))
    legal_holds.refuse_moves(session, session.dirty, datetime.now(UTC))
