"""The keys that seal the audit log, derived from CRM_FIELD_KEY, separate for each database of the process."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.domain import retired_keys
from app.lib.field_encryption import Vault


class AuditKeys:
    """The key for new entries, those being replaced, and the vault that decrypts the keys of earlier parts."""

    def __init__(self, key: bytes, older: Sequence[bytes] = (), vault: Vault | None = None) -> None:
        self.key, self.id, self.vault = key, key_id(key), vault
        self.older = {key_id(each): each for each in older}
        #: Those that were replaced before this process started; None = not read yet.
        self.earlier: list[bytes] | None = None

    def named(self, name: str | None) -> bytes | None:
        """The key with this name, None if unknown; the newest one for a log that doesn't name its key."""
        return self.key if not name or name == self.id else self.older.get(name)

    def periods(self, session: Session, named: str | None) -> list[tuple[float, bytes]]:
        """(position of the last entry, key) for all keys that sealed the log, oldest first; the last one is `named`."""
        earlier = retired_keys.load(session, retired_keys.AUDIT, self.vault) if self.vault else []
        return [*((until or 0, key) for _name, key, until in earlier), (math.inf, self.named(named) or b"")]


def key_id(key: bytes) -> str:
    """A name for the key that doesn't reveal it."""
    return hmac.new(key, b"key id", hashlib.sha256).hexdigest()[:16]


_by_engine: WeakKeyDictionary[Engine, AuditKeys] = WeakKeyDictionary()
#: The keys of the latest application, for databases without keys of their own, such as one being restored.
_latest = AuditKeys(b"")


def set_keys(engine: Engine, keys: AuditKeys) -> None:
    """Seal the log of this database with these keys from now on."""
    global _latest
    _by_engine[engine] = _latest = keys


def keys_of(session: Session) -> AuditKeys:
    """The keys of the session's database."""
    return _by_engine.setdefault(session.get_bind().engine, _latest)
