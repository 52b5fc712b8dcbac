"""Idempotency keys: a POST repeated with the same key is done once and answered again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import ForeignKey, Integer, Select, String, UniqueConstraint, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Conflict, RuleBroken, UtcDateTime, translatable

MAX_KEY_LENGTH = 100


class StoredResponse(Model):  # type: ignore[misc]
    """The response to one POST, under the key that its client chose."""

    __tablename__ = "kept_answer"
    __table_args__ = (UniqueConstraint("user_id", "key"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    key: Mapped[str] = mapped_column(String(MAX_KEY_LENGTH), nullable=False)
    #: Hash of path and body: reusing the key for another request is the client's error.
    fingerprint: Mapped[str] = mapped_column(String(64), nullable=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False, index=True)
    #: HTTP status; null while the first request is in progress.
    status: Mapped[int | None] = mapped_column(Integer)
    #: Id of the created record. A repeated request reads it again, as the user may see it now.
    record_id: Mapped[int | None] = mapped_column(Integer)


@dataclass(frozen=True)
class IdempotentRequest:
    """A POST with an Idempotency-Key."""

    user_id: int
    key: str
    #: Hash of path and body.
    fingerprint: str


def claim(session: Session, request: IdempotentRequest, now: datetime) -> StoredResponse | None:
    """Claim the key in this transaction: None for the first request, else the response to the first one.

    Raises RuleBroken for a key that is too long or was used for another request; Conflict while the first request is in
    progress.
    """
    key = request.key
    if not key.isascii() or not key.isprintable() or not 0 < len(key) <= MAX_KEY_LENGTH:
        raise RuleBroken(
            translatable("An Idempotency-Key has at most %(most)s printable ASCII characters.", most=MAX_KEY_LENGTH),
            "Idempotency-Key",
        )
    values = {"user_id": request.user_id, "key": key, "fingerprint": request.fingerprint, "at": now}
    # If another transaction holds the same key, this waits for it to end.
    if session.execute(_insert_new(session, values)).rowcount == 1:  # type: ignore[attr-defined]
        return None
    stored = session.scalars(_stored(request), execution_options={"populate_existing": True}).first()
    if stored is None or stored.status is None:
        raise Conflict(
            "The first request with this Idempotency-Key is still in progress. Please try again in a moment."
        )
    # MariaDB matches keys case-insensitively.
    if (stored.key, stored.fingerprint) != (key, request.fingerprint):
        raise RuleBroken(
            "This Idempotency-Key was already used for a different request. Please use a new one.", "Idempotency-Key"
        )
    return stored


def store_response(session: Session, request: IdempotentRequest, status: int, record_id: int | None) -> None:
    """Store the response, in the transaction that created the record."""
    stored = session.scalars(_stored(request), execution_options={"populate_existing": True}).one()
    stored.status, stored.record_id = status, record_id


def _stored(request: IdempotentRequest) -> Select[StoredResponse]:
    return select(StoredResponse).where(StoredResponse.user_id == request.user_id, StoredResponse.key == request.key)


def _insert_new(session: Session, values: dict[str, Any]) -> Any:
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(StoredResponse).values(values).on_conflict_do_nothing(index_elements=["user_id", "key"])
    return mysql.insert(StoredResponse).values(values).prefix_with("IGNORE")
