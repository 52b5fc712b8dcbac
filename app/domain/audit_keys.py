"""The keys that seal the audit log: derived from CRM_FIELD_KEY, kept apart for each database of the process."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.domain import retired_keys
from app.lib.vault import Vault


class AuditKeys:
    """The key of new entries, those that are being replaced, and the vault that opens those of earlier parts."""

    def __init__(self, key: bytes, older: Sequence[bytes] = (), vault: Vault | None = None) -> None:
        self.key, self.id, self.vault = key, key_id(key), vault
        self.older = {key_id(each): each for each in older}

    def named(self, name: str | None) -> bytes | None:
        """The key with this name, None if it is unknown; the newest for a log that does not name its key."""
        return self.key if not name or name == self.id else self.older.get(name)

    def periods(self, session: Session, named: str | None) -> list[tuple[float, bytes]]:
        """(place of the last entry, key) of all keys that sealed the log, oldest first; the last one is `named`."""
        earlier = retired_keys.load(session, retired_keys.AUDIT, self.vault) if self.vault else []
        return [*((until or 0, key) for _name, key, until in earlier), (math.inf, self.named(named) or b"")]


def key_id(key: bytes) -> str:
    """A name for the key, from which it cannot be guessed."""
    return hmac.new(key, b"key id", hashlib.sha256).hexdigest()[:16]


_by_engine: WeakKeyDictionary[Engine, AuditKeys] = WeakKeyDictionary()
#: Those of the latest application, for databases that none is made for, such as one that is being restored.
_latest = AuditKeys(b"")


def set_keys(engine: Engine, keys: AuditKeys) -> None:
    """Seal the log of this database with these keys from now on."""
    global _latest
    _by_engine[engine] = _latest = keys


def keys_of(session: Session) -> AuditKeys:
    """The keys of the session's database."""
    return _by_engine.setdefault(session.get_bind().engine, _latest)
