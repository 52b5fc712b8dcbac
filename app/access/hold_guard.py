"""Refuses every flush that would delete a row under a legal hold, whoever asks: page, REST, bulk action or job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from app.domain import legal_holds


def refuse_deletions(session: Session, _context: Any, _instances: Any) -> None:
    """Session hook, before a flush. Raises RuleBroken; no statement if it deletes nothing that can be under a hold."""
    if session.deleted:
        legal_holds.refuse_deletions(session, session.deleted, datetime.now(UTC))
