"""Hashes of secret random tokens, which are stored in their place."""

from __future__ import annotations

import hashlib


def hash_token(token: str) -> str:
    """SHA-256 in hex; enough for 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
