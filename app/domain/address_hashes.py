"""Keyed hashes of phone numbers and email addresses of erased people, so that their opt-outs stay known without them.

They stand in the columns where the number or address stood. A key that was replaced is kept (`retired_keys`), so that
hashes by it are still found.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from app.domain import retired_keys
from app.domain.audit_log import audit_keys

#: What a hash begins with, as no number or address does; it fits the column of a number.
PREFIX = "#"
_LENGTH = 19


def hashed(session: Session, address: str) -> str:
    """The hash of a number in E.164 or an email address, by the newest key."""
    return _hash(audit_keys.keys_of(session).key, address)


def known_as(session: Session, address: str) -> list[str]:
    """The address, and its hashes by all keys that there were."""
    return [address, *(_hash(key, address) for key in _all_keys(session))]


def address_by_name(session: Session, addresses: Iterable[str]) -> dict[str, str]:
    """Each of the addresses, and each of their hashes -> the address."""
    keys = _all_keys(session)
    found = {address: address for address in addresses}
    return found | {_hash(key, address): address for address in list(found) for key in keys}


def _hash(key: bytes, address: str) -> str:
    text = b"erased address\0" + address.strip().lower().encode("utf-8", "surrogatepass")
    return PREFIX + hmac.new(key, text, hashlib.sha256).hexdigest()[:_LENGTH]


def _all_keys(session: Session) -> Sequence[bytes]:
    keys = audit_keys.keys_of(session)
    if keys.earlier is None:  # once per process: a key is only replaced while its servers have both
        stored = retired_keys.load(session, retired_keys.AUDIT, keys.vault) if keys.vault else []
        keys.earlier = [key for _name, key, _until in stored]
    return [keys.key, *keys.older.values(), *(key for key in keys.earlier if key not in keys.older.values())]
