"""The CSRF token in a page differs from response to response, so that its compressed length tells nothing about it.

A page that is compressed and also shows what the URL says (a search, a refused field) would let an attacker guess the
token letter by letter from the length of the response (BREACH). So the token stands in a page only under a random mask,
which the page carries too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from typing import Any

from flask import Response, g
from flask_wtf import FlaskForm
from flask_wtf.csrf import CSRFProtect, _FlaskFormCSRF, generate_csrf

#: Prefix of a masked token; and the prefix of the previous version, whose pages may still be open.
PREFIX, FORMER_PREFIX = "k.", "m."
#: Bytes of the random key before the masked token: 2^128 masks.
_KEY_BYTES = 16
#: Longer tokens can't be ours.
_MAX_LENGTH = 2000


def token_of_request() -> str:
    """The CSRF token of this request, which Flask-WTF makes at the first call and keeps in `g`."""
    return g.get("csrf_token") or str(generate_csrf())


def mask(token: str) -> str:
    """The token under a random mask, in URL-safe characters.

    The page carries a short key from which the mask is derived, because a page may have dozens of forms.
    """
    plain, key = token.encode(), secrets.token_bytes(_KEY_BYTES)
    return PREFIX + base64.urlsafe_b64encode(key + _xor(plain, _mask_of(key, len(plain)))).decode().rstrip("=")


def unmask(sent: str | None) -> str | None:
    """The token in a masked one; anything else unchanged, to be accepted or refused by the check of the token."""
    if not sent or not sent.startswith((PREFIX, FORMER_PREFIX)) or len(sent) > _MAX_LENGTH:
        return sent
    text = sent[len(PREFIX) :]
    try:
        both = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if sent.startswith(FORMER_PREFIX):  # the key is as long as the token
            half = len(both) // 2
            return _xor(both[:half], both[half:]).decode()
        key, hidden = both[:_KEY_BYTES], both[_KEY_BYTES:]
        return _xor(hidden, _mask_of(key, len(hidden))).decode()
    except (binascii.Error, ValueError):
        return ""


def _mask_of(key: bytes, size: int) -> bytes:
    return hashlib.shake_256(key).digest(size)


def _xor(one: bytes, other: bytes) -> bytes:
    if len(one) != len(other):
        raise ValueError("Texts of different lengths can't be combined.")
    return (int.from_bytes(one) ^ int.from_bytes(other)).to_bytes(len(one))


def mask_response(response: Response) -> None:
    """Mask the token wherever the page shows it; Flask-WTF keeps the one of this request in `g`."""
    token = g.get("csrf_token")
    if not token or response.is_streamed or response.direct_passthrough or not _is_text(response.mimetype or ""):
        return
    body = response.get_data()
    if token.encode() in body:
        response.set_data(body.replace(token.encode(), mask(token).encode()))


def _is_text(mimetype: str) -> bool:
    return mimetype.startswith("text/") or mimetype in ("application/json", "application/xhtml+xml")


class MaskedCSRFProtect(CSRFProtect):  # type: ignore[misc]
    """Flask-WTF's protection, which accepts masked tokens."""

    def _get_csrf_token(self) -> str | None:
        return unmask(super()._get_csrf_token())


class MaskedFormCSRF(_FlaskFormCSRF):  # type: ignore[misc]
    """The CSRF check inside each WTForms form, which accepts masked tokens."""

    def validate_csrf_token(self, form: Any, field: Any) -> None:
        """Raise ValidationError for a wrong token."""
        field.data = unmask(field.data)
        super().validate_csrf_token(form, field)


# For FAB's forms too, whose classes are not ours.
FlaskForm.Meta.csrf_class = MaskedFormCSRF
