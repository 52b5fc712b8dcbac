"""Calls from the queue that failed for good: a person runs each again, or lets it rest, once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.domain import audit
from app.domain.base import Conflict
from app.domain.job_runs import FailedCall

#: What a person may decide.
RETRIED, DROPPED = "again", "dropped"
#: So many are shown, and decided at once; the rest comes up next.
MAX_AT_ONCE = 200


def unresolved(session: Session) -> list[FailedCall]:
    """The calls that nobody has decided on, newest first, at most MOST."""
    query = select(FailedCall).where(FailedCall.settled_on.is_(None)).order_by(FailedCall.id.desc()).limit(MAX_AT_ONCE)
    return list(session.scalars(query))


def count_unresolved(session: Session) -> int:
    """How many there are of them."""
    return session.scalar(select(func.count(FailedCall.id)).where(FailedCall.settled_on.is_(None))) or 0


def resolve(session: Session, rows: list[FailedCall], outcome: str, by: int, now: datetime) -> None:
    """Write down, also in the audit, what `by` decided. Raises Conflict when somebody was faster."""
    keys = [row.id for row in rows]
    theirs = (FailedCall.id.in_(keys), FailedCall.settled_on.is_(None))
    step = update(FailedCall).where(*theirs).values(settled_on=now, settled_by_id=by, outcome=outcome)
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    if not rows or done.rowcount != len(rows):
        raise Conflict("Someone has already handled this. Please reload the list.")
    audit.write(session, "failed call", by, now, "calls", outcome=outcome, calls=keys)
