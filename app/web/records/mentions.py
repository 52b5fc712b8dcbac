"""Mentions of users in notes: how “@name” is shown, and which colleagues are suggested while somebody types one."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain import mentions
from app.domain.base import NotFound
from app.lib.ids import parse_id
from app.web.core.viewer import Viewer
from app.web.records.colleague_search import begins, matching
from app.web.records.notes import ABOUT

#: How many colleagues are suggested, and for how many the access rules are checked.
MAX_SUGGESTED, MAX_CHECKED = 8, 40


def split_mentions(text: str, named: dict[str, int], viewer: Viewer) -> list[dict[str, str]]:
    """The text of a note in parts: {text}, or {text, person} for a mention."""
    made, at = [], 0
    for start, end, name in mentions.mention_spans(text):
        card = viewer.lookups.person(named.get(name))
        if card is not None:
            made += [{"text": text[at:start]}, {"text": f"@{card['full_name']}", "person": card["username"]}]
            at = end
    return [part for part in [*made, {"text": text[at:]}] if part["text"]]


def offered(session: Session, about: str, typed: str, viewer: Viewer) -> list[dict[str, Any]]:
    """Up to MAX_SUGGESTED cards of active colleagues who see the record (“lead:5”), involved users first.

    The access rules are checked for MAX_CHECKED matches at most, in a fixed number of statements. Raises NotFound.
    """
    kind, _sep, key = about.partition(":")
    known = kind in ABOUT and parse_id(key) is not None
    row = access.get_visible(session, ABOUT[kind][0], int(key)) if known else None
    if row is None:
        raise NotFound(_("This record doesn't exist, or you don't have access to it."))
    near = mentions.involved_users(session, row)
    hits = [card for card in matching(typed, viewer) if card["id"] != viewer.person.id]
    hits.sort(key=lambda card: (card["id"] not in near, not begins(card, typed), card["full_name"].casefold()))
    seeing = access.users_who_see(session, [card["id"] for card in hits[:MAX_CHECKED]], row, viewer.now)
    return [card for card in hits if card["id"] in seeing][:MAX_SUGGESTED]
