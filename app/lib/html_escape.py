"""Escaping of text for HTML."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, _escape_inner  # type: ignore[attr-defined]  # in C, where it can be


def escape(value: Any) -> str:
    """The value escaped as by `markupsafe.escape`, but as a plain string.

    A page escapes hundreds of texts that it joins at once; to make a Markup of each costs more than to escape it.
    """
    kind = type(value)
    if kind is str:
        return _escape_inner(value)
    if kind is int:
        return str(value)
    if kind is Markup:
        return value  # type: ignore[no-any-return]
    if hasattr(value, "__html__"):
        return str(value.__html__())
    return _escape_inner(str(value))
