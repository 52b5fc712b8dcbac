"""Keys that are never used for sealing again: of the older part of the audit log, and of Message-IDs of sent emails.

They are derived from a former CRM_FIELD_KEY and stored, sealed with the current one, so that the former key itself can
be destroyed.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask_appbuilder import Model
from sqlalchemy import Integer, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.lib.field_encryption import Vault

#: The purpose of a stored key.
AUDIT, MESSAGE_ID = "audit", "message id"


class RetiredKey(Model):  # type: ignore[misc]
    """A key that only verifies what it sealed before."""

    __tablename__ = "kept_key"
    __table_args__ = (UniqueConstraint("purpose", "key_id", name="uq_kept_key"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: AUDIT or MESSAGE_ID.
    purpose: Mapped[str] = mapped_column(String(20), nullable=False)
    #: A name for the key that doesn't reveal it.
    key_id: Mapped[str] = mapped_column(String(16), nullable=False)
    #: The key in hex digits, sealed by the vault.
    key_sealed: Mapped[str] = mapped_column(String(200), nullable=False)
    #: For the audit log: the position of the last entry that it sealed.
    until_seq: Mapped[int | None] = mapped_column(Integer)


_KEYS = RetiredKey.__table__


@dataclass(frozen=True)
class KeyToRetire:
    """A key that is replaced, with the values of its row."""

    purpose: str
    key_id: str
    key: bytes
    until_seq: int | None = None


def store(session: Session, retired: KeyToRetire, vault: Vault) -> None:
    """Store a key, unless it is stored already."""
    same = (_KEYS.c.purpose == retired.purpose, _KEYS.c.key_id == retired.key_id)
    if session.execute(select(_KEYS.c.id).where(*same)).first() is None:
        row = {"purpose": retired.purpose, "key_id": retired.key_id, "until_seq": retired.until_seq}
        row["key_sealed"] = vault.seal(retired.key.hex())
        session.execute(_KEYS.insert().values(**row))


def load(session: Session, purpose: str, vault: Vault) -> list[tuple[str, bytes, int | None]]:
    """The stored keys for a purpose, oldest first: (key_id, key, until_seq). Raises VaultError."""
    query = select(_KEYS.c.key_id, _KEYS.c.key_sealed, _KEYS.c.until_seq).where(_KEYS.c.purpose == purpose)
    rows = session.execute(query.order_by(_KEYS.c.id)).all()
    return [(key_id, bytes.fromhex(vault.open(sealed)), until) for key_id, sealed, until in rows]
