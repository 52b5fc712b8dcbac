"""The line of a machine without accounts: it says in the log what it would send, and to nobody's address."""

from __future__ import annotations

import logging

from app.channels.base import Content

log = logging.getLogger("crm.channels")


class Console:
    """Stands in for a provider; everything is "sent"."""

    def __init__(self, word: str) -> None:
        """`word` for what goes out, e.g. "e-mail"."""
        self.word = word

    def send(self, to: str, content: Content) -> str:
        """Log it, without address, subject and text."""
        log.info("would send %s to %s", self.word, content.about)
        return f"console:{content.key}"
