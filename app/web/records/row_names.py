"""How rows are named in messages of bulk actions, and the list to which an action returns."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import request

from app.notice_texts import numbers_text
from app.web.pages.refusals import previous_page

#: Rows named in one message.
MAX_NAMED = 5


def name_some(names: list[str]) -> str:
    """The first of these rows, and how many more there are."""
    return numbers_text(names[:MAX_NAMED], len(names))


def row_name(screen: Any, row: Any) -> str:
    """A row's number, else its title, for messages."""
    return str(getattr(row, "number", None) or getattr(row, screen.title_column, None) or screen.record_name)[:80]


def list_url(base: str) -> str:
    """The list as it was filtered and sorted when the action was chosen."""
    for address in (request.form.get("back") or "", previous_page()):
        try:
            parts = urlsplit(address)
        except ValueError:  # “//[”
            continue
        if parts.path in (f"{base}/", f"{base}/list/") and not parts.netloc and "\\" not in address:
            return f"{parts.path}?{parts.query}" if parts.query else parts.path
    return f"{base}/"
