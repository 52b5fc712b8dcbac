"""Prevents people who see numbers and addresses masked from confirming a guess by typing one."""

from __future__ import annotations

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.web.core.viewer import Viewer


def sees_unmasked(channel: str, viewer: Viewer) -> bool:
    """Whether the person sees the numbers (sms, whatsapp, voice) or addresses (email) of a channel unmasked."""
    return viewer.person.mask("email" if channel == "email" else "mobile") == "full"


def refuse(channel: str, field: str, viewer: Viewer) -> None:
    """Raise RuleBroken for input in `field` by a person who sees the channel's numbers or addresses masked.

    A message to it would appear in the conversation, and a note beside the record, of its owner.
    """
    if not sees_unmasked(channel, viewer):
        text = _(
            "You see numbers and addresses masked, so please leave this one out and choose the lead or customer: "
            "theirs is taken."
        )
        raise RuleBroken(text, field)
