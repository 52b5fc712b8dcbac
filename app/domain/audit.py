"""The audit log: append only, each entry chained to the previous one by a hash."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import JSON, ForeignKey, Index, Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import UtcDateTime

EVENTS = (
    "sign-in",
    "sign-in refused",
    "sign-out",
    "reveal",
    "export",
    "permission change",
    "role change",
    "user change",
    "api key made",
    "api key revoked",
    "api key used",
    "deletion",
    "restore",
    "view-as",
    "password change",
    "failed call",
    "turn change",
    "webhook change",
    "customer link",
    "look-up",
)


class AuditEntry(Model):  # type: ignore[misc]
    """One audited event."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index("ix_audit_at", "at"), Index("ix_audit_user", "user_id", "id"))
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    event: Mapped[str] = mapped_column(String(40), nullable=False)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    address: Mapped[str | None] = mapped_column(String(64))
    #: What it concerns, e.g. lead 42; never a secret or an unmasked value.
    about: Mapped[str | None] = mapped_column(String(190))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)
    #: SHA-256 over the hash of the previous entry and this entry.
    hash: Mapped[str] = mapped_column(String(64), nullable=False)


def write(
    session: Session,
    event: str,
    user_id: int | None,
    now: datetime,
    about: str | None = None,
    address: str | None = None,
    **payload: Any,
) -> AuditEntry:
    """Append an entry. Raises ValueError for an unknown event."""
    if event not in EVENTS:
        raise ValueError(f"unknown audit event: {event}")
    last = select(AuditEntry.hash).order_by(AuditEntry.id.desc()).limit(1).with_for_update()
    previous_hash = session.execute(last).scalar() or ""
    entry = AuditEntry(at=now, event=event, user_id=user_id, about=about, address=address, payload=payload)
    entry.hash = entry_hash(previous_hash, entry)
    session.add(entry)
    session.flush()
    return entry


def entry_hash(previous_hash: str, entry: AuditEntry) -> str:
    """The hash of an entry after one with this hash; "" for the first entry."""
    row = [previous_hash, entry.at.isoformat(), entry.event, entry.user_id, entry.about, entry.address, entry.payload]
    return hashlib.sha256(json.dumps(row, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def first_invalid_entry(session: Session) -> int | None:
    """The id of the first entry whose hash does not match; None = the chain is intact."""
    previous_hash = ""
    for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id)):
        if entry.hash != entry_hash(previous_hash, entry):
            return entry.id
        previous_hash = entry.hash
    return None
