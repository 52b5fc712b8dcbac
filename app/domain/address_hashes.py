"""Keyed hashes of phone numbers and email addresses of erased people, so that their opt-outs stay known without them.

They stand in the columns where the number or address stood, as do those of ids by which providers and telephones name
what was erased: such ids often hold the number, and what is sent again must stay known. A key that was replaced is kept
(`retired_keys`), so that hashes by it are still found.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_
from sqlalchemy.orm import Session

from app.domain import retired_keys
from app.domain.audit_log import audit_keys

#: What a hash begins with, as no number or address does; it fits the column of a number.
PREFIX = "#"
_LENGTH = 19
_FORM = re.compile(rf"{PREFIX}[0-9a-f]{{{_LENGTH}}}")


def is_hash(text: str | None) -> bool:
    """Whether a text has the form of a hash, which nothing has that a person enters."""
    return _FORM.fullmatch(text or "") is not None


def is_hash_sql(column: Any) -> ColumnElement[bool]:
    """`is_hash` of a column. "$" alone would allow a line break at the end."""
    return and_(column.like(PREFIX + "_" * _LENGTH), column.regexp_match(f"^{_FORM.pattern}$"))


def hashed(session: Session, address: str) -> str:
    """The hash of a number in E.164 or an email address, by the newest key."""
    return _hash(audit_keys.keys_of(session).key, address)


def known_as(session: Session, address: str) -> list[str]:
    """The address, and its hashes by all keys that there were."""
    return [address, *(_hash(key, address) for key in _all_keys(session))]


def hashed_id(session: Session, name: str) -> str:
    """The hash of an id of a provider or telephone, by the newest key."""
    return _hash_id(audit_keys.keys_of(session).key, name)


def ids_known_as(session: Session, names: Iterable[str]) -> dict[str, str]:
    """Each of these ids, and each of their hashes by the keys that this process has -> the id.

    Retired keys are not read for it: it would be one more statement of the first batch of calls. What is sent again
    comes within days, and a former key is configured for longer.
    """
    known = audit_keys.keys_of(session)
    keys, found = [known.key, *known.older.values(), *(known.earlier or ())], {name: name for name in names}
    return found | {_hash_id(key, name): name for name in list(found) for key in keys}


def address_by_name(session: Session, addresses: Iterable[str]) -> dict[str, str]:
    """Each of the addresses, and each of their hashes -> the address."""
    keys = _all_keys(session)
    found = {address: address for address in addresses}
    return found | {_hash(key, address): address for address in list(found) for key in keys}


def _hash(key: bytes, address: str) -> str:
    return _hash_text(key, b"erased address\0", address.strip().lower())


def _hash_id(key: bytes, name: str) -> str:
    return _hash_text(key, b"erased id\0", name)


def _hash_text(key: bytes, purpose: bytes, text: str) -> str:
    whole = purpose + text.encode("utf-8", "surrogatepass")
    return PREFIX + hmac.new(key, whole, hashlib.sha256).hexdigest()[:_LENGTH]


def _all_keys(session: Session) -> Sequence[bytes]:
    keys = audit_keys.keys_of(session)
    if keys.earlier is None:  # once per process: a key is only replaced while its servers have both
        stored = retired_keys.load(session, retired_keys.AUDIT, keys.vault) if keys.vault else []
        keys.earlier = [key for _name, key, _until in stored]
    return [keys.key, *keys.older.values(), *(key for key in keys.earlier if key not in keys.older.values())]
