"""Colleagues by name: who is found when somebody types a part of it."""

from __future__ import annotations

from typing import Any

from app.web.core.viewer import Viewer


def matching(typed: str, viewer: Viewer) -> list[dict[str, Any]]:
    """The cards of active colleagues whose full name or username contains the typed text."""
    cards = [card for key, card in viewer.lookups.people.items() if key in viewer.lookups.active]
    typed = typed.strip().casefold()[:60]
    return [card for card in cards if typed in card["full_name"].casefold() or typed in card["username"].casefold()]


def begins(card: dict[str, Any], typed: str) -> bool:
    """Whether the username or a word of the name on the card begins with the typed text."""
    words = [card["username"], *card["full_name"].split()]
    return any(word.casefold().startswith(typed.strip().casefold()) for word in words)
