"""Secrets at rest: encrypted and authenticated, and found again by a keyed fingerprint."""

import base64
import hashlib
import hmac
import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
#: Prefix of every sealed value, authenticated with it. A new cipher or key derivation gets a new one.
VERSION = "v1:"

_NONCE_BYTES = 12
_SEPARATORS = re.compile(r"[\s-]+")


class VaultError(Exception):
    """A value cannot be opened, or the key is invalid. The message never contains the value or the key."""


def generate_key() -> str:
    """A new key for the settings: 32 random bytes as urlsafe base64."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def read_key(text: str) -> bytes:
    """The 32 bytes of a key that `generate_key` made. Raises VaultError for anything else."""
    key = _decode(text.strip())
    if len(key) != KEY_BYTES:
        raise VaultError(f"The vault key must be {KEY_BYTES} bytes as urlsafe base64.")
    return key


def audit_key(key: bytes) -> bytes:
    """The key that seals the audit log, derived from the vault's."""
    return _derive(key, b"audit chain")


class Vault:
    """Seals with AES-256-GCM and fingerprints with HMAC-SHA256, using keys derived from one key of 32 bytes."""

    __slots__ = ("_blind_key", "_cipher")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultError(f"The vault key must be {KEY_BYTES} bytes.")
        self._cipher = AESGCM(_derive(key, b"seal"))
        self._blind_key = _derive(key, b"blind")

    def seal(self, text: str) -> str:
        """'v1:' and the urlsafe base64 of nonce and ciphertext. Differs at every call: do not compare it."""
        nonce = os.urandom(_NONCE_BYTES)
        box = self._cipher.encrypt(nonce, _bytes(text), VERSION.encode())
        return VERSION + base64.urlsafe_b64encode(nonce + box).decode()

    def open(self, sealed: str) -> str:
        """The text that was sealed. Raises VaultError for another key, another version, or an altered value."""
        if not sealed.startswith(VERSION):
            raise VaultError("The value was not sealed by this version of the vault.")
        box = _decode(sealed.removeprefix(VERSION))
        try:
            plain = self._cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], VERSION.encode())
        except (InvalidTag, ValueError):
            raise VaultError("The value was sealed with another key, or was altered.") from None
        return plain.decode("utf-8", "surrogatepass")

    def blind(self, text: str, context: str) -> str:
        """The fingerprint by which a sealed value is found: 64 hex digits, equal for 'abcde 1234-f' and 'ABCDE1234F'.

        `context` names the field, so that equal values of two fields have different fingerprints.
        """
        plain = _SEPARATORS.sub("", text).upper()
        return hmac.new(self._blind_key, _bytes(context) + b"\0" + _bytes(plain), hashlib.sha256).hexdigest()


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"eshin vault v1 " + purpose).derive(key)


def _bytes(text: str) -> bytes:
    # Otherwise a lone surrogate would raise an error that quotes the secret.
    return text.encode("utf-8", "surrogatepass")


def _decode(text: str) -> bytes:
    """Decode strictly: Python's urlsafe decoder skips other characters, so altered text would still decode."""
    try:
        raw = base64.b64decode(_bytes(text), altchars=b"-_", validate=True)
    except ValueError:
        raise VaultError("The text is no urlsafe base64.") from None
    if base64.urlsafe_b64encode(raw) != _bytes(text):
        raise VaultError("The text is no urlsafe base64.")
    return raw
