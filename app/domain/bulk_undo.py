"""What a bulk action changed, so that its author can undo it for a while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import JSON, ForeignKey, Index, Integer, String, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import NotFound, RuleBroken, UtcDateTime
from app.domain.persistence import bulk_statements

#: How long an action can be undone.
UNDO_FOR = timedelta(minutes=30)


class BulkChange(Model):  # type: ignore[misc]
    """One bulk action of a person, with the values that it replaced."""

    __tablename__ = "bulk_change"
    __table_args__ = (Index("ix_bulk_change_user", "user_id", "at"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    #: The module of the list in the role matrix.
    module: Mapped[str] = mapped_column(String(32), nullable=False)
    #: What was done, in the words of its message.
    label: Mapped[str] = mapped_column(String(200), nullable=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    undone_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: [{"id": row, "version": after the action, "before": {column: value}}]
    rows: Mapped[list[dict[str, Any]]] = mapped_column(JSON, nullable=False)


def remember(session: Session, change: BulkChange) -> BulkChange:
    """Store what was replaced; `forget_old` deletes it."""
    session.add(change)
    session.flush()
    return change


def forget_old(session: Session, now: datetime) -> int:
    """Delete what can't be undone any more, such as the texts of deleted notes. Returns how many actions."""
    old = delete(BulkChange).where(BulkChange.at < now - UNDO_FOR)
    return bulk_statements.execute_counted(session, old)


def claim(session: Session, key: int, user_id: int, now: datetime) -> BulkChange:
    """The action, for this call alone to undo. Raises NotFound, and RuleBroken if it is too late."""
    mine = select(BulkChange).where(BulkChange.id == key, BulkChange.user_id == user_id).with_for_update()
    # Locked: an erasure takes out what belongs to an erased person.
    change = session.scalars(mine, execution_options={"populate_existing": True}).first()
    if change is None:
        raise NotFound("There is nothing to undo here.")
    if now - change.at > UNDO_FOR:
        raise RuleBroken("It is too late to undo this. Please change the records by hand.")
    taken = update(BulkChange).where(BulkChange.id == key, BulkChange.undone_on.is_(None)).values(undone_on=now)
    if session.execute(taken, execution_options={"synchronize_session": False}).rowcount != 1:  # type: ignore[attr-defined]
        raise RuleBroken("This was undone already.")
    return change


def values_of(row: Any, names: Sequence[str]) -> dict[str, Any]:
    """The current values of these columns of a row, in their stored form."""
    return {name: getattr(row, name) for name in names}
