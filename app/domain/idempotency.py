"""What a client that repeats itself is told: a POST with the same Idempotency-Key is done once, and answered again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import ForeignKey, Integer, String, UniqueConstraint, delete, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Conflict, RuleBroken, UtcDateTime, translatable

#: How long an answer is kept.
KEPT_FOR = timedelta(hours=24)
MAX_KEY_LENGTH = 100


class StoredResponse(Model):  # type: ignore[misc]
    """The answer to one POST, kept under the key that its client chose."""

    __tablename__ = "kept_answer"
    __table_args__ = (UniqueConstraint("user_id", "key"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    key: Mapped[str] = mapped_column(String(MAX_KEY_LENGTH), nullable=False)
    #: Hash of path and body: the same key for something else is a mistake of the client.
    fingerprint: Mapped[str] = mapped_column(String(64), nullable=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False, index=True)
    #: Null while the first one is at work.
    status: Mapped[int | None] = mapped_column(Integer)
    #: Key of the record that was made; its answer is read anew, through the person's eyes of today.
    record_id: Mapped[int | None] = mapped_column(Integer)


def claim(session: Session, user_id: int, key: str, fingerprint: str, now: datetime) -> StoredResponse | None:
    """Take the key for this transaction: None for the first one, else what the first one was answered.

    Raises RuleBroken for a key that is too long, or was used for something else; Conflict while the first is at work.
    """
    if not key.isascii() or not key.isprintable() or not 0 < len(key) <= MAX_KEY_LENGTH:
        raise RuleBroken(
            translatable("An Idempotency-Key has at most %(most)s printable ASCII characters.", most=MAX_KEY_LENGTH),
            "Idempotency-Key",
        )
    values = {"user_id": user_id, "key": key, "fingerprint": fingerprint, "at": now}
    # Where another transaction holds the same key, this waits for its end.
    if session.execute(_insert_new(session, values)).rowcount == 1:  # type: ignore[attr-defined]
        return None
    mine = (StoredResponse.user_id == user_id, StoredResponse.key == key)
    held = session.scalars(select(StoredResponse).where(*mine), execution_options={"populate_existing": True}).first()
    if held is None or held.status is None:
        raise Conflict(
            "The first request with this Idempotency-Key is still in progress. Please try again in a moment."
        )
    # MariaDB takes another spelling of a key for the same one.
    if (held.key, held.fingerprint) != (key, fingerprint):
        raise RuleBroken(
            "This Idempotency-Key was already used for a different request. Please use a new one.", "Idempotency-Key"
        )
    return held


def store_response(session: Session, user_id: int, key: str, status: int, record_id: int | None) -> None:
    """Write down the answer, in the transaction that made the record."""
    mine = (StoredResponse.user_id == user_id, StoredResponse.key == key)
    held = session.scalars(select(StoredResponse).where(*mine), execution_options={"populate_existing": True}).one()
    held.status, held.record_id = status, record_id


def cleanup_statement(now: datetime) -> Any:
    """The statement that forgets answers which nobody asks for again."""
    return delete(StoredResponse).where(StoredResponse.at < now - KEPT_FOR)


def _insert_new(session: Session, values: dict[str, Any]) -> Any:
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(StoredResponse).values(values).on_conflict_do_nothing(index_elements=["user_id", "key"])
    return mysql.insert(StoredResponse).values(values).prefix_with("IGNORE")
