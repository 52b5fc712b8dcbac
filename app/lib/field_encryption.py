"""Encrypts and authenticates secrets at rest, and finds them by a keyed fingerprint."""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Sequence

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
    """Seals with AES-256-GCM and fingerprints with HMAC-SHA256, using keys derived from one key of 32 bytes.

    While a key is being replaced, it also opens and finds what was sealed with `older` ones.
    """

    __slots__ = ("_blind_keys", "_ciphers")

    def __init__(self, key: bytes, older: Sequence[bytes] = ()) -> None:
        keys = (key, *older)
        if any(len(each) != KEY_BYTES for each in keys):
            raise VaultError(f"The vault key must be {KEY_BYTES} bytes.")
        self._ciphers = [AESGCM(_derive(each, b"seal")) for each in keys]
        self._blind_keys = [blind_key(each) for each in keys]

    @property
    def has_older(self) -> bool:
        """Whether a key is being replaced."""
        return len(self._ciphers) > 1

    def seal(self, text: str) -> str:
        """'v1:' and the urlsafe base64 of nonce and ciphertext. Differs at every call: do not compare it."""
        nonce = os.urandom(_NONCE_BYTES)
        box = self._ciphers[0].encrypt(nonce, _bytes(text), VERSION.encode())
        return VERSION + base64.urlsafe_b64encode(nonce + box).decode()

    def open(self, sealed: str) -> str:
        """The text that was sealed. Raises VaultError for another key, another version, or an altered value."""
        if not sealed.startswith(VERSION):
            raise VaultError("The value was not sealed by this version of the vault.")
        box = _decode(sealed.removeprefix(VERSION))
        for cipher in self._ciphers:
            if (plain := _decrypted(cipher, box)) is not None:
                return plain.decode("utf-8", "surrogatepass")
        raise VaultError("The value was sealed with another key, or was altered.") from None

    def is_current(self, sealed: str) -> bool:
        """Whether the value was sealed with the newest key. Raises VaultError if it isn't a sealed value."""
        return _decrypted(self._ciphers[0], _decode(sealed.removeprefix(VERSION))) is not None

    def blind(self, text: str, context: str) -> str:
        """The fingerprint by which a sealed value is found: 64 hex digits, equal for 'abcde 1234-f' and 'ABCDE1234F'.

        `context` names the field, so that equal values in two fields have different fingerprints.
        """
        return fingerprint(self._blind_keys[0], text, context)

    def blinds(self, text: str, context: str) -> list[str]:
        """The fingerprints by the newest key and the older ones, in this order."""
        return [fingerprint(key, text, context) for key in self._blind_keys]


def fingerprint(key: bytes, text: str, context: str) -> str:
    """The fingerprint of a value by a `blind_key`, see Vault.blind."""
    plain = _SEPARATORS.sub("", text).upper()
    return hmac.new(key, _bytes(context) + b"\0" + _bytes(plain), hashlib.sha256).hexdigest()


def blind_key(key: bytes) -> bytes:
    """The key of the fingerprints, derived from the vault's."""
    return _derive(key, b"blind")


def _decrypted(cipher: AESGCM, box: bytes) -> bytes | None:
    """The content of the box; None if it was sealed with another key."""
    try:
        return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], VERSION.encode())
    except (InvalidTag, ValueError):
        return None


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"eshin vault v1 " + purpose).derive(key)


def _bytes(text: str) -> bytes:
    # Otherwise a lone surrogate would raise an error that quotes the secret.
    return text.encode("utf-8", "surrogatepass")


def _decode(text: str) -> bytes:
    """Decode strictly: Python's urlsafe decoder skips invalid characters, so altered text would still decode."""
    try:
        raw = base64.b64decode(_bytes(text), altchars=b"-_", validate=True)
    except ValueError:
        raise VaultError("The text is no urlsafe base64.") from None
    if base64.urlsafe_b64encode(raw) != _bytes(text):
        raise VaultError("The text is no urlsafe base64.")
    return raw
