"""Nothing under a legal hold is deleted by an object, or moved out of the hold, whoever asks and through any door."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from app.domain import legal_holds


def refuse_deletions(session: Session, _context: Any, _instances: Any) -> None:
    """Before a flush: look at what it would delete or move; no statement where that is nothing that can be held."""
    if session.deleted:
        legal_holds.refuse_deletions(session, session.deleted, datetime.now(UTC))
    legal_holds.refuse_moves(session, session.dirty, datetime.now(UTC))
