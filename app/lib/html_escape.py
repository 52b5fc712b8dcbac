"""Escaping of text for HTML.

The only module that uses the private part of MarkupSafe that does the work: the public `escape` makes a Markup of each
text, which costs more than the escaping. `tests/test_private_names.py` fails if a new version lacks it.
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, _escape_inner  # type: ignore[attr-defined]  # in C, where it can be


def escape(value: Any) -> str:
    """The value escaped as by `markupsafe.escape`, but as a plain string: pages join hundreds of them."""
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
