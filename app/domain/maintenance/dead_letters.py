"""Queued calls that failed permanently, until an admin retries or dismisses them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.domain.audit_log import audit
from app.domain.base import Conflict, Stamp
from app.domain.maintenance.job_runs import FailedCall

#: The outcomes that an admin can choose.
RETRIED, DROPPED = "again", "dropped"
#: How many are shown, and resolved, at once.
MAX_AT_ONCE = 200


def unresolved(session: Session) -> list[FailedCall]:
    """Unresolved calls, newest first, at most MAX_AT_ONCE."""
    query = select(FailedCall).where(FailedCall.settled_on.is_(None)).order_by(FailedCall.id.desc()).limit(MAX_AT_ONCE)
    return list(session.scalars(query))


def count_unresolved(session: Session) -> int:
    """How many calls are unresolved."""
    return session.scalar(select(func.count(FailedCall.id)).where(FailedCall.settled_on.is_(None))) or 0


def resolve(session: Session, rows: list[FailedCall], outcome: str, stamp: Stamp) -> None:
    """Set the outcome that a user chose, and audit it. Raises Conflict when someone else resolved one of them."""
    keys = [row.id for row in rows]
    are_open = (FailedCall.id.in_(keys), FailedCall.settled_on.is_(None))
    step = update(FailedCall).where(*are_open).values(settled_on=stamp.now, settled_by_id=stamp.by, outcome=outcome)
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    if not rows or done.rowcount != len(rows):
        raise Conflict("Someone has already handled this. Please reload the list.")
    audit.write(session, "failed call", stamp.by, stamp.now, "calls", outcome=outcome, calls=keys)
