"""The audit log: append only. `audit_chain` seals the entries of a transaction when it commits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import JSON, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import UtcDateTime
from app.domain.persistence.session_context import session_context
from app.domain.persistence.transaction_state import part_of

EVENTS = (
    "sign-in",
    "sign-in refused",
    "sign-out",
    "reveal",
    "export",
    "import",
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
    "two-factor",
    "failed call",
    "turn change",
    "webhook change",
    "customer link",
    "look-up",
    "audit carried over",
    "audit record renewed",
    "channel change",
    "conversation change",
    "message",
    "call",
    "recording",
    "inbound event",
    "key change",
    "campaign",
    "consent",
    "retention",
    "infected file",
    "merge",
    "custom field",
    "legal hold",
    "disclosure",
    "complaint",
    "order",
    "data request",
    "breach",
)


class AuditEntry(Model):  # type: ignore[misc]
    """An entry of the audit log."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        UniqueConstraint("seq", name="uq_audit_entry_seq"),
        Index("ix_audit_at", "at"),
        Index("ix_audit_user", "user_id", "id"),
        Index("ix_audit_about", "about", "id"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    event: Mapped[str] = mapped_column(String(40), nullable=False)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    address: Mapped[str | None] = mapped_column(String(64))
    #: What it concerns, e.g. lead 42; never a secret or an unmasked value.
    about: Mapped[str | None] = mapped_column(String(190))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)
    #: Its position in the chain: 1, 2, 3 … without gaps; the first entries are deleted when they are old enough.
    seq: Mapped[int] = mapped_column(Integer, nullable=False)
    #: HMAC over the hash of the previous entry and this entry, see `audit_chain`.
    hash: Mapped[str] = mapped_column(String(64), nullable=False)


class AuditHead(Model):  # type: ignore[misc]
    """The end of the chain: one row, locked by every transaction that appends entries."""

    __tablename__ = "audit_head"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    #: The number of entries: the `seq` of the last one.
    count: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: The hash of the last entry; empty if there is none.
    hash: Mapped[str] = mapped_column(String(64), nullable=False, default="")
    #: Identifies the key that made the hashes, without revealing it.
    key_id: Mapped[str] = mapped_column(String(16), nullable=False, default="")
    #: The last entry deleted for its age, after which the log begins, and its hash; 0 if none was deleted.
    base_seq: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    base_hash: Mapped[str] = mapped_column(String(64), nullable=False, default="", server_default="")
    #: HMAC over both, so that nobody without the key can fake another beginning.
    base_seal: Mapped[str] = mapped_column(String(64), nullable=False, default="", server_default="")


@dataclass
class PendingEntries:
    """The entries of a transaction, to be sealed and inserted before its commit."""

    entries: list[AuditEntry] = field(default_factory=list)
    #: Their number at the start of each open savepoint, the innermost last.
    savepoints: list[int] = field(default_factory=list)


def write(
    session: Session,
    event: str,
    user_id: int | None,
    now: datetime,
    about: str | None = None,
    address: str | None = None,
    **payload: Any,
) -> AuditEntry:
    """Append an entry when this transaction commits; a rollback drops it. Raises ValueError for an unknown event.

    `address`: the IP address, that of the session's request if none is given.

    It is inserted last of all, so that the lock on the chain's end is held only briefly and can't cause deadlocks.
    """
    if event not in EVENTS:
        raise ValueError(f"unknown audit event: {event}")
    session.connection()  # begins the transaction to which the entry belongs
    address = address or session_context(session).address
    entry = AuditEntry(at=now, event=event, user_id=user_id, about=about, address=address, payload=payload)
    part_of(session, PendingEntries).entries.append(entry)
    return entry
