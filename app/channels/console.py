"""The channel of an installation without provider accounts: it logs what it would send."""

from __future__ import annotations

import logging

from app.channels.base import Content

log = logging.getLogger("crm.channels")


class Console:
    """Stands in for a provider; every message counts as sent."""

    def __init__(self, medium: str) -> None:
        """`medium` names what would be sent, such as "email"."""
        self.medium = medium

    def send(self, to: str, content: Content) -> str:
        """Log the message, without address, subject and text."""
        log.info("would send %s to %s", self.medium, content.about)
        return f"console:{content.key}"
