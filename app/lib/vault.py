"""Secrets at rest: sealed so that nobody reads or alters them, and found again by a keyed fingerprint."""

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
#: Stands before every sealed value and is authenticated with it; a new cipher or key order gets a new one.
VERSION = "v1:"

_NONCE_BYTES = 12
_SEPARATORS = re.compile(r"[\s-]+")


class VaultError(Exception):
    """A value cannot be opened, or the key is none. Never carries the value or the key."""


def generate_key() -> str:
    """A new key, 32 random bytes as urlsafe base64, for the settings."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def read_key(text: str) -> bytes:
    """The 32 bytes of a key that `generate_key` wrote; VaultError when it is none."""
    key = _decoded(text.strip())
    if len(key) != KEY_BYTES:
        raise VaultError(f"The vault key must be {KEY_BYTES} bytes as urlsafe base64.")
    return key


class Vault:
    """Seals and opens with AES-256-GCM, and fingerprints with HMAC-SHA256, under keys derived from one of 32 bytes."""

    __slots__ = ("_blind_key", "_cipher")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultError(f"The vault key must be {KEY_BYTES} bytes.")
        self._cipher = AESGCM(_derived(key, b"seal"))
        self._blind_key = _derived(key, b"blind")

    def seal(self, text: str) -> str:
        """'v1:' and the urlsafe base64 of nonce and ciphertext: another one at every call, so never compare them."""
        nonce = os.urandom(_NONCE_BYTES)
        box = self._cipher.encrypt(nonce, _bytes(text), VERSION.encode())
        return VERSION + base64.urlsafe_b64encode(nonce + box).decode()

    def open(self, sealed: str) -> str:
        """The text that was sealed; VaultError for another key, another version, or a single bit changed."""
        if not sealed.startswith(VERSION):
            raise VaultError("The value was not sealed by this version of the vault.")
        box = _decoded(sealed.removeprefix(VERSION))
        try:
            plain = self._cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], VERSION.encode())
        except (InvalidTag, ValueError):
            raise VaultError("The value was sealed with another key, or was altered.") from None
        return plain.decode("utf-8", "surrogatepass")

    def blind(self, text: str, context: str) -> str:
        """The fingerprint by which a sealed value is found: 64 hex digits, one for 'abcde 1234-f' and 'ABCDE1234F'.

        `context` names the field, so that equal values in two fields do not show as equal.
        """
        plain = _SEPARATORS.sub("", text).upper()
        return hmac.new(self._blind_key, _bytes(context) + b"\0" + _bytes(plain), hashlib.sha256).hexdigest()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"eshin vault v1 " + purpose).derive(key)


def _bytes(text: str) -> bytes:
    # a lone surrogate would else raise an error that quotes the secret
    return text.encode("utf-8", "surrogatepass")


def _decoded(text: str) -> bytes:
    """Strict: Python's own urlsafe decoder skips foreign signs, so altered text would still open."""
    try:
        raw = base64.b64decode(_bytes(text), altchars=b"-_", validate=True)
    except ValueError:
        raise VaultError("The text is no urlsafe base64.") from None
    if base64.urlsafe_b64encode(raw) != _bytes(text):
        raise VaultError("The text is no urlsafe base64.")
    return raw
