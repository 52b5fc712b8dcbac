"""Keys that sealed what is never sealed again: the older part of the audit log, and the Message-IDs of sent emails.

They are derived from a former CRM_FIELD_KEY and kept, sealed with the present one, so that the former key itself can be
thrown away.
"""

from __future__ import annotations

from flask_appbuilder import Model
from sqlalchemy import Integer, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.lib.vault import Vault

#: What a kept key was for.
AUDIT, MESSAGE_ID = "audit", "message id"


class RetiredKey(Model):  # type: ignore[misc]
    """A key that only opens what it sealed before."""

    __tablename__ = "kept_key"
    __table_args__ = (UniqueConstraint("purpose", "key_id", name="uq_kept_key"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: AUDIT or MESSAGE_ID.
    purpose: Mapped[str] = mapped_column(String(20), nullable=False)
    #: A name for the key, from which it cannot be guessed.
    key_id: Mapped[str] = mapped_column(String(16), nullable=False)
    #: The key in hex digits, sealed by the vault.
    key_sealed: Mapped[str] = mapped_column(String(200), nullable=False)
    #: Of the audit log: the place of the last entry that it has sealed.
    until_seq: Mapped[int | None] = mapped_column(Integer)


_KEYS = RetiredKey.__table__


def store(session: Session, purpose: str, key_id: str, key: bytes, vault: Vault, until_seq: int | None = None) -> None:
    """Keep a key, unless it is kept already."""
    same = (_KEYS.c.purpose == purpose, _KEYS.c.key_id == key_id)
    if session.execute(select(_KEYS.c.id).where(*same)).first() is None:
        sealed = vault.seal(key.hex())
        row = {"purpose": purpose, "key_id": key_id, "key_sealed": sealed, "until_seq": until_seq}
        session.execute(_KEYS.insert().values(**row))


def load(session: Session, purpose: str, vault: Vault) -> list[tuple[str, bytes, int | None]]:
    """The kept keys for a purpose, oldest first: (key_id, key, until_seq). Raises VaultError."""
    query = select(_KEYS.c.key_id, _KEYS.c.key_sealed, _KEYS.c.until_seq).where(_KEYS.c.purpose == purpose)
    rows = session.execute(query.order_by(_KEYS.c.id)).all()
    return [(key_id, bytes.fromhex(vault.open(sealed)), until) for key_id, sealed, until in rows]
