"""Support pages: the pages on offer, and the message that sends some of them to a customer."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, select

from app.domain.base import RuleBroken
from app.domain.picklists import SupportPage

#: Support pages per message.
MAX_PAGES = 20
#: The predecessor's wording.
GREETING = "Hi! Here are some helpful support pages:"


def offered() -> Select[Any]:
    """SELECT of the pages that may be sent, in the order of the list."""
    return select(SupportPage).where(SupportPage.is_active.is_(True)).order_by(SupportPage.position, SupportPage.label)


def text_of(pages: Iterable[SupportPage]) -> str:
    """The message. Raises RuleBroken for too many pages."""
    pages = list(pages)
    if len(pages) > MAX_PAGES:
        raise RuleBroken("Please choose at most 20 support pages.", "support_pages")
    lines = [GREETING]
    for page in pages:
        lines += ["", f"📋 *{page.label}*", *([page.description] if page.description else []), f"🔗 {page.url}"]
    return "\n".join(lines)


def new_key() -> str:
    """A key for one form, so that it is sent once."""
    return secrets.token_hex(16)
