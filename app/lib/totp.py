"""One-time codes of authenticator apps: TOTP by RFC 6238 with SHA-1, six digits and steps of 30 seconds."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from urllib.parse import quote, urlencode

#: All common apps know only these; others ignore the parameters of the address or refuse it.
STEP_SECONDS, DIGITS = 30, 6
#: Steps by which the clock of a phone may differ, in both directions.
DRIFT = 1
#: RFC 4226 recommends 160 bits.
_KEY_BYTES = 20


def new_key() -> str:
    """A random key as apps take it: 32 characters of base32."""
    return base64.b32encode(secrets.token_bytes(_KEY_BYTES)).decode()


def step_at(now: datetime) -> int:
    """The number of the step at `now`."""
    return int(now.timestamp()) // STEP_SECONDS


def code_at(key: str, step: int) -> str:
    """The code of a step: six digits. `key`: base32."""
    digest = hmac.new(base64.b32decode(key), step.to_bytes(8), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def matching_step(key: str, code: str, now: datetime) -> int | None:
    """The newest step within the drift whose code this is, or None. Takes equally long for each code."""
    step = step_at(now)
    steps = range(step - DRIFT, step + DRIFT + 1)
    matches = [each for each in steps if hmac.compare_digest(code_at(key, each).encode(), code.encode())]
    return max(matches, default=None)


def key_address(key: str, account: str, issuer: str) -> str:
    """The otpauth address of the key, which a QR code shows to the app."""
    # A colon separates the two names.
    account, issuer = (" ".join(name.replace(":", " ").split()) for name in (account, issuer))
    parameters = {"secret": key, "issuer": issuer, "algorithm": "SHA1", "digits": DIGITS, "period": STEP_SECONDS}
    names = f"{quote(issuer, safe='')}:{quote(account, safe='')}"
    return f"otpauth://totp/{names}?{urlencode(parameters, quote_via=quote)}"
